"""REINFORCE++ (Hu 2025, https://arxiv.org/abs/2501.03262): advantages whitened over the whole batch, and PPO's clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from assay.algorithms.clipping import Clipping
from assay.algorithms.whitening import whitened_credit
from assay.estimators import group_mean, no_baseline
from assay.types import CreditedSample, Group, Sample

if TYPE_CHECKING:
    from torch import Tensor


class ReinforcePP(Clipping):
    """No comparison within the group is needed: the batch is the baseline."""

    name: Literal["reinforce_pp"] = "reinforce_pp"
    baseline: Literal["none", "group_mean"] = "none"
    """The baseline that is subtracted from the reward before whitening; "group_mean" is REINFORCE++-baseline."""

    page: ClassVar[str] = "reinforce_pp.md"

    @property
    def min_group_size(self) -> int:
        return 1 if self.baseline == "none" else 2

    def advantages(self, rewards_G: Tensor) -> Tensor:
        """Return the advantages before whitening."""
        return no_baseline(rewards_G) if self.baseline == "none" else group_mean(rewards_G)

    def credit(self, groups: Sequence[Group], samples: Sequence[Sample]) -> list[CreditedSample]:
        return whitened_credit(super().credit(groups, samples))
