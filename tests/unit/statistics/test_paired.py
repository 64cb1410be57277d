from __future__ import annotations

import math

import numpy as np
import pytest

from assay.statistics import mcnemar_exact, paired_difference, sign_flip_test, wilson
from assay.statistics.permutation import NUM_PERMUTATIONS


def test_mcnemar_by_hand():
    assert mcnemar_exact(5, 0) == pytest.approx(2 / 32)
    assert mcnemar_exact(6, 1) == pytest.approx(2 * (1 + 7) / 128)
    assert mcnemar_exact(3, 3) == 1.0
    assert mcnemar_exact(0, 0) == 1.0
    with pytest.raises(ValueError, match="negative"):
        mcnemar_exact(-1, 0)


@pytest.mark.parametrize(("improved", "worsened"), [(5, 0), (6, 1), (4, 9), (2, 2)])
def test_sign_flip_on_binary_values_is_mcnemar(improved: int, worsened: int):
    differences = [1.0] * improved + [-1.0] * worsened + [0.0] * 30
    assert sign_flip_test(differences) == pytest.approx(mcnemar_exact(improved, worsened))


def test_sign_flip_by_hand():
    # The eight sums are +-7, +-5, +-3, +-1; the observed one is 5.
    assert sign_flip_test([-1.0, 2.0, 4.0]) == pytest.approx(4 / 8)
    assert sign_flip_test([0.0, 0.0]) == 1.0
    with pytest.raises(ValueError, match="not finite"):
        sign_flip_test([math.nan])


def test_sampled_sign_flips():
    assert sign_flip_test([0.25] * 60) == pytest.approx(1 / (NUM_PERMUTATIONS + 1))
    half = [0.5, -0.25] * 15
    assert sign_flip_test(half) == sign_flip_test(half), "the seed is fixed"
    # Close to the normal approximation: sum 3.75, sd sqrt(15 * (0.25 + 0.0625)) = 2.165, half a lattice step 0.25:
    # z = 3.5 / 2.165 = 1.617, two-sided 0.106.
    assert sign_flip_test(half) == pytest.approx(0.106, abs=0.008)


def test_difference_by_hand():
    """Newcombe's square-and-add for 2 of 4 -> 3 of 4 with one worsened: r = -1/sqrt(3)."""
    before, after = [1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 1.0, 1.0]
    difference = paired_difference(before, after)
    assert difference.value == 0.25
    assert (difference.num_improved, difference.num_worsened, difference.num_tasks) == (2, 1, 4)
    assert difference.p_value == 1.0
    assert difference.test == "mcnemar_exact"
    b, a, r = wilson(2, 4), wilson(3, 4), -1 / math.sqrt(3)
    x, y = a.value - a.low, b.high - b.value
    assert difference.low == pytest.approx(0.25 - math.sqrt(x * x - 2 * r * x * y + y * y))
    x, y = a.high - a.value, b.value - b.low
    assert difference.high == pytest.approx(0.25 + math.sqrt(x * x - 2 * r * x * y + y * y))
    assert difference.interval.value == 0.25


def test_few_tasks_agree_by_chance():
    """4 of 8 to 5 of 8, the four solved again: a d - b c = 4 * 3 - 0 * 1 = 12, less n / 2 = 4 is 8, over
    sqrt(4 * 4 * 5 * 3). Twenty tasks and more, and shares of several samples, have r as it is."""
    before, after = [1, 1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0, 0, 0]
    difference, b, a = paired_difference(before, after), wilson(4, 8), wilson(5, 8)
    x, y, r = a.value - a.low, b.high - b.value, 8 / math.sqrt(240)
    assert difference.low == pytest.approx(0.125 - math.sqrt(x * x - 2 * r * x * y + y * y))
    many, b, a = paired_difference(before * 3, after * 3), wilson(12, 24), wilson(15, 24)
    x, y, r = a.value - a.low, b.high - b.value, 12 / math.sqrt(240)
    assert many.low == pytest.approx(0.125 - math.sqrt(x * x - 2 * r * x * y + y * y))
    # One that agrees by no more than chance is 0, not negative.
    by_chance, each = paired_difference([1, 1, 0, 0, 0], [1, 0, 1, 0, 0]), wilson(2, 5)
    assert by_chance.high == pytest.approx(math.hypot(each.high - each.value, each.value - each.low))


def test_swapping_sides_negates():
    before, after = [1, 1, 0, 0, 1, 0, 0], [1, 0, 1, 1, 1, 0, 1]
    forward, backward = paired_difference(before, after), paired_difference(after, before)
    assert (forward.value, forward.low, forward.high) == pytest.approx((-backward.value, -backward.high, -backward.low))
    assert forward.p_value == pytest.approx(backward.p_value)


def test_all_solved_after_none_keeps_a_width():
    difference = paired_difference([0] * 20, [1] * 20)
    assert (difference.value, difference.high) == (1.0, 1.0)
    assert 0.7 < difference.low < 0.95


def test_no_change_of_any_task():
    difference = paired_difference([0, 1, 1], [0, 1, 1])
    assert (difference.value, difference.p_value) == (0.0, 1.0)
    assert difference.low < 0 < difference.high, "three unchanged tasks do not show that no task changes"


def test_graded_values_use_the_sign_flip_test():
    difference = paired_difference([0.0, 0.25, 0.5], [0.5, 0.5, 1.0], num_samples=(12, 12))
    assert difference.test == "sign_flip"
    assert difference.p_value == pytest.approx(2 / 8)
    assert difference.value == pytest.approx(1.25 / 3)
    assert set(difference.to_dict()) >= {"value", "low", "high", "p_value", "test", "num_tasks"}


@pytest.mark.parametrize(("before", "after"), [([1.0], [1.0, 0.0]), ([], []), ([2.0], [1.0]), ([0.0], [math.nan])])
def test_rejects(before: list[float], after: list[float]):
    with pytest.raises(ValueError, match="task"):
        paired_difference(before, after)


@pytest.mark.parametrize("num_samples", [1, 4])
@pytest.mark.parametrize("num_tasks", [5, 10])
@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (5.0, 5.0)])
def test_covers_a_gain_of_few_tasks(a: float, b: float, num_tasks: int, num_samples: int):
    """Chances of tasks are beta, after training p + (1 - p) / 3. With r as it is 5 x 1 held it in 82 %."""
    generator = np.random.default_rng(3)
    truth, covered, num_draws = (1 - a / (a + b)) / 3, 0, 400
    for _ in range(num_draws):
        p = generator.beta(a, b, num_tasks)
        sides = [(generator.binomial(num_samples, q) / num_samples).tolist() for q in (p, p + (1 - p) / 3)]
        difference = paired_difference(*sides, num_samples=(num_samples * num_tasks,) * 2)
        covered += difference.low <= truth <= difference.high
    assert covered / num_draws >= 0.88


@pytest.mark.parametrize(("first", "second", "num_tasks"), [(0.1, 0.6, 200), (0.02, 0.98, 200), (0.1, 0.7, 20)])
def test_covers(first: float, second: float, num_tasks: int):
    generator = np.random.default_rng(2)
    covered, num_draws = 0, 600
    for _ in range(num_draws):
        shared, own = generator.random(num_tasks), generator.random(num_tasks)
        alike = generator.random(num_tasks) < 0.3
        before = (shared < first).astype(float)
        after = (np.where(alike, shared, own) < second).astype(float)
        difference = paired_difference(before.tolist(), after.tolist())
        covered += difference.low <= second - first <= difference.high
    assert 0.92 <= covered / num_draws <= 0.98
