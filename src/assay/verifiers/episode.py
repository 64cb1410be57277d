"""The episode verifier: what an episode's own world says was earned."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

from assay.errors import DataError
from assay.types import Rollout, Score, Task, Verdict
from assay.verifiers.cases import Case
from assay.verifiers.verifier import Verifier


class EpisodeScore(Verifier):
    """The score that the episode gave at its end, for environments that judge by the state of their world."""

    name: Literal["episode"] = "episode"
    is_cheap: ClassVar[bool] = True

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        if rollout.score is None:
            raise DataError(
                f"the verifier 'episode' hands on what an episode's score() says, and that of {task.domain} says "
                "nothing; choose another verifier, or write that method"
            )
        return rollout.score

    def gold_response(self, task: Task) -> str | None:
        return None

    def cases(self) -> list[Case]:
        return []


class EpisodeValue(EpisodeScore):
    """The number that the episode gave at its end, as a number without a verdict."""

    name: Literal["episode_value"] = "episode_value"  # pyright: ignore[reportIncompatibleVariableOverride]

    @property
    def gives_verdicts(self) -> bool:
        return False

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        score = await super().__call__(rollout, task)
        return dataclasses.replace(score, verdict=Verdict.GRADED) if score.measured else score
