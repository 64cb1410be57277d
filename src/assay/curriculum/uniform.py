"""A curriculum that learns nothing: every level, and of several environments each by its weight, equally often. What
the others are measured against."""

from __future__ import annotations

from typing import Literal

from assay.curriculum.arms import ArmCurriculum
from assay.curriculum.curriculum import CurriculumSettings
from assay.environments import Environment
from assay.types import Group


class Uniform(CurriculumSettings):
    """A curriculum of all levels equally often, whatever is solved."""

    name: Literal["uniform"] = "uniform"

    def begin(self, environment: Environment, seed: int) -> UniformCurriculum:
        return UniformCurriculum(self, environment, seed)


class UniformCurriculum(ArmCurriculum):
    """Draws each level with the same probability."""

    def scores(self) -> list[float | None]:
        return [None for _ in self.arms]

    def learn(self, index: int, group: Group, version: int) -> None:
        """Nothing is learned."""
