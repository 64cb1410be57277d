from __future__ import annotations

import math

import numpy as np
import pytest

from assay.statistics import nested_rows, paired_bootstrap, t_interval


def test_of_a_mean_of_normal_differences_it_is_students():
    generator = np.random.default_rng(0)
    before = generator.normal(0, 1, 12)
    after = before + generator.normal(0.5, 1, 12)
    found, expected = paired_bootstrap(before, after, num_draws=2000), t_interval((after - before).tolist())
    assert found.value == pytest.approx(expected.value)
    assert found.width == pytest.approx(expected.width, rel=0.08)


def test_tasks_are_drawn_in_pairs():
    """Tasks differ a hundredfold, and every one gains exactly 1: nothing is left to vary."""
    before = np.array([0.0, 10.0, 50.0, 100.0])
    found = paired_bootstrap(before, before + 1)
    assert (found.low, found.value, found.high) == pytest.approx((1.0, 1.0, 1.0))


def test_samples_go_with_their_task():
    """Copies of a sample are no more tasks."""
    before, after = np.array([0.0, 0.2, 0.9, 0.4, 0.1]), np.array([0.3, 0.2, 1.0, 0.9, 0.2])
    one = paired_bootstrap(before, after)
    eight = paired_bootstrap(np.repeat(before[:, None], 8, axis=1), np.repeat(after[:, None], 8, axis=1))
    assert (one.low, one.high) == pytest.approx((eight.low, eight.high))


@pytest.mark.parametrize("num_tasks", [5, 20])
@pytest.mark.parametrize("statistic", [np.mean, np.median], ids=["mean", "median"])
def test_covers_over_tasks(num_tasks: int, statistic):
    """Gains of tasks are normal around 0.3, so that mean and median are 0.3."""
    generator = np.random.default_rng(1)
    covered, num_trials = 0, 80
    for trial in range(num_trials):
        before = np.zeros(num_tasks)
        after = generator.normal(0.3, 1, num_tasks)
        found = paired_bootstrap(before, after, statistic, num_draws=100, seed=trial)
        covered += found.low <= 0.3 <= found.high
    assert covered / num_trials >= 0.89


def test_covers_over_seeds_and_tasks():
    """Three seeds of spread 0.5 on 20 tasks: an interval over tasks alone would be a third too short."""
    generator = np.random.default_rng(2)
    covered, narrow, num_trials = 0, 0, 50
    for trial in range(num_trials):
        before = np.zeros((1, 20))
        after = 0.3 + generator.normal(0, 0.5, (3, 1)) + generator.normal(0, 0.5, 20) + generator.normal(0, 1, (3, 20))
        found = paired_bootstrap(before, after, over_seeds=True, num_draws=100, seed=trial)
        covered += found.low <= 0.3 <= found.high
        alone = paired_bootstrap(before[0], after.mean(0), num_draws=100, seed=trial)
        narrow += alone.low <= 0.3 <= alone.high
    assert covered / num_trials >= 0.9
    assert narrow / num_trials < 0.88


@pytest.mark.parametrize(
    ("before", "after", "over_seeds"),
    [
        ([1.0], [2.0], False),
        ([1.0, 2.0], [1.0], False),
        ([[1.0, 2.0]], [[1.0, 2.0]], True),
        ([1.0, math.nan], [0, 0], False),
    ],
)
def test_rejects(before: list, after: list, over_seeds: bool):
    with pytest.raises(ValueError, match=r"two tasks|same tasks|not finite"):
        paired_bootstrap(before, after, over_seeds=over_seeds)


def test_nested_rows_by_hand():
    """Family A has tasks a1 (rows 0, 1) and a2 (row 2), family B task b1 (rows 3, 4, 5). Every draw takes two families,
    and of each as many tasks, and of these as many rows, as it has: at least 1 + 1 + ... rows of whole tasks."""
    families = np.array(["A", "A", "A", "B", "B", "B"])
    tasks = np.array(["a1", "a1", "a2", "b1", "b1", "b1"])
    strata = np.zeros(6, dtype=int)
    sizes = set()
    for rows in nested_rows((families, tasks), strata, 400, np.random.default_rng(0)):
        counts = np.bincount(rows, minlength=6)
        in_b, in_a = counts[3:].sum(), counts[:3].sum()
        assert in_b in (0, 3, 6)
        assert counts[2] + (counts[0] + counts[1]) // 2 in (0, 2, 4)  # tasks of A: two for each time it was taken
        assert (counts[0] + counts[1]) % 2 == 0
        sizes.add(int(in_a))
    assert sizes == {0, 2, 3, 4, 5, 6, 7, 8}, "2 to 4 rows for each time A is taken"


def test_nested_rows_take_each_as_often_as_it_should():
    families, tasks = np.repeat([0, 1], [4, 6]), np.repeat([0, 1, 2, 3], [2, 2, 3, 3])
    counts = np.zeros(10)
    for rows in nested_rows((families, tasks), np.zeros(10), 1500, np.random.default_rng(0)):
        counts += np.bincount(rows, minlength=10)
    assert counts / 1500 == pytest.approx(np.ones(10), abs=0.12)


def test_a_name_in_two_groups_is_two_groups():
    families, tasks = np.repeat([0, 1], 2), np.array([7, 7, 7, 7])
    for rows in nested_rows((families, tasks), np.zeros(4), 50, np.random.default_rng(0)):
        assert np.bincount(rows // 2, minlength=2)[0] in (0, 2, 4)


def test_strata_share_the_groups_and_keep_their_rows():
    tasks, models = np.array([0, 0, 0, 1, 1, 1]), np.array(["x", "x", "y", "x", "x", "y"])
    for rows in nested_rows((tasks,), models, 50, np.random.default_rng(0)):
        taken = np.bincount(tasks[rows], minlength=2) / 3
        assert [((tasks[rows] == task) & (models[rows] == "y")).sum() for task in (0, 1)] == taken.tolist()
    for rows in nested_rows((), models, 50, np.random.default_rng(0)):
        assert (models[rows] == "y").sum() == 2
