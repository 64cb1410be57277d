"""GSPO (Zheng et al. 2025, https://arxiv.org/abs/2507.18071): GRPO with the ratio of the sequence, not of the token."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import pydantic

from assay.algorithms.algorithm import LossInputs
from assay.algorithms.grpo import GRPO
from assay.losses import sequence_ratio

if TYPE_CHECKING:
    from torch import Tensor


class GSPO(GRPO):
    """Group-standardised advantages; a sequence is clipped whole, by the geometric mean of its tokens' ratios."""

    name: Literal["gspo"] = "gspo"
    clip_low: float = pydantic.Field(default=3e-4, gt=0, allow_inf_nan=False)
    """Distance below 1 at which a sequence's ratio is clipped: a mean over tokens moves far less than one token
    does."""
    clip_high: float = pydantic.Field(default=4e-4, gt=0, allow_inf_nan=False)
    """Distance above 1 at which a sequence's ratio is clipped."""

    page: ClassVar[str] = "gspo.md"

    def ratio(self, inputs: LossInputs) -> Tensor:
        return sequence_ratio(inputs.policy_logprobs, inputs.old_logprobs, inputs.sequence_ids, inputs.num_sequences)
