"""SecondTry as an environment: the smallest one in which masks and credit over turns matter."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from assay.environments.arithmetic import Arithmetic
from assay.environments.environment import AnyEnvironment, Environment, Level
from assay.environments.episode import Episode, EpisodeStep
from assay.types import Message, Split, Task
from assay.verifiers import Verifier
from assay.verifiers.text import normalise

TRY_AGAIN = Message("user", "That is not right. Try again.")


class SecondTry(Environment):
    """Another environment's tasks, with a second try after a wrong answer. The reward is that of the last answer."""

    name: Literal["second_try"] = "second_try"
    of: AnyEnvironment = Arithmetic()
    """The environment whose tasks, levels and rewards these are; its answers are compared as the exact verifier
    does."""

    @property
    def max_turns(self) -> int:
        return 2

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        return self.of.rewards

    def levels(self) -> tuple[Level, ...]:
        return self.of.levels()

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        for task in self.of.tasks(split, complexity=complexity, horizon=horizon, seed=seed):
            yield dataclasses.replace(task, domain=self.name)

    def episode(self, task: Task) -> Episode:
        return SecondTryEpisode(task)


@dataclass
class SecondTryEpisode(Episode):
    """Shows the prompt; after a wrong first answer says so, and lets the second one count.

    Right means what the exact verifier calls right: the whole message is the task's answer. The episode ends with
    the right answer, or after the second one. For a policy that is right with probability p
    at each try, independently, an episode is solved with probability 1 - (1 - p)^2 and has 2 - p turns on average.
    """

    task: Task
    _answers: int = field(default=0, init=False)

    async def start(self) -> tuple[Message, ...]:
        return self.task.prompt

    async def step(self, message: Message) -> EpisodeStep:
        self._answers += 1
        if normalise(message.content).strip() == normalise(self.task.answer).strip():
            return EpisodeStep(done=True)
        if self._answers == 2:
            return EpisodeStep(done=True)
        return EpisodeStep(messages=(TRY_AGAIN,))
