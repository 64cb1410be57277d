from __future__ import annotations

import numpy as np
import pytest

from assay.statistics import noise_floor


def test_by_hand():
    """Two tasks of four samples, one solved and three: v = 3/16 * 4/3 = 1/4 each: 1.96 sqrt(2 * 1/4 * 2/4) / 2."""
    assert noise_floor([(4, 1), (4, 3)]) == pytest.approx(1.959964 * 0.5 / 2)
    # One evaluation of four samples against one of one: 1/4 + 1.
    assert noise_floor([(4, 1), (4, 3)], (4, 1)) == pytest.approx(1.959964 * (2 * 0.25 * 1.25) ** 0.5 / 2)
    assert noise_floor([(4, 0), (4, 4)]) == 0.0


def test_one_sample_says_nothing_of_another():
    assert noise_floor([(4, 1), (1, 1)]) is None


@pytest.mark.parametrize("num_tasks", [5, 20, 100])
def test_two_evaluations_of_one_model_differ_by_no_more(num_tasks: int):
    """95 of 100 times; of few tasks with few samples the floor itself is known badly."""
    generator = np.random.default_rng(0)
    within, num_trials = 0, 300
    for _ in range(num_trials):
        chances = generator.beta(1, 1, num_tasks)
        first, second = generator.binomial(8, chances), generator.binomial(8, chances)
        floor = noise_floor([(8, int(solved)) for solved in first])
        assert floor is not None
        within += abs(first.mean() - second.mean()) / 8 <= floor
    assert within / num_trials >= 0.91


def test_rejects():
    with pytest.raises(ValueError, match="needs a task"):
        noise_floor([])
    with pytest.raises(ValueError, match="3 solved of 2"):
        noise_floor([(2, 3)])
