"""One scored sample of an evaluation, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay.types import Rollout, Score, Task


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
    """The gold answer."""
    response: str
    """The last thing the model said."""
    ending: str
    """"finished", "truncated: length", "broken: ..."."""
    num_tokens: int | None
    """Tokens sampled, over all turns; None where a server did not count them."""
    scores: Mapping[str, Score]
    """The score under each reading of the answer."""

    @property
    def key(self) -> tuple[str, int]:
        return self.task_id, self.sample

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
            answer=task.answer,
            response=rollout.response,
            ending=f"{ending.kind.value}: {ending.reason}" if ending.reason else ending.kind.value,
            num_tokens=rollout.num_tokens,
            scores=scores,
        )

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "scores": {reading: score.to_dict() for reading, score in self.scores.items()}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EvalRow:
        scores = {reading: Score.from_dict(score) for reading, score in data["scores"].items()}
        return cls(**{**data, "scores": scores})
