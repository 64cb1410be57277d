from __future__ import annotations

import math

import pytest

from assay.statistics import t_interval


def test_by_hand():
    # s = 1, n = 3, t(0.975, 2) = 4.302653: half = 4.302653 / sqrt(3)
    interval = t_interval([1.0, 2.0, 3.0])
    assert interval.value == 2.0
    assert interval.high - 2.0 == pytest.approx(4.302653 / math.sqrt(3), abs=1e-6)
    assert 2.0 - interval.low == pytest.approx(interval.high - 2.0)


def test_equal_values_have_no_width():
    assert t_interval([0.5, 0.5]).width == 0.0


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [1.0, math.inf]])
def test_rejects(values: list[float]):
    with pytest.raises(ValueError, match=r"two values|not finite"):
        t_interval(values)
