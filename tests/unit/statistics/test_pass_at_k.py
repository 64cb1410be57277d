from __future__ import annotations

import math

import numpy as np
import pytest

from assay.statistics import (
    pass_at_k,
    pass_at_k_difference,
    pass_at_k_interval,
    pass_hat_k,
    pass_hat_k_difference,
    pass_hat_k_interval,
)


def test_by_hand():
    assert pass_at_k(4, 1, 2) == pytest.approx(1 - 3 / 6)  # C(3,2) / C(4,2)
    assert pass_at_k(10, 3, 5) == pytest.approx(1 - 21 / 252)  # C(7,5) / C(10,5)
    assert pass_at_k(5, 0, 5) == 0.0
    assert pass_at_k(5, 3, 3) == 1.0  # only two failures: any three hold a success
    assert pass_hat_k(4, 2, 2) == pytest.approx(1 / 6)
    assert pass_hat_k(4, 1, 2) == 0.0


@pytest.mark.parametrize("correct", range(9))
def test_equal_to_binomial_coefficients(correct: int):
    for k in range(1, 9):
        assert pass_at_k(8, correct, k) == pytest.approx(1 - math.comb(8 - correct, k) / math.comb(8, k))
    assert pass_at_k(8, correct, 1) == pytest.approx(correct / 8)
    assert pass_hat_k(8, correct, 1) == pytest.approx(correct / 8)


def test_large_counts_stay_finite():
    assert pass_at_k(100_000, 10, 64) == pytest.approx(1 - (1 - 64 / 100_000) ** 10, abs=1e-5)


def test_unbiased():
    """Over all outcomes of 6 samples at p = 0.3, the mean of the estimate is 1 - 0.7^3 and 0.3^3."""
    weights = [math.comb(6, c) * 0.3**c * 0.7 ** (6 - c) for c in range(7)]
    assert sum(w * pass_at_k(6, c, 3) for c, w in enumerate(weights)) == pytest.approx(1 - 0.7**3)
    assert sum(w * pass_hat_k(6, c, 3) for c, w in enumerate(weights)) == pytest.approx(0.3**3)


@pytest.mark.parametrize("arguments", [(4, 1, 5), (4, 1, 0), (4, 5, 1), (4, -1, 1), (0, 0, 1)])
def test_rejects(arguments: tuple[int, int, int]):
    with pytest.raises(ValueError, match=r"k must be|correct of"):
        pass_at_k(*arguments)
    with pytest.raises(ValueError, match=r"k must be|correct of"):
        pass_hat_k(*arguments)


def test_interval_is_over_tasks():
    counts = [(4, 0), (4, 1), (4, 4)]
    assert pass_at_k_interval(counts, 2).value == pytest.approx((0 + 0.5 + 1) / 3)
    assert pass_hat_k_interval(counts, 2).value == pytest.approx(1 / 3)
    few, many = pass_at_k_interval(counts, 2), pass_at_k_interval(counts * 20, 2)
    assert few.width > 3 * many.width
    with pytest.raises(ValueError, match="one value a task"):
        pass_at_k_interval([], 1)


def test_interval_covers():
    generator = np.random.default_rng(1)
    k, num_draws = 4, 400
    truth = float((1 - (1 - generator.beta(0.02, 5.0, size=2_000_000)) ** k).mean())
    covered = 0
    for _ in range(num_draws):
        correct = generator.binomial(8, generator.beta(0.02, 5.0, size=200))
        interval = pass_at_k_interval([(8, int(c)) for c in correct], k)
        covered += interval.low <= truth <= interval.high
    assert covered / num_draws >= 0.92


def test_differences_by_hand():
    """pass@2 of (4, 1) is 1/2, of (4, 2) 5/6; pass^2 of (4, 2) is 1/6, of (4, 4) 1."""
    before, after = [(4, 1), (4, 2)], [(4, 2), (4, 4)]
    gain = pass_at_k_difference(before, after, 2)
    assert gain.value == pytest.approx((5 / 6 - 1 / 2 + 1 - 5 / 6) / 2)
    assert (gain.num_tasks, gain.num_improved) == (2, 2)
    assert pass_hat_k_difference(before, after, 2).value == pytest.approx((1 / 6 + 5 / 6) / 2)
    with pytest.raises(ValueError, match="pair the same tasks"):
        pass_at_k_difference(before, after[:1], 2)


@pytest.mark.parametrize("num_tasks", [5, 50])
@pytest.mark.parametrize("difference", [pass_at_k_difference, pass_hat_k_difference])
def test_differences_cover(num_tasks: int, difference):
    """Tasks of beta(1, 1), each brought a third of the way to 1; eight samples, k = 4."""
    generator = np.random.default_rng(5)
    many = generator.random(400_000)
    shares = (many, many + (1 - many) / 3)
    k = 4
    chances = [1 - (1 - p) ** k if difference is pass_at_k_difference else p**k for p in shares]
    truth, covered, num_trials = float((chances[1] - chances[0]).mean()), 0, 120
    for _ in range(num_trials):
        p = generator.random(num_tasks)
        before, after = (generator.binomial(8, each) for each in (p, p + (1 - p) / 3))
        gain = difference([(8, int(c)) for c in before], [(8, int(c)) for c in after], k)
        covered += gain.low <= truth <= gain.high
    assert covered / num_trials >= 0.88


def test_estimates_that_crowd_at_an_end_are_no_more_than_their_draws():
    """Twenty tasks of which few have any of pass^4, 0.048 in truth: with 160 samples as 160 draws, and not 40, the
    interval would hold it in 77 of 100."""
    generator = np.random.default_rng(6)
    truth, covered, num_trials = 0.2 / 4.2, 0, 150
    for _ in range(num_trials):
        counts = generator.binomial(8, generator.beta(0.2, 1.0, 20))
        interval = pass_hat_k_interval([(8, int(count)) for count in counts], 4)
        covered += interval.low <= truth <= interval.high
    assert covered / num_trials >= 0.9
