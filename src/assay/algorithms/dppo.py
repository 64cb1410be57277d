"""DPPO (Qi et al. 2026, https://arxiv.org/abs/2602.04879): a trust region of probabilities, not of their ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import pydantic

from assay.algorithms.algorithm import LossInputs, RatioAgainst
from assay.algorithms.group_relative import GroupRelative
from assay.losses import MASKED_SHARE, BinaryDivergence, cut_metrics, cut_weight, divergence_mask

if TYPE_CHECKING:
    from torch import Tensor


class DPPO(GroupRelative):
    """Group-standardised advantages; a token is left alone once its probability has moved too far its way."""

    name: Literal["dppo"] = "dppo"
    divergence: BinaryDivergence = "tv"
    """tv: total variation, the change of the token's probability. kl: KL(old || now) of this token against all others;
    its usual bounds are 0.05."""
    max_fall: float = pydantic.Field(default=0.15, gt=0, allow_inf_nan=False)
    """Divergence beyond which a token with a negative advantage that became less likely is left alone."""
    max_rise: float = pydantic.Field(default=0.15, gt=0, allow_inf_nan=False)
    """Divergence beyond which a token with a positive advantage that became more likely is left alone."""
    max_weight: float = pydantic.Field(default=20.0, gt=0, allow_inf_nan=False)
    """Bound of the importance ratio, which is a weight here and no trust region: a large one."""
    ratio_against: RatioAgainst = "sampling"

    page: ClassVar[str] = "dppo.md"

    def policy_loss(self, inputs: LossInputs) -> tuple[Tensor, dict[str, Tensor]]:
        tokens = (inputs.policy_logprobs, inputs.old_logprobs)
        bounds = {"divergence": self.divergence, "max_fall": self.max_fall, "max_rise": self.max_rise}
        kept_N = divergence_mask(*tokens, inputs.advantages, **bounds)
        loss_N = kept_N * cut_weight(*tokens, inputs.advantages, max_weight=self.max_weight)
        cut_N = cut_metrics(*tokens, min_weight=0.0, max_weight=self.max_weight)
        return loss_N, cut_N | {MASKED_SHARE: 1 - kept_N}
