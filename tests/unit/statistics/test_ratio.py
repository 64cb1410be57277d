"""Ratios of means over seeds and tasks, and the test that goes with intervals over seeds and tasks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from assay.statistics import (
    difference_over_seeds,
    difference_test_over_seeds,
    ratio_over_seeds,
    t_interval,
)


def test_fieller_by_hand() -> None:
    """n = (1, 0, 1, 0), d = 1: n - r d has mean 1/2 - r and standard deviation sqrt(1/3) over four tasks, so that the
    ends are 1/2 +- 3.1824 sqrt(1/3) / 2."""
    found = ratio_over_seeds([[1.0, 0.0, 1.0, 0.0]], [[1.0] * 4])
    assert found.value == 0.5
    half = 3.182446305284263 * math.sqrt(1 / 3) / 2
    assert found.low == pytest.approx(0.5 - half)
    assert found.high == pytest.approx(0.5 + half)
    interval = t_interval([1.0, 0.0, 1.0, 0.0])
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_equal_sides_have_the_ratio_one() -> None:
    found = ratio_over_seeds([[1.0, 0.0, 1.0, 1.0, 1.0, 1.0]] * 2, [[1.0, 0.0, 1.0, 1.0, 1.0, 1.0]] * 2)
    assert (found.value, found.low, found.high) == pytest.approx((1.0, 1.0, 1.0), abs=2e-3)


def test_nothing_is_divided_by_what_may_be_zero() -> None:
    found = ratio_over_seeds([[1.0, 1.0, 1.0]], [[1.0, -1.0, 0.0]])
    assert (found.value, found.low, found.high) == (None, None, None)
    # Two seeds that differ leave no more to divide by than one would.
    seeds = ratio_over_seeds([[1.0] * 4, [0.0] * 4], [[1.0] * 4, [0.0] * 4])
    assert seeds.value is None


@pytest.mark.parametrize("numerator", [[[1.0]], [[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0, 1.0]]])
def test_shapes_that_differ(numerator: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="same seeds and at least two tasks"):
        ratio_over_seeds(numerator, [[1.0, 0.0]] if len(numerator[0]) > 1 else [[1.0]])


def test_the_ratio_is_covered() -> None:
    """Half of the gain is transferred; seeds differ. At 95 % at least 360 of 400 hold the truth."""
    generator, held = np.random.default_rng(0), 0
    for _ in range(400):
        own, other = (0.4 + generator.normal(0, 0.05, (3, 1)) for _ in range(2))
        before = generator.random(64) < 0.3
        denominator = (generator.random((3, 64)) < 0.3 + own).astype(float) - before
        numerator = (generator.random((3, 64)) < 0.3 + other / 2).astype(float) - before
        found = ratio_over_seeds(numerator.tolist(), denominator.tolist())
        held += found.value is None or (found.low or -9) <= 0.5 <= (found.high or 9)
    assert held >= 360


def test_the_test_says_what_the_interval_says() -> None:
    generator = np.random.default_rng(1)
    for _ in range(60):
        before = np.tile(generator.random(24) < 0.4, (3, 1)).astype(float)
        after = (generator.random((3, 24)) < 0.4 + generator.normal(0.1, 0.1, (3, 1))).astype(float)
        interval = difference_over_seeds(before.tolist(), after.tolist())
        p_value = difference_test_over_seeds(before.tolist(), after.tolist())
        assert (p_value < 0.05) == (interval.low > 0 or interval.high < 0)


def test_the_test_by_hand() -> None:
    """Seeds that agree add nothing: p is that of the normal distribution, of 1.96 |d| over the half-width."""
    before, after = [[0, 0, 1, 0]] * 2, [[1, 0, 1, 1]] * 2
    interval = difference_over_seeds(before, after)
    z = 1.959963984540054 * interval.value / (interval.value - interval.low)
    assert difference_test_over_seeds(before, after) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-6)
    assert difference_test_over_seeds(before, before) == 1.0
    # Seeds that differ by 1 of 1: no number of tasks makes two of them significant.
    apart = difference_test_over_seeds([[0.0] * 500] * 2, [[1.0] * 500, [0.0] * 500])
    assert apart > 0.3
    with pytest.raises(ValueError, match="seeds and tasks"):
        difference_test_over_seeds(before, after[:1] * 3)


def test_no_difference_is_rarely_found() -> None:
    generator, found = np.random.default_rng(2), 0
    for _ in range(400):
        before = np.tile(generator.random(48) < 0.4, (3, 1)).astype(float)
        after = (generator.random((3, 48)) < 0.4 + generator.normal(0, 0.06, (3, 1))).astype(float)
        found += difference_test_over_seeds(before.tolist(), after.tolist(), num_samples=(48, 144)) < 0.05
    assert found <= 32, "5 % of 400 and their noise"
