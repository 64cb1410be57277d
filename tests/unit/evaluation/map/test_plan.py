from __future__ import annotations

import doctest

import pytest

from assay.evaluation.map import allocate, plan
from assay.evaluation.map.plan import uncertainty, worst_half_width
from assay.statistics import wilson


def test_the_example_in_the_docstring_holds() -> None:
    assert doctest.testmod(plan) == (0, 1)


def test_tasks_go_where_the_outcome_is_uncertain_and_cheap() -> None:
    counts = allocate([0.5, 0.25, 0.5], [10, 10, 40], [1000] * 3, budget=10_000, least=6)
    assert counts[0] == pytest.approx(2 * counts[1], abs=2), "as the deviation"
    assert counts[0] == pytest.approx(2 * counts[2], abs=2), "as one over the root of the cost"
    assert sum(count * cost for count, cost in zip(counts, [10, 10, 40], strict=True)) <= 10_000


@pytest.mark.parametrize("budget", [0, 55, 600, 3_000, 100_000])
def test_never_more_than_the_budget_nor_than_there_is(budget: int) -> None:
    cost = [5, 10, 100]
    counts = allocate([0.5, 0.1, 0.4], cost, [60, 60, 8], budget=budget, least=6)
    assert sum(count * each for count, each in zip(counts, cost, strict=True)) <= budget
    assert all(count == 0 or 6 <= count <= most for count, most in zip(counts, [60, 60, 8], strict=True))
    if budget == 100_000:
        assert counts == [60, 60, 8]
    if budget == 55:
        assert counts[0] >= 6, "the costliest cells are left out first"
        assert counts[1:] == [0, 0]


def test_a_cell_among_hopeless_ones_is_thought_more_hopeless_than_one_among_others() -> None:
    alone = uncertainty([0, 3], [3, 3], [[], []])
    beside = uncertainty([0, 0, 0], [3, 3, 3], [[1, 2], [0], [0]])
    assert beside[0] < alone[0]
    assert alone[0] == pytest.approx(alone[1]), "certain success is as certain as certain failure"
    mixed = uncertainty([1, 3], [3, 3], [[1], [0]])
    assert mixed[0] > mixed[1]


def test_the_widest_interval_is_that_of_one_half() -> None:
    assert worst_half_width(20) == pytest.approx(wilson(10, 20).width / 2, rel=1e-9)
