"""SAPO (Gao et al. 2025, https://arxiv.org/abs/2511.20347): GRPO with a gate that closes gradually for a clip."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import pydantic

from assay.algorithms.algorithm import LossInputs
from assay.algorithms.group_relative import GroupRelative
from assay.losses import Normaliser, importance_ratio, soft_gate

if TYPE_CHECKING:
    from torch import Tensor


class SAPO(GroupRelative):
    """Group-standardised advantages; a token's gradient fades as its ratio leaves 1, faster where it failed."""

    name: Literal["sapo"] = "sapo"
    temperature_positive: float = pydantic.Field(default=1.0, gt=0, allow_inf_nan=False)
    """Temperature of the gate for tokens with a positive advantage: the larger, the faster it closes."""
    temperature_negative: float = pydantic.Field(default=1.05, gt=0, allow_inf_nan=False)
    """Temperature of the gate for the other tokens: pushing away spreads over all other tokens and needs more care."""
    normaliser: Normaliser = "sequences"

    page: ClassVar[str] = "sapo.md"

    def policy_loss(self, inputs: LossInputs) -> tuple[Tensor, dict[str, Tensor]]:
        ratio_N = importance_ratio(inputs.policy_logprobs, inputs.old_logprobs)
        temperatures = {
            "temperature_positive": self.temperature_positive,
            "temperature_negative": self.temperature_negative,
        }
        return soft_gate(ratio_N, inputs.advantages, **temperatures), {}
