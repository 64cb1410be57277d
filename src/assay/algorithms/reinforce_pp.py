"""REINFORCE++ (Hu 2025, https://arxiv.org/abs/2501.03262): advantages whitened over the whole batch, and PPO's clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from assay.algorithms.clipping import Clipping
from assay.estimators import group_mean, no_baseline, whitened
from assay.types import CreditedSample, Group, Sample


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
        credited = super().credit(groups, samples)
        advantages_B = torch.tensor([_advantage(sample) for sample in credited], dtype=torch.float64)
        num_tokens_B = torch.tensor([int(sample.loss_mask.sum()) for sample in credited])
        if not num_tokens_B.sum():
            return credited
        whitened_B = whitened(advantages_B, num_tokens_B).to(torch.float32)
        return [
            CreditedSample.of(
                sample, torch.zeros_like(sample.advantages).masked_fill(sample.loss_mask, float(advantage))
            )
            for sample, advantage in zip(credited, whitened_B, strict=True)
        ]


def _advantage(sample: CreditedSample) -> float:
    """The one that all trained-on tokens of a sample have."""
    trained_on = sample.advantages[sample.loss_mask]
    return float(trained_on[0]) if len(trained_on) else 0.0
