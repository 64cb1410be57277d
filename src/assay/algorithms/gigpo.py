"""GiGPO (Feng et al. 2025, https://arxiv.org/abs/2505.10978): episodes compared whole, and turns in the same state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import pydantic

from assay.algorithms.clipping import Clipping
from assay.algorithms.turn_credit import states_of
from assay.estimators import anchored, group_mean, returns_to_go, standardised
from assay.later import torch
from assay.types import Group

if TYPE_CHECKING:
    from torch import Tensor


class GiGPO(Clipping):
    """GRPO's advantage of the episode, and beside it that of each turn over those that began in the same state."""

    name: Literal["gigpo"] = "gigpo"
    scale_by_std: bool = False
    """True to divide both advantages by the standard deviation of what they compare; the paper has both forms."""
    turn_weight: float = pydantic.Field(default=1.0, ge=0.0, allow_inf_nan=False)
    """Omega: the weight of a turn's advantage beside its episode's."""
    turn_discount: float = pydantic.Field(default=0.95, ge=0.0, le=1.0)
    """Gamma: what a reward one turn later is worth to a turn. An episode's own rewards are added up as they are."""

    page: ClassVar[str] = "gigpo.md"
    without_effect: ClassVar[tuple[str, ...]] = ("credit_by",)

    @property
    def min_group_size(self) -> int:
        return 2

    @property
    def _credits_turns(self) -> bool:
        return True

    @property
    def _compares_states(self) -> bool:
        return True

    def advantages(self, rewards_G: Tensor) -> Tensor:
        """Return the advantages of whole episodes."""
        return standardised(rewards_G) if self.scale_by_std else group_mean(rewards_G)

    def turn_advantages(self, group: Group, earned_GT: Sequence[Tensor], scale: float) -> list[list[float]]:
        episodes_G = self.advantages(torch.stack([earned_T.sum() for earned_T in earned_GT]))
        turns_GT = self._of_turns(group, earned_GT).split([len(earned_T) for earned_T in earned_GT])
        return [
            (episode + self.turn_weight * turns_T).tolist()
            for episode, turns_T in zip(episodes_G, turns_GT, strict=True)
        ]

    def _of_turns(self, group: Group, earned_GT: Sequence[Tensor]) -> Tensor:
        """[M] the advantage of each turn of each member, one member after the other."""
        returns_M = torch.cat([returns_to_go(earned_T, self.turn_discount) for earned_T in earned_GT])
        states_M = [state for rollout, _, _ in group.measured for state in states_of(rollout)]
        return anchored(returns_M, states_M, scale_by_std=self.scale_by_std)

    def _has_signal(self, group: Group, earned_GT: Sequence[Tensor]) -> bool:
        return super()._has_signal(group, earned_GT) or bool(self._of_turns(group, earned_GT).any())
