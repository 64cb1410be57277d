"""The price of length: what a response loses by coming near its token limit."""

from __future__ import annotations


def overlong_penalty(num_tokens: int, max_tokens: int, margin_tokens: int) -> float:
    """0 up to max_tokens - margin_tokens, then falling in a straight line to -1 at max_tokens, and -1 beyond.

    Yu et al. 2025, "DAPO", https://arxiv.org/abs/2503.14476 (soft overlong punishment): L_max is
    `max_tokens`, L_cache is `margin_tokens`. To be added to the reward.

    Args:
        num_tokens: sampled tokens of the response.
        max_tokens: the limit, at least `margin_tokens`.
        margin_tokens: at least 1.

    Raises:
        ValueError: the margin is below 1, or more than the limit.

    Example:
        >>> [overlong_penalty(n, max_tokens=20, margin_tokens=4) for n in (16, 17, 20, 25)]
        [0.0, -0.25, -1.0, -1.0]
    """
    if not 1 <= margin_tokens <= max_tokens:
        raise ValueError(f"margin_tokens must be from 1 to max_tokens, got {margin_tokens} and {max_tokens}")
    return max(-1.0, min(0.0, (max_tokens - margin_tokens - num_tokens) / margin_tokens))
