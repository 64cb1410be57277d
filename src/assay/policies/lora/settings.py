"""Settings of a new adapter: the table `[model.lora]` of a recipe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import pydantic

from assay.config import Settings

ALL_LINEAR = "all-linear"
"""PEFT's word for every product of attention and MLP."""

_OTHER_NAMES = {
    "r": "call it rank",
    "lora_alpha": "call it alpha",
    "lora_dropout": "call it dropout",
    "use_rslora": "call it rslora",
    "init_lora_weights": "call it init",
    "bias": "biases stay as they are beside an adapter: leave it out",
    "modules_to_save": "only adapters are trained, no whole modules beside them: leave it out, or train all weights "
    "without [model.lora]",
    "use_dora": "DoRA is not supported: leave it out",
}
"""Options of PEFT's LoraConfig that this table calls otherwise, or lacks, and what to do instead."""


class LoraSettings(Settings):
    """A low-rank adapter: W + scale * B A in place of W; A [rank, in] and B [out, rank] are trained, and W is not."""

    rank: int = pydantic.Field(default=16, ge=1, le=4096)
    """PEFT's `r`."""
    alpha: float = pydantic.Field(default=32.0, gt=0.0, allow_inf_nan=False)
    """PEFT's `lora_alpha`: scale = alpha / rank, or alpha / sqrt(rank) with `rslora`."""
    target_modules: str | tuple[str, ...] = ALL_LINEAR
    """Products that have an adapter: "all-linear" (those of attention and MLP), or ends of their names, such as
    ["q_proj", "v_proj"] or ["layers.0.mlp.down_proj"]."""
    rslora: bool = False
    """Kalajdzievski 2023, "A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA", arXiv 2312.03732."""
    init: Literal["kaiming", "gaussian"] = "kaiming"
    """A at the start: uniform in +-1/sqrt(in) (PEFT's default), or normal with deviation 1 / rank. B is 0 either way:
    the policy begins as the model."""
    dropout: float = 0.0
    """Dropout of the adapter's input; only 0 is allowed: see the error."""

    other_names: ClassVar[Mapping[str, str]] = _OTHER_NAMES

    @pydantic.field_validator("dropout")
    @classmethod
    def _no_dropout(cls, dropout: float) -> float:
        if dropout:
            raise ValueError(
                "must be 0: with dropout the log-probabilities of an update are those of another policy than the one "
                "that sampled"
            )
        return dropout

    @pydantic.field_validator("target_modules")
    @classmethod
    def _some_modules(cls, targets: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if (targets != ALL_LINEAR) if isinstance(targets, str) else (not targets or "" in targets):
            raise ValueError('must be "all-linear", or a list of modules such as ["q_proj", "v_proj"]')
        return targets

    @property
    def scale(self) -> float:
        """Factor that B A is multiplied by."""
        return scale_of(self.rank, self.alpha, self.rslora)


def scale_of(rank: int, alpha: float, rslora: bool) -> float:
    """Return the factor that B A is multiplied by: alpha / rank, or alpha / sqrt(rank)."""
    return alpha / (math.sqrt(rank) if rslora else rank)
