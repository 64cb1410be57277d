from __future__ import annotations

import math

import numpy as np
import pytest

from assay.statistics import (
    clustered_proportion,
    difference_over_seeds,
    paired_difference,
    proportion_over_seeds,
    seeds_excess,
    t_interval,
)


def test_excess_by_hand():
    """Seeds at 1/4 and 3/4 of four tasks: M_s = 4 * (2 / 16) = 1/2. Left over: residuals +-1/4 in two tasks of four and
    +-1/4 ... worked out as 1/6: t(1) = 12.7062 times sqrt((1/2 - 1/6) / 8)."""
    values = [[0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 1.0, 1.0]]
    # Seed means 1/4, 3/4, task means 1/2, 0, 1/2, 1, mean 1/2: residuals -1/4, 1/4, -1/4, 1/4 and their opposites.
    left = 8 * (1 / 16) / 3
    assert seeds_excess(values) == pytest.approx(12.7062047 * math.sqrt((0.5 - left) / 8))


def test_seeds_that_agree_add_nothing():
    after = [[1.0, 0.0, 1.0, 1.0]] * 3
    before = [[0.0, 0.0, 1.0, 0.0]] * 3
    both = difference_over_seeds(before, after, num_samples=(4, 4))
    tasks = paired_difference(before[0], after[0], num_samples=(4, 4))
    assert (both.value, both.low, both.high) == (tasks.value, tasks.low, tasks.high)
    alone = proportion_over_seeds(after, 12)
    plain = clustered_proportion(after[0], 12)
    assert (alone.low, alone.high) == (plain.low, plain.high)


def test_tasks_that_agree_leave_the_interval_of_seeds():
    """Every task of a seed alike: the seeds' t interval, and what tasks could still add."""
    shares = [0.2, 0.5, 0.8]
    values = [[share] * 50 for share in shares]
    assert seeds_excess(values) == pytest.approx(t_interval(shares).high - 0.5)
    assert proportion_over_seeds(values, 15_000).width == pytest.approx(1.0), "held inside 0 and 1"


def test_an_interval_over_seeds_alone_promises_too_much():
    """Three seeds within a point of each other on 256 tasks: tasks alone are worth ten times as much."""
    generator = np.random.default_rng(0)
    difficulty = generator.random(256)
    after = [(generator.random(256) < difficulty).astype(float).tolist() for _ in range(3)]
    gains = [float(np.mean(row)) for row in after]
    over_seeds = t_interval(gains)
    both = difference_over_seeds([[0.0] * 256] * 3, after, num_samples=(256, 768))
    assert both.width > 0.08
    assert both.value == pytest.approx(over_seeds.value)


@pytest.mark.parametrize(
    "values", [[[1.0, 0.0]], [[1.0], [0.0]], [[1.0, 0.0], [1.0]], [], [[0.0, 2.0], [1.0, 1.0], [0.0, 0.0]]]
)
def test_rejects(values: list[list[float]]):
    with pytest.raises(ValueError, match=r"two of each|every seed|outside"):
        proportion_over_seeds(values, 100)


def test_rejects_other_tasks_before_than_after():
    with pytest.raises(ValueError, match="before"):
        difference_over_seeds([[0.0, 1.0]] * 2, [[0.0, 1.0, 1.0]] * 2)


@pytest.mark.parametrize("between_seeds", [0.0, 0.2, 1.0])
@pytest.mark.parametrize(("num_seeds", "num_tasks"), [(3, 64), (3, 256), (5, 64)])
def test_covers_seeds_and_tasks(num_seeds: int, num_tasks: int, between_seeds: float):
    """Logits of a task, of a seed, and of a task under a seed: 92 % or more of 200 intervals hold the gain of all
    tasks and seeds, where Student's over seeds holds it in 82 to 92 %."""
    generator = np.random.default_rng(3)

    def solved(seed: np.ndarray, task: np.ndarray) -> np.ndarray:
        logit = 0.6 + task + seed
        return 1 / (1 + np.exp(-(logit + generator.normal(0.0, 1.0, logit.shape))))

    many = 200_000
    truth = solved(generator.normal(0, between_seeds, many), generator.normal(0, 1.5, many)).mean() - 0.17
    covered, num_draws = 0, 200
    for _ in range(num_draws):
        chance = solved(generator.normal(0, between_seeds, (num_seeds, 1)), generator.normal(0, 1.5, num_tasks)[None])
        after = (generator.random(chance.shape) < chance).astype(float).tolist()
        before = [(generator.random(num_tasks) < 0.17).astype(float).tolist()] * num_seeds
        interval = difference_over_seeds(before, after, num_samples=(num_tasks, num_seeds * num_tasks))
        covered += interval.low <= truth <= interval.high
    assert covered / num_draws >= 0.92
