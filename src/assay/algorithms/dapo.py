"""DAPO (Yu et al. 2025, https://arxiv.org/abs/2503.14476): GRPO with four changes."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import pydantic

from assay.algorithms.grpo import GRPO
from assay.estimators import overlong_penalty
from assay.losses import Normaliser
from assay.types import EndingKind, Rollout, Score


class DAPO(GRPO):
    """A higher upper clip bound, a loss averaged over tokens, groups with a signal only, and a price for length."""

    name: Literal["dapo"] = "dapo"  # pyright: ignore[reportIncompatibleVariableOverride]
    clip_high: float = pydantic.Field(default=0.28, gt=0, allow_inf_nan=False)
    normaliser: Normaliser = "tokens"
    dynamic_sampling: bool = True
    overlong: Literal["none", "penalty", "filter"] = "none"
    """What a response that nears or hits its token limit gets. penalty: up to 1 less reward, by `max_response_tokens`
    and `overlong_margin`. filter: one that was cut off is not trained on; its siblings are still compared with it."""
    max_response_tokens: int | None = pydantic.Field(default=None, ge=1)
    """Sampled tokens at which the penalty is 1; for "penalty"."""
    overlong_margin: int | None = pydantic.Field(default=None, ge=1)
    """Tokens before `max_response_tokens` over which the penalty grows; for "penalty". The paper: a fifth of it."""

    page: ClassVar[str] = "dapo.md"

    @pydantic.model_validator(mode="after")
    def _check_overlong(self) -> Self:
        given = [name for name in ("max_response_tokens", "overlong_margin") if getattr(self, name) is not None]
        if self.overlong == "penalty" and len(given) < 2:
            raise ValueError('overlong "penalty" needs max_response_tokens and overlong_margin: set both')
        if self.overlong != "penalty" and given:
            raise ValueError(
                f'{given[0]} has no effect with overlong {self.overlong!r}: leave it out, or set "penalty"'
            )
        if (self.overlong_margin or 0) > (self.max_response_tokens or 0):
            raise ValueError(
                f"overlong_margin {self.overlong_margin} is more than max_response_tokens {self.max_response_tokens}"
            )
        return self

    def reward(self, rollout: Rollout, score: Score, value: float) -> float:
        if self.max_response_tokens is None or self.overlong_margin is None:
            return value
        return value + overlong_penalty(rollout.num_sampled_tokens, self.max_response_tokens, self.overlong_margin)

    def trains_on(self, rollout: Rollout, score: Score) -> bool:
        return self.overlong != "filter" or rollout.ending.kind is not EndingKind.TRUNCATED
