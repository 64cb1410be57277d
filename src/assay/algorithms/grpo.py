"""GRPO (Shao et al. 2024, https://arxiv.org/abs/2402.03300), and Dr. GRPO (Liu et al. 2025,
https://arxiv.org/abs/2503.20783) by its two switches."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from assay.algorithms.clipping import Clipping
from assay.algorithms.group_relative import GroupRelative
from assay.losses import Normaliser


class GRPO(GroupRelative, Clipping):
    """Group-standardised advantages and the clipped loss."""

    name: Literal["grpo"] = "grpo"
    normaliser: Normaliser = "sequences"

    page: ClassVar[str] = "grpo.md"

    @classmethod
    def dr_grpo(cls, max_response_tokens: float, **settings: Any) -> Self:
        """Dr. GRPO: no division by the standard deviation, and a constant in place of each response's length.

        Args:
            max_response_tokens: the response token limit, which the summed loss of a sample is divided by.
            settings: any other option of GRPO.
        """
        return cls(scale_by_std=False, normaliser="constant", normaliser_constant=max_response_tokens, **settings)
