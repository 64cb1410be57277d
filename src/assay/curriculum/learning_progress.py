"""A curriculum by learning progress: tasks are drawn from where the solved share is changing, up or down.

Matiisen et al. 2017, "Teacher-Student Curriculum Learning", https://arxiv.org/abs/1707.00183: the window algorithm,
which takes the slope of the last scores of each task by least squares, and chooses by its absolute value, so that what
is being forgotten is trained on too. Portelas et al. 2019, "Teacher algorithms for curriculum learning of Deep RL in
continuously parameterized environments", https://arxiv.org/abs/1910.07224 (ALP-GMM), use absolute learning progress
over continuous dials.

Differs: the slope's own noise is taken off. Attempts are random, so that least squares finds a slope on a plateau too,
and the largest where p (1 - p) is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from assay.curriculum.arms import ArmCurriculum
from assay.curriculum.curriculum import CurriculumSettings, require_verdict
from assay.environments import Environment
from assay.types import Group


class LearningProgress(CurriculumSettings):
    """A curriculum by the absolute slope of the solved share: most groups come from the levels that are being learned,
    or forgotten."""

    name: Literal["learning_progress"] = "learning_progress"
    uniform_share: float = Field(default=0.2, gt=0.0, le=1.0)
    """Share of groups drawn without regard of progress. Above 0: a level that is not tried shows none."""
    window: int = Field(default=32, ge=4)
    """Number of a level's last groups that the slope is fitted to."""

    @property
    def measures_the_policy(self) -> bool:
        return True

    @property
    def needs_verdicts(self) -> bool:
        return True

    def begin(self, environment: Environment, seed: int) -> LearningProgressCurriculum:
        return LearningProgressCurriculum(self, environment, seed)


class LearningProgressCurriculum(ArmCurriculum):
    """Draws levels in proportion to how fast their solved share changes with the version of the weights."""

    def __init__(self, settings: LearningProgress, environment: Environment, seed: int) -> None:
        super().__init__(settings, environment, seed, uniform_share=settings.uniform_share)
        self._recent: list[deque[tuple[int, float]]] = [deque(maxlen=settings.window) for _ in self.arms]
        """(version that sampled it, solved share) of each arm's last groups."""

    def scores(self) -> list[float | None]:
        return [progress(recent) for recent in self._recent]

    def learn(self, index: int, group: Group, version: int) -> None:
        require_verdict(group, "learning_progress")
        self._recent[index].append((version, group.solved_share))

    def own_state(self) -> dict[str, Any]:
        return {"recent": [[list(point) for point in recent] for recent in self._recent]}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        for recent, saved in zip(self._recent, state["recent"], strict=True):
            recent.clear()
            recent.extend((version, share) for version, share in saved)


def progress(points: Sequence[tuple[int, float]]) -> float | None:
    """Absolute slope of a solved share over versions, with what noise adds to its square taken off.

    sqrt(max(b^2 - se^2, 0)), b the slope by least squares and se its standard error, se^2 = RSS / ((n - 2) S_xx): since
    E[b^2] = slope^2 + se^2, the square under the root is unbiased where the curve is a line.

    Args:
        points: (version, solved share) of groups, in any order.

    Returns:
        In solved share a version; None where fewer than four groups, or groups of one version only, show no slope.

    Example:
        >>> progress([(0, 0.0), (1, 0.25), (2, 0.5), (3, 0.75)])
        0.25
        >>> progress([(0, 0.5), (1, 0.0), (2, 1.0), (3, 0.5)])
        0.0
    """
    n = len(points)
    if n < 4:
        return None
    mean_x = math.fsum(x for x, _ in points) / n
    mean_y = math.fsum(y for _, y in points) / n
    spread = math.fsum((x - mean_x) ** 2 for x, _ in points)
    if spread == 0.0:
        return None
    slope = math.fsum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    left = math.fsum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in points)
    return math.sqrt(max(slope**2 - left / (n - 2) / spread, 0.0))
