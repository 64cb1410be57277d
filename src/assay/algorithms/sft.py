"""Supervised fine-tuning: imitate demonstrations. A cold start before reinforcement, or a baseline beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from assay.algorithms.algorithm import Algorithm, LossInputs
from assay.algorithms.needs import Needs
from assay.later import torch

if TYPE_CHECKING:
    from torch import Tensor


class SFT(Algorithm):
    """The negative log-likelihood of demonstrations, their end token included, their prompts not."""

    name: Literal["sft"] = "sft"

    page: ClassVar[str] = "sft.md"
    without_effect: ClassVar[tuple[str, ...]] = (
        "ratio_against",
        "correction",
        "kl_coefficient",
        "kl_in",
        "dynamic_sampling",
        "off_policy_mask",
        "overlong",
    )
    uses_rewards: ClassVar[bool] = False

    @property
    def needs(self) -> Needs:
        return Needs(entropy_gradient=super().needs.entropy_gradient, demonstrations=True)

    def advantages(self, rewards_G: Tensor) -> Tensor:
        return torch.ones_like(rewards_G)

    def policy_loss(self, inputs: LossInputs) -> tuple[Tensor, dict[str, Tensor]]:
        return -inputs.advantages * inputs.policy_logprobs, {}
