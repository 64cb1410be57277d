"""EpisodeLimits: how far an episode may go before it is truncated or given up."""

from __future__ import annotations

import pydantic

from assay.config import Settings


class EpisodeLimits(Settings):
    """Limits of an episode. What was said until a limit is scored; the completion under way is not."""

    max_turns: int | None = pydantic.Field(default=None, ge=1)
    """Turns after which an episode is truncated ("turns"); None for the environment's own."""
    max_tokens: int | None = pydantic.Field(default=None, ge=1)
    """Tokens that the model may sample in an episode, all turns together ("tokens"); None for no limit."""
    max_context: int | None = pydantic.Field(default=None, ge=2)
    """Tokens of prompt and completion together in any turn ("context"); None for the model's own limit."""
    max_seconds: float | None = pydantic.Field(default=None, gt=0, allow_inf_nan=False)
    """Wall-clock time of an episode ("time"), training not counted; None for no limit. Runs with it are not repeated
    bit for bit."""
    step_timeout_seconds: float | None = pydantic.Field(default=600.0, gt=0, allow_inf_nan=False)
    """Wall-clock time of one answer of the environment. One that takes longer hangs: the rollout is broken, tried
    again, and then left out. What a response can drag out must be bounded by the environment itself."""
