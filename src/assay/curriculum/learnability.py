"""A curriculum by learnability: tasks are drawn from where some attempts succeed and some fail.

The learnability of a task is p (1 - p), for the probability p that an attempt solves it: the variance of its reward, 0
where every attempt is solved or none is, and so nothing can be learned from their comparison. Rutherford et al. 2024,
"No Regrets: Investigating and Improving Regret Approximations for Curriculum Discovery",
https://arxiv.org/abs/2408.15099, choose tasks by it (sampling for learnability); Foster et al. 2025,
https://arxiv.org/abs/2502.12272, do so for language models.

Differs: they sample a pool of tasks to choose from, at several times the cost; here levels are chosen, from the groups
that are trained on anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from assay.curriculum.arms import ArmCurriculum
from assay.curriculum.curriculum import CurriculumSettings, require_verdict
from assay.environments import Environment
from assay.types import Group, Verdict

_MOST = 0.25
"""The largest p (1 - p), at p = 1/2."""


class Learnability(CurriculumSettings):
    """A curriculum by p (1 - p): most groups come from levels whose tasks are sometimes solved, sometimes not."""

    name: Literal["learnability"] = "learnability"
    uniform_share: float = Field(default=0.2, ge=0.0, le=1.0)
    """Share of groups drawn without regard of learnability, so that no level's estimate grows old and none is
    forgotten."""
    half_life: float = Field(default=10.0, gt=0.0, allow_inf_nan=False)
    """Steps of training after which a result counts half: the policy that it measured is no more."""
    prior_groups: float = Field(default=2.0, gt=0.0, allow_inf_nan=False)
    """Groups' worth of belief that a level is as learnable as can be, which results must outweigh. They fade and it
    does not, so that a level which is not tried for long is tried again."""
    sharpness: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    """Power of p (1 - p) that chances are proportional to; large values choose the best level alone."""

    @property
    def min_group_size(self) -> int:
        return 2

    @property
    def needs_verdicts(self) -> bool:
        return True

    def begin(self, environment: Environment, seed: int) -> LearnabilityCurriculum:
        return LearnabilityCurriculum(self, environment, seed)


class LearnabilityCurriculum(ArmCurriculum):
    """Draws levels in proportion to their estimated learnability.

    l = (n0 / 4 + sum of w_g l_g) / (n0 + sum of w_g), with l_g the unbiased estimate from group g (`learnability`), n0
    `prior_groups`, and w_g = 2 ** -(age of the weights that sampled g / half_life). The mean is over groups of one
    task each, not over all attempts: a level whose tasks are certain, some solved and some failed, is worth nothing,
    though half of all attempts succeed.
    """

    def __init__(self, settings: Learnability, environment: Environment, seed: int) -> None:
        super().__init__(settings, environment, seed, uniform_share=settings.uniform_share)
        self._settings = settings
        self._sums = [[0.0, 0.0] for _ in self.arms]
        """[sum of w_g l_g, sum of w_g] of each arm, as they stood at its last group."""
        self._seen = [0 for _ in self.arms]
        """Version at each arm's last group, to which the sums were discounted."""

    def estimates(self) -> list[float]:
        """Return the estimated learnability of each arm, now."""
        prior = self._settings.prior_groups
        return [
            (prior * _MOST + self._faded(index) * of_groups) / (prior + self._faded(index) * weight)
            for index, (of_groups, weight) in enumerate(self._sums)
        ]

    def scores(self) -> list[float | None]:
        return [max(estimate, 0.0) ** self._settings.sharpness for estimate in self.estimates()]

    def learn(self, index: int, group: Group, version: int) -> None:
        require_verdict(group, "learnability")
        solved = [score.verdict is Verdict.SOLVED for score in group.scores if score.has_verdict]
        if len(solved) < 2:
            return
        faded = self._faded(index)
        weight = 0.5 ** ((self.version - version) / self._settings.half_life)
        of_groups, total = self._sums[index]
        self._sums[index] = [
            faded * of_groups + weight * learnability(sum(solved), len(solved)),
            faded * total + weight,
        ]
        self._seen[index] = self.version

    def own_state(self) -> dict[str, Any]:
        return {"sums": [list(sums) for sums in self._sums], "seen": list(self._seen)}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        self._sums, self._seen = [list(sums) for sums in state["sums"]], list(state["seen"])

    def _faded(self, index: int) -> float:
        """What the arm's sums count now."""
        return 0.5 ** ((self.version - self._seen[index]) / self._settings.half_life)


def learnability(num_solved: int, num_attempts: int) -> float:
    """Unbiased estimate of p (1 - p) from n independent attempts of which k were solved: k (n - k) / (n (n - 1)).

    It is the sample variance (over n - 1) of rewards of 0 and 1. The obvious k/n (1 - k/n) is too low by a factor of
    (n - 1) / n on average.

    Raises:
        ValueError: fewer than two attempts, or a count outside [0, n].

    Example:
        >>> learnability(1, 4)
        0.25
        >>> learnability(4, 8), learnability(8, 8)
        (0.2857142857142857, 0.0)
    """
    if num_attempts < 2 or not 0 <= num_solved <= num_attempts:
        raise ValueError(f"{num_solved} solved of {num_attempts} attempts: at least two are needed")
    return num_solved * (num_attempts - num_solved) / (num_attempts * (num_attempts - 1))
