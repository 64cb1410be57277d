"""Scores and gains of a run's summary as text: accuracies in per cent, mean rewards as they are."""

from __future__ import annotations

from typing import Any


def score_text(side: Any) -> str:
    """Return a side of the closing test: "41.5 % [34.9, 48.4]"; its mean reward, "0.41 [0.3, 0.5]", where rewards are
    numbers without a verdict. Empty where there is neither."""
    if (share := _numbers(side, "accuracy")) is not None:
        return "{:.1f} % [{:.1f}, {:.1f}]".format(*(100 * number for number in share))
    mean = _numbers(side.get("mean_reward"), "value") if isinstance(side, dict) else None
    return "" if mean is None else "{:.4g} [{:.4g}, {:.4g}]".format(*mean)


def gain_text(gain: Any) -> str:
    """Return a gain: "+60.5 points [+52.5, +65.8]"; of mean rewards "+0.05 [+0.01, +0.09]". Empty where there is
    none."""
    numbers = _numbers(gain, "value")
    if numbers is None:
        return ""
    if gain.get("unit") == "reward":
        return "{:+.4g} [{:+.4g}, {:+.4g}]".format(*numbers)
    return "{:+.1f} points [{:+.1f}, {:+.1f}]".format(*(100 * number for number in numbers))


def _numbers(value: Any, key: str) -> list[float] | None:
    """The estimate under a key and the ends of its interval; None where one of them is missing."""
    found = [value.get(name) for name in (key, "low", "high")] if isinstance(value, dict) else [None]
    numbers = [float(number) for number in found if isinstance(number, int | float)]
    return numbers if len(numbers) == len(found) else None
