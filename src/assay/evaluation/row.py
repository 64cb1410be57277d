"""One scored sample of an evaluation, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay.observe.transcript import Line, answer_lines, said_lines, turn_title
from assay.types import Message, Rollout, Score, Task, Turn


@dataclass(frozen=True)
class EvalTurn:
    """One turn of an attempt, as messages: who said what, what was called, and what it earned."""

    message: Message
    """The model's message."""
    env_messages: tuple[Message, ...] = ()
    """The environment's messages that follow."""
    reward: float | None = None
    """The environment's reward for the turn; None where it pays nothing for turns."""
    state: str = ""
    """Name of the world's state that the turn started from; empty where the environment names none."""
    rewritten: bool = False
    """True where the chat template rewrote what stood before: training would start a new sample here."""

    @classmethod
    def of(cls, number: int, turn: Turn) -> EvalTurn:
        rewritten = number > 0 and not turn.extends_previous
        return cls(turn.message, turn.env_messages, turn.env_reward, turn.state, rewritten)

    def lines(self, number: int) -> list[Line]:
        """Return the turn as lines of a transcript, a heading first; `number` counts from 0."""
        title = turn_title(number, rewritten=self.rewritten, state=self.state)
        return [Line(title, ""), *said_lines(self.message), *answer_lines(self.env_messages, self.reward)]

    def to_dict(self) -> dict[str, Any]:
        messages = {"message": self.message.to_record(), "env_messages": [m.to_record() for m in self.env_messages]}
        return {**messages, "reward": self.reward, "state": self.state, "rewritten": self.rewritten}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EvalTurn:
        said = tuple(map(Message.from_dict, data["env_messages"]))
        return cls(**{**data, "message": Message.from_dict(data["message"]), "env_messages": said})


@dataclass(frozen=True)
class EvalRow:
    """One attempt at one task, scored under every reading."""

    task_id: str
    task_index: int
    """Position of the task in the evaluation."""
    sample: int
    """Number of the attempt at the task, from 0."""
    domain: str
    level: str
    """The two dials as a short name: "c2 h1"."""
    complexity: float | None
    horizon: float | None
    prompt: str
    """The messages that the model was shown first, one "role: content" a message."""
    answer: str
    """The gold answer; of a task with tests, these as JSON."""
    response: str
    """The last thing the model said."""
    ending: str
    """"finished", "truncated: length", "broken: ..."."""
    num_tokens: int | None
    """Tokens sampled, over all turns; None where a server did not count them."""
    scores: Mapping[str, Score]
    """The score under each reading of the answer."""
    boundary: str = ""
    """The boundary that the failure of a broken attempt crossed; else empty."""
    num_turns: int | None = None
    """Turns that the model took; None in rows of before they were counted."""
    turns: tuple[EvalTurn, ...] = ()
    """Every turn; empty where the response is all that was said."""

    @property
    def key(self) -> tuple[str, int]:
        return self.task_id, self.sample

    @property
    def said(self) -> tuple[str, ...]:
        """What the model said, turn by turn, without the calls that were read from it."""
        return tuple(turn.message.content for turn in self.turns) or (self.response,)

    @property
    def measured(self) -> bool:
        """True where every reading has a verdict."""
        return all(score.measured for score in self.scores.values())

    @classmethod
    def of(cls, task: Task, task_index: int, rollout: Rollout, scores: Mapping[str, Score]) -> EvalRow:
        ending = rollout.ending
        return cls(
            task_id=task.task_id,
            task_index=task_index,
            sample=rollout.member,
            domain=task.domain,
            level=task.level,
            complexity=task.complexity,
            horizon=task.horizon,
            prompt="\n".join(f"{message.role}: {message.text}" for message in task.prompt),
            answer=task.gold_text,
            response=rollout.response,
            ending=f"{ending.kind.value}: {ending.reason}" if ending.reason else ending.kind.value,
            num_tokens=rollout.num_tokens,
            scores=scores,
            boundary=ending.boundary,
            num_turns=len(rollout.turns),
            turns=_turns(rollout),
        )

    @property
    def ended(self) -> str:
        """How the attempt ended, its cause left out where it broke: "finished", "truncated: turns", "broken:
        environment"."""
        return f"broken: {self.boundary}" if self.boundary else self.ending

    def to_dict(self) -> dict[str, Any]:
        data = {**vars(self), "scores": {reading: score.to_dict() for reading, score in self.scores.items()}}
        data["turns"] = [turn.to_dict() for turn in self.turns]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EvalRow:
        scores = {reading: Score.from_dict(score) for reading, score in data["scores"].items()}
        turns = tuple(map(EvalTurn.from_dict, data.get("turns", ())))
        return cls(**{**data, "scores": scores, "turns": turns})


def _turns(rollout: Rollout) -> tuple[EvalTurn, ...]:
    first = rollout.turns[:1]
    more = len(rollout.turns) > 1 or any(t.env_messages or t.message.text != t.message.content for t in first)
    return tuple(EvalTurn.of(number, turn) for number, turn in enumerate(rollout.turns)) if more else ()
