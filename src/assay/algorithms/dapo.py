"""DAPO (Yu et al. 2025, https://arxiv.org/abs/2503.14476): GRPO with four changes."""

from __future__ import annotations

from typing import ClassVar, Literal

import pydantic

from assay.algorithms.grpo import GRPO
from assay.losses import Normaliser


class DAPO(GRPO):
    """A higher upper clip bound, a loss averaged over tokens, groups with a signal only, and a price for length."""

    name: Literal["dapo"] = "dapo"
    clip_high: float = pydantic.Field(default=0.28, gt=0, allow_inf_nan=False)
    normaliser: Normaliser = "tokens"
    dynamic_sampling: bool = True

    page: ClassVar[str] = "dapo.md"
