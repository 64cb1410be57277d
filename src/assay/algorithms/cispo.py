"""CISPO (MiniMax 2025, "MiniMax-M1", https://arxiv.org/abs/2506.13585): weights are cut off, gradients are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

import pydantic

from assay.algorithms.algorithm import LossInputs
from assay.algorithms.group_relative import GroupRelative
from assay.losses import cut_metrics, cut_weight

if TYPE_CHECKING:
    from torch import Tensor


class CISPO(GroupRelative):
    """Group-standardised advantages, and a policy gradient in which every token keeps a gradient."""

    name: Literal["cispo"] = "cispo"
    max_weight: float = pydantic.Field(default=5.0, gt=0, allow_inf_nan=False)
    """Bound of the importance ratio itself; 1 + epsilon_high in the paper's words."""
    min_weight: float = pydantic.Field(default=0.0, ge=0, allow_inf_nan=False)
    """Lower bound of the importance ratio; 0 leaves that side open, as in the paper's runs."""

    page: ClassVar[str] = "cispo.md"

    @pydantic.model_validator(mode="after")
    def _check_bounds(self) -> Self:
        if self.min_weight > self.max_weight:
            raise ValueError(f"min_weight {self.min_weight:g} is more than max_weight {self.max_weight:g}")
        return self

    def policy_loss(self, inputs: LossInputs) -> tuple[Tensor, dict[str, Tensor]]:
        tokens = (inputs.policy_logprobs, inputs.old_logprobs)
        bounds = {"min_weight": self.min_weight, "max_weight": self.max_weight}
        return cut_weight(*tokens, inputs.advantages, **bounds), cut_metrics(*tokens, **bounds)
