from __future__ import annotations

import math

from assay.observe.sparkline import sparkline


def test_bars_span_the_range() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([0, 7], ascii_only=True) == "_@"


def test_what_was_not_measured_is_a_space() -> None:
    assert sparkline([0.0, math.nan, None, 1.0]) == "▁  █"
    assert sparkline([math.nan]) == " "
    assert sparkline([]) == ""


def test_constant_and_long_series() -> None:
    assert sparkline([3.0, 3.0]) == "▁▁"
    assert sparkline([0.0] * 50 + [1.0] * 50, width=4) == "▁▁██"
    assert len(sparkline(list(range(1000)), width=40)) == 40
