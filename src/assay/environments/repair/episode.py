"""RepairEpisode: a program, the failures of its visible tests, a better program, and hidden tests in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from assay.environments.episode import Episode, EpisodeStep
from assay.suite import Suite
from assay.types import Message, Score, Task, Tool, Verdict
from assay.verifiers import Code, as_rollout
from assay.verifiers.code.verifier import Judgement

MAX_SHOWN_FAILURES = 3
"""Failures of visible tests that one message tells of."""
MAX_CHARACTERS = 600
"""Characters of each of them."""


@dataclass
class RepairEpisode(Episode):
    """Ends when the visible tests pass, or with the last attempt. Solved where the last program passes them and the
    hidden ones."""

    task: Task
    attempts: int
    suite: Suite
    num_visible: int
    """Number of the suite's asserts, from the first on, that the model is told of when they fail."""
    _last: str = field(default="", init=False)
    _num_attempts: int = field(default=0, init=False)
    _passed: float = field(default=0.0, init=False)

    async def start(self) -> tuple[Message, ...]:
        return self.task.prompt

    async def step(self, message: Message) -> EpisodeStep:
        self._last = message.content
        self._num_attempts += 1
        judgement = await self._judge(self._visible, "share")
        self._passed = judgement.score.value or 0.0
        if judgement.score.verdict is Verdict.SOLVED or self._num_attempts >= self.attempts:
            return EpisodeStep(done=True)
        return EpisodeStep((Message("user", self._told(judgement)),))

    async def score(self) -> Score:
        """By the visible and the hidden tests together, on the last program."""
        parts = {"attempts": float(self._num_attempts), "visible_passed": self._passed}
        if not self._num_attempts:
            return Score.failed("no program", parts=parts)
        score = (await self._judge(self.suite.tests, "all")).score
        return replace(score, parts={**score.parts, **parts})

    @property
    def _visible(self) -> tuple[str, ...]:
        return self.suite.tests[: self.num_visible]

    async def _judge(self, tests: tuple[str, ...], how: Literal["all", "share"]) -> Judgement:
        task = replace(self.task, suite=Suite(tests=tests, entry_point=self.suite.entry_point))
        return await Code(score=how).judge(as_rollout(self._last, task), task)

    def _told(self, judgement: Judgement) -> str:
        """Return what failed, for the model."""
        left = self.attempts - self._num_attempts
        tail = f"Mend the program and write all of it again ({left} more attempt{'s' if left > 1 else ''})."
        if not judgement.results:
            return f"No program was found in that ({judgement.score.reason}). {tail}"
        failures = [
            f"{test}: {result.verdict.value}{f', {result.detail}' if result.detail else ''}"[:MAX_CHARACTERS]
            for test, result in zip(self._visible, judgement.results, strict=False)
            if result.points < 1
        ]
        more = len(failures) - MAX_SHOWN_FAILURES
        lines = [*failures[:MAX_SHOWN_FAILURES], *([f"and {more} more"] if more > 0 else [])]
        return "\n".join([f"{len(failures)} of {self.num_visible} tests failed:", *lines, tail])


@dataclass
class Writer:
    """Says the same program at every attempt: the reference, as an expert, or one that returns nothing."""

    text: str

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        return Message("assistant", self.text)
