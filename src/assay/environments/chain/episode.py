"""ChainEpisode: an update each turn, and the model's report of the state after it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from assay.environments.chain.machines import Machine, State
from assay.environments.episode import Episode, EpisodeStep
from assay.types import Message, Score, Task, Tool


@dataclass
class ChainEpisode(Episode):
    """Shows one update a turn, or all at once in the single-turn form, and scores the last report.

    The world says nothing of right or wrong: a model that errs goes on from what it believes. The score's parts tell
    errors from what they cause:

    - reports_right: the share of reports that say the true state;
    - steps_right: the share of turns whose report follows from the report before it, true or not;
    - steps_right_after_error: the same for turns before which some report was wrong; missing where there is none.
    """

    task: Task
    machine: Machine
    states: tuple[State, ...]
    """[H + 1] the true states, the first one included."""
    updates: tuple[str, ...]
    """[H]"""
    in_turns: bool
    pays_turns: bool
    _reports: list[State | None] = field(default_factory=list, init=False)

    async def start(self) -> tuple[Message, ...]:
        return self.task.prompt

    async def step(self, message: Message) -> EpisodeStep:
        self._reports.append(self.machine.read(message.content))
        told = len(self._reports)
        if not self.in_turns or told == len(self.updates):
            right = self._reports[-1] == self.states[-1]
            return EpisodeStep(done=True, reward=float(right) if self.pays_turns else None)
        right = self._reports[-1] == self.states[told]
        return EpisodeStep(
            (Message("user", f"Update: {self.updates[told]}"),),
            reward=float(right) if self.pays_turns else None,
            state=self._state(),
        )

    def _state(self) -> str:
        """Everything that was reported: what the model goes on from."""
        return hashlib.sha256(repr(self._reports).encode()).hexdigest()[:16]

    async def score(self) -> Score:
        """SOLVED where the last report, after all updates, says the true state."""
        ended = len(self._reports) == (len(self.updates) if self.in_turns else 1)
        last = self._reports[-1] if self._reports else None
        parts = self._parts() if self.in_turns else {}
        shown = "nothing" if last is None else self.machine.shown(last)
        if not ended:
            return Score.failed("not to the end", parts=parts, evidence=shown)
        if last != self.states[-1]:
            return Score.failed("no state" if last is None else "wrong", parts=parts, evidence=shown)
        return Score.solved(parts=parts, evidence=shown)

    def _parts(self) -> dict[str, float]:
        right = [report == state for report, state in zip(self._reports, self.states[1:], strict=False)]
        steps, after_error = [], []
        before: State | None = self.states[0]
        for number, report in enumerate(self._reports):
            follows = before is not None and report == self._applied(before, self.updates[number])
            if before is not None:
                steps.append(follows)
                if not all(right[:number]):
                    after_error.append(follows)
            before = report
        parts = {"reports_right": _share(right), "steps_right": _share(steps)}
        return parts | ({"steps_right_after_error": _share(after_error)} if after_error else {})

    def _applied(self, state: State, update: str) -> State | None:
        """The state after an update, where a state that the model made up allows it."""
        try:
            return self.machine.apply(state, update)
        except (ValueError, IndexError):
            return None


def _share(values: Sequence[bool]) -> float:
    return sum(values) / len(values) if values else 0.0


@dataclass
class Keeper:
    """The expert: computes each state from the updates that it is shown."""

    machine: Machine
    state: State
    """The first state."""

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        lines = [line for message in messages if message.role == "user" for line in message.content.split("\n")]
        state = self.state
        for line in lines[1:]:
            state = self.machine.apply(state, line.removeprefix("Update: "))
        return Message("assistant", self.machine.shown(state))


@dataclass
class Still:
    """The weak script: says the first state after every update, as if nothing had been changed."""

    machine: Machine
    state: State

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        return Message("assistant", self.machine.shown(self.state))
