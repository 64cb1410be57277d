"""A curve in one line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"
_ASCII_BARS = "_.-=+*#@"


def sparkline(values: Sequence[float | None], width: int = 40, *, ascii_only: bool = False) -> str:
    """Draw one character a value, lowest to highest over the range of the values; a space where nothing was measured.

    More values than `width` are averaged in equal parts.

    Example:
        >>> sparkline([0.0, 1.0, 2.0, 7.0])
        '▁▂▃█'
    """
    bars = _ASCII_BARS if ascii_only else _BARS
    means = _resample(values, width)
    known = [value for value in means if value is not None]
    if not known:
        return " " * len(means)
    low, high = min(known), max(known)
    scale = (len(bars) - 1) / (high - low) if high > low else 0.0
    return "".join(" " if value is None else bars[int((value - low) * scale + 0.5)] for value in means)


def _resample(values: Sequence[float | None], width: int) -> list[float | None]:
    num_parts = min(max(width, 1), len(values))
    means: list[float | None] = []
    for part in range(num_parts):
        chunk = values[part * len(values) // num_parts : (part + 1) * len(values) // num_parts]
        known = [value for value in chunk if value is not None and math.isfinite(value)]
        means.append(sum(known) / len(known) if known else None)
    return means
