"""The base of the algorithms that compare a rollout with its group's mean, in standard deviations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pydantic

from assay.algorithms.algorithm import Algorithm
from assay.estimators import best_of_k, group_mean, standardised

if TYPE_CHECKING:
    from torch import Tensor

EPSILON = 1e-6
"""Added to a standard deviation, in units of reward: differences of this size or below fade out."""


class GroupRelative(Algorithm):
    """GRPO's advantages and what can be varied in them. Subclasses give the loss."""

    scale_by_std: bool | Literal["batch"] = True
    """The divisor of advantages: the standard deviation of the group's rewards (true), that of all rewards of the step
    ("batch"), or nothing (false)."""
    pass_at_k: int = pydantic.Field(default=1, ge=1)
    """Attempts of which the best is to be made better: above 1 the objective is pass@k."""

    @property
    def min_group_size(self) -> int:
        return max(2, self.pass_at_k)

    def advantages(self, rewards_G: Tensor) -> Tensor:
        if self.pass_at_k == 1:
            return standardised(rewards_G, EPSILON) if self.scale_by_std is True else group_mean(rewards_G)
        advantages_G = best_of_k(rewards_G, self.pass_at_k)
        return advantages_G / (rewards_G.std(correction=1) + EPSILON) if self.scale_by_std is True else advantages_G

    def scale(self, rewards_B: Tensor) -> float:
        return float(rewards_B.std(correction=1)) + EPSILON if self.scale_by_std == "batch" else 1.0
