"""PPO with a critic (Schulman et al. 2017, https://arxiv.org/abs/1707.06347) and generalised advantage estimation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Literal

import pydantic
import torch
from torch import Tensor

from assay.algorithms.algorithm import Needs, token_divergences
from assay.algorithms.clipping import Clipping
from assay.errors import ContractError
from assay.estimators import gae, no_baseline, whitened
from assay.losses import value_loss
from assay.types import CreditedSample, Group, Sample


class PPO(Clipping):
    """Token by token, what was earned beyond what a critic had expected; and the clipped loss."""

    name: Literal["ppo"] = "ppo"
    discount: float = pydantic.Field(default=1.0, ge=0.0, le=1.0)
    """Gamma: what a reward one token later is worth."""
    decay: float = pydantic.Field(default=0.95, ge=0.0, le=1.0)
    """Lambda: 1 trusts what was earned, 0 the critic's next value. 0.95 leaves 4e-5 of a reward 200 tokens away."""
    value_clip: float = pydantic.Field(default=0.2, gt=0, allow_inf_nan=False)
    """Largest useful change of a value in one step, in units of reward."""
    whiten: bool = True
    """True to whiten advantages: mean 0 and standard deviation 1 over the tokens of the step."""

    page: ClassVar[str] = "ppo.md"

    @property
    def needs(self) -> Needs:
        return dataclasses.replace(super().needs, values=True)

    def advantages(self, rewards_G: Tensor) -> Tensor:
        """Return the reward of each member's last token."""
        return no_baseline(rewards_G)

    def credit(self, groups: Sequence[Group], samples: Sequence[Sample]) -> list[CreditedSample]:
        credited = [self._estimate(sample) for sample in super().credit(groups, samples)]
        if not self.whiten or not any(sample.loss_mask.any() for sample in credited):
            return credited
        lengths = [int(sample.loss_mask.sum()) for sample in credited]
        # float64: what rounding leaves of equal advantages must not be blown up by the division.
        tokens = torch.cat([sample.advantages[sample.loss_mask] for sample in credited]).double()
        white = whitened(tokens, torch.ones(len(tokens), dtype=torch.int64)).float().split(lengths)
        return [
            sample.replace(advantages=torch.zeros(len(sample.token_ids)).masked_scatter(sample.loss_mask, piece))  # pyright: ignore[reportReturnType]
            for sample, piece in zip(credited, white, strict=True)
        ]

    def _divergences(self, samples: Sequence[Sample]) -> dict[tuple[int, int], float]:
        """Return no divergence of the whole response: `_estimate` charges each token its own."""
        return {}

    def value_loss(self, values_N: Tensor, old_values_N: Tensor, returns_N: Tensor) -> Tensor:
        return value_loss(values_N, old_values_N, returns_N, clip=self.value_clip)

    def _estimate(self, sample: CreditedSample) -> CreditedSample:
        """Return the sample with advantages and returns in place of the reward that every token was given."""
        if sample.values is None:
            raise ContractError("samples came to ppo without the critic's values")
        mask = sample.loss_mask
        if not mask.any():
            return sample.replace(returns=torch.zeros_like(sample.advantages))  # pyright: ignore[reportReturnType]
        rewards = torch.zeros(int(mask.sum()))
        if self.kl_coefficient and self.kl_in == "reward":
            rewards -= self.kl_coefficient * token_divergences(sample)
        rewards[-1] += sample.advantages[mask][-1]
        advantages, returns = gae(rewards, sample.values[mask], discount=self.discount, decay=self.decay)
        spread = torch.zeros(2, len(mask))
        spread[:, mask] = torch.stack([advantages, returns])
        return sample.replace(advantages=spread[0], returns=spread[1])  # pyright: ignore[reportReturnType]
