"""The base of the algorithms that compare a rollout with its group's mean, in standard deviations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Self

import pydantic

from assay.algorithms.algorithm import Algorithm
from assay.errors import ConfigError
from assay.estimators import best_of_k, group_mean, standardised, standardised_apart
from assay.later import torch
from assay.types import Group

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
    parts: Literal["summed", "apart"] = "summed"
    """Treatment of a reward that has parts. summed: their weighted sum is compared. apart: each part is standardised in
    its group by itself, then they are summed by their weights, and divided by the spread of these sums over the step
    (GDPO)."""

    @pydantic.model_validator(mode="after")
    def _check_parts(self) -> Self:
        if self.parts == "summed":
            return self
        for name, meant in (
            ("scale_by_std", True),
            ("pass_at_k", 1),
            ("credit_by", "episode"),
            ("kl_in", "loss"),
        ):
            if getattr(self, name) != meant:
                raise ValueError(
                    f'parts "apart" standardises each part in its group, and {name} {getattr(self, name)!r} is of one '
                    "reward: leave one of them out"
                )
        if self.overlong == "penalty" or self.turn_rewards in ("add", "replace"):
            raise ValueError(
                'parts "apart" compares the parts of the verifier "weighted", and a penalty for length or rewards for '
                'turns are none of them: make a part of them, or leave parts at "summed"'
            )
        return self

    @property
    def min_group_size(self) -> int:
        return max(2, self.pass_at_k)

    @property
    def _compares_parts(self) -> bool:
        return self.parts == "apart"

    def advantages(self, rewards_G: Tensor) -> Tensor:
        if self.pass_at_k == 1:
            return standardised(rewards_G, EPSILON) if self.scale_by_std is True else group_mean(rewards_G)
        advantages_G = best_of_k(rewards_G, self.pass_at_k)
        return advantages_G / (rewards_G.std(correction=1) + EPSILON) if self.scale_by_std is True else advantages_G

    def turn_advantages(
        self, group: Group, earned_GT: Sequence[Tensor], scale: float
    ) -> Sequence[float | Sequence[float]]:
        if not self._compares_parts:
            return super().turn_advantages(group, earned_GT, scale)
        return (_apart(group) / scale).tolist()

    def scale(self, rewards_B: Tensor) -> float:
        return float(rewards_B.std(correction=1)) + EPSILON if self.scale_by_std == "batch" else 1.0

    def step_scale(self, groups: Sequence[Group], earned: Sequence[Sequence[Tensor]]) -> float:
        if not self._compares_parts:
            return super().step_scale(groups, earned)
        return float(torch.cat([_apart(group) for group in groups]).std(correction=1)) + EPSILON

    def _has_signal(self, group: Group, earned_GT: Sequence[Tensor]) -> bool:
        if not self._compares_parts:
            return super()._has_signal(group, earned_GT)
        return len(group.measured) > 1 and bool(_apart(group).any())


def _apart(group: Group) -> Tensor:
    """[G] float64, what `standardised_apart` makes of the parts of a group's measured members.

    A member whose score has no parts is one that was counted as failed though nobody could measure it: it is taken to
    have the lowest of its siblings' values in every part.

    Raises:
        ConfigError: no member has parts.
    """
    weights: dict[str, float] = {}
    for _, score, _ in group.measured:
        weights |= score.weights
    if not weights:
        raise ConfigError(
            f'algorithm.parts = "apart" needs a reward with parts, and that of task {group.task.task_id} of '
            f'{group.task.domain!r} has none: set verifier.name = "weighted" with its parts, or leave it at "summed"'
        )
    rewards_KG = torch.tensor(
        [[_value(group, member, name) for member in range(len(group.measured))] for name in weights],
        dtype=torch.float64,
    )
    return standardised_apart(rewards_KG, torch.tensor(list(weights.values()), dtype=torch.float64), EPSILON)


def _value(group: Group, member: int, name: str) -> float:
    score = group.measured[member][1]
    if score.weights:
        return score.parts[name] if name in score.weights else float("nan")
    return min(other.parts[name] for _, other, _ in group.measured if name in other.weights)
