from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from assay.statistics import clustered_proportion, t_interval, wilson


def test_wilson_by_hand():
    # n = 10, p = 1/2, z^2 = 3.841459: centre 1/2, half = z sqrt(0.025 + 0.0096036) / 1.3841459 = 0.263408
    interval = wilson(5, 10)
    assert interval.value == 0.5
    assert interval.low == pytest.approx(0.236593, abs=1e-6)
    assert interval.high == pytest.approx(0.763407, abs=1e-6)
    # All solved: low = n / (n + z^2)
    assert wilson(10, 10).low == pytest.approx(10 / 13.841459, abs=1e-6)
    assert wilson(10, 10).high == 1.0
    assert wilson(0, 10).low == 0.0


@pytest.mark.parametrize(("solved", "total"), [(0, 7), (3, 7), (7, 7), (83, 200)])
def test_wilson_agrees_with_scipy(solved: int, total: int):
    expected = stats.binomtest(solved, total).proportion_ci(method="wilson")
    interval = wilson(solved, total)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("solved", "total"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_rejects_bad_counts(solved: int, total: int):
    with pytest.raises(ValueError, match="task"):
        wilson(solved, total)


@pytest.mark.parametrize(("solved", "total"), [(0, 9), (4, 9), (9, 9)])
def test_one_binary_sample_a_task_is_wilson(solved: int, total: int):
    clustered = clustered_proportion([1.0] * solved + [0.0] * (total - solved), total)
    plain = wilson(solved, total)
    assert (clustered.value, clustered.low, clustered.high) == pytest.approx((plain.value, plain.low, plain.high))


def test_copied_samples_are_not_more_evidence():
    # Every sample of a task equal: eight samples say what one says.
    one = clustered_proportion([1.0, 0.0, 1.0, 0.0, 0.0], 5)
    eight = clustered_proportion([1.0, 0.0, 1.0, 0.0, 0.0], 40)
    assert (one.low, one.high) == (eight.low, eight.high)


def test_alike_tasks_count_every_sample():
    # No spread between tasks: n_eff is the number of samples, here 20 of which 10 are solved.
    clustered, plain = clustered_proportion([0.5] * 5, 20), wilson(10, 20)
    assert (clustered.low, clustered.high) == pytest.approx((plain.low, plain.high))


def test_effective_size_by_hand():
    # m = 1/2, s^2 = 1/8 over four tasks: n_eff = 4 * (1/4) / (1/8) = 8, half of it solved.
    clustered, plain = clustered_proportion([0.0, 0.5, 0.5, 1.0], 100), wilson(4, 8)
    assert (clustered.low, clustered.high) == pytest.approx((plain.low, plain.high))


@pytest.mark.parametrize("values", [[], [1.5], [-0.1], [float("nan")], [[0.0], [1.0]]])
def test_rejects_bad_values(values: list):
    with pytest.raises(ValueError, match="task"):
        clustered_proportion(values, 10)


def test_rejects_fewer_samples_than_tasks():
    with pytest.raises(ValueError, match="1 samples for 2 tasks"):
        clustered_proportion([0.0, 1.0], 1)


def test_covers_the_truth_where_tasks_differ():
    """Skewed tasks, four samples each: the interval covers in about 95 % of draws, where a t interval falls short."""
    generator = np.random.default_rng(0)
    covered, covered_by_t, num_draws, truth = 0, 0, 1000, 0.1 / 3.1
    for _ in range(num_draws):
        means = generator.binomial(4, generator.beta(0.1, 3.0, size=50)) / 4
        interval, rival = clustered_proportion(means.tolist(), 200), t_interval(means.tolist())
        covered += interval.low <= truth <= interval.high
        covered_by_t += rival.low <= truth <= rival.high
    assert 0.92 <= covered / num_draws <= 0.98
    assert covered_by_t / num_draws < 0.90
