from __future__ import annotations

import pytest
from scipy import stats

from assay.statistics import Interval
from assay.statistics.interval import CONFIDENCE, NORMAL_QUANTILE


def test_ends_enclose_the_value():
    with pytest.raises(ValueError, match="not between"):
        Interval(0.5, 0.6, 0.7)
    with pytest.raises(ValueError, match="not between"):
        Interval(float("nan"), 0.0, 1.0)


def test_as_text_and_data():
    interval = Interval(0.415, 0.349, 0.484)
    assert interval.as_percent() == "41.5 % [34.9, 48.4]"
    assert str(interval) == "0.415 [0.349, 0.484]"
    assert interval.to_dict() == {"value": 0.415, "low": 0.349, "high": 0.484}
    assert interval.width == pytest.approx(0.135)


def test_the_quantile_is_that_of_the_confidence():
    assert stats.norm.ppf((1 + CONFIDENCE) / 2) == pytest.approx(NORMAL_QUANTILE, abs=1e-15)
