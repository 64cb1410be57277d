from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from assay.statistics import clustered_mean, clustered_proportion, t_interval, wilson


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
    # No spread between tasks: n_eff is the number of samples, here 80 of which 40 are solved.
    clustered, plain = clustered_proportion([0.5] * 20, 80), wilson(40, 80)
    assert (clustered.low, clustered.high) == pytest.approx((plain.low, plain.high))


def test_effective_size_by_hand():
    # m = 1/2, s^2 = 1/8 over twenty tasks: n_eff = 20 * (1/4) / (1/8) = 40, half of it solved.
    clustered, plain = clustered_proportion([0.0, 0.5, 0.5, 1.0] * 5, 100), wilson(20, 40)
    assert (clustered.low, clustered.high) == pytest.approx((plain.low, plain.high))


def test_few_tasks_by_hand():
    """m = 1/2, s^2 = 1/6 over three degrees of freedom: n_eff = 4 * (1/4) / (1/6) = 6, times
    (t(99) / t(3))^2 = (1.984217 / 3.182446)^2 = 0.388743: 2.33, below the four tasks that there are. With s^2 = 1/24
    n_eff is 24 times that, 9.329839."""
    clustered, plain = clustered_proportion([0.0, 0.5, 0.5, 1.0], 100), wilson(2, 4)
    assert (clustered.low, clustered.high) == pytest.approx((plain.low, plain.high))
    clustered = clustered_proportion([0.25, 0.5, 0.5, 0.75], 100)
    z, n = 1.959963984540054, 24 * 0.388743
    half = z * math.sqrt(0.25 / n + z * z / (4 * n * n)) / (1 + z * z / n)
    assert (clustered.low, clustered.high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-5)


@pytest.mark.parametrize("num_tasks", [2, 5, 10, 19])
def test_few_tasks_of_several_samples_say_less_than_many_would(num_tasks: int):
    means = [0.25, 0.75] * (num_tasks // 2) + [0.5] * (num_tasks % 2)
    interval = clustered_proportion(means, 8 * num_tasks)
    share = sum(means) / num_tasks
    spread = float(np.var(means))
    effective = num_tasks * share * (1 - share) / spread
    assert interval.width > 1.05 * wilson_at(share, min(effective, 8 * num_tasks))
    assert interval.width <= wilson_at(share, num_tasks) + 1e-12


def wilson_at(share: float, size: float) -> float:
    """Width of Wilson's interval of a share of a number that need not be whole."""
    z = stats.norm.ppf(0.975)
    return 2 * z * math.sqrt(share * (1 - share) / size + z * z / (4 * size * size)) / (1 + z * z / size)


def test_means_on_another_range_are_stretched():
    share = clustered_proportion([0.25, 0.75, 0.5, 0.5], 16)
    mean = clustered_mean([-0.5, 0.5, 0.0, 0.0], 16, bounds=(-1.0, 1.0))
    ends = (share.value, share.low, share.high)
    assert (mean.value, mean.low, mean.high) == pytest.approx(tuple(2 * end - 1 for end in ends))
    with pytest.raises(ValueError, match="no range"):
        clustered_mean([1.0], 1, bounds=(1.0, 1.0))
    with pytest.raises(ValueError, match="outside"):
        clustered_mean([1.5], 1, bounds=(0.0, 1.0))


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


@pytest.mark.parametrize(
    ("num_tasks", "num_samples", "a", "b", "at_least"),
    [
        (5, 4, 0.5, 0.5, 0.95),
        (5, 8, 0.5, 0.5, 0.94),
        (5, 8, 1.0, 4.0, 0.95),
        (8, 8, 0.5, 0.5, 0.94),
        (8, 8, 0.2, 1.0, 0.91),
        (10, 8, 5.0, 5.0, 0.94),
        (10, 4, 0.2, 1.0, 0.92),
        (15, 8, 0.5, 0.5, 0.93),
    ],
)
def test_covers_the_truth_from_five_tasks_up(num_tasks: int, num_samples: int, a: float, b: float, at_least: float):
    """Where the variance over P and the normal quantile covered as little as 84 %."""
    generator = np.random.default_rng(5)
    covered, num_draws, truth = 0, 800, a / (a + b)
    for _ in range(num_draws):
        means = generator.binomial(num_samples, generator.beta(a, b, size=num_tasks)) / num_samples
        interval = clustered_proportion(means.tolist(), num_tasks * num_samples)
        covered += interval.low <= truth <= interval.high
    assert covered / num_draws >= at_least
