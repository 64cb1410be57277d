from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from assay.statistics import permutation_test
from assay.statistics.permutation import NUM_PERMUTATIONS


def test_by_hand():
    """Of the 10 ways to choose two of five, only {1, 2} and {4, 5} lie as far out as {1, 2} does."""
    assert permutation_test([1.0, 2.0], [3.0, 4.0, 5.0]) == pytest.approx(2 / 10)
    assert permutation_test([1.0, 1.0], [1.0, 1.0]) == 1.0


def test_agrees_with_scipy():
    generator = np.random.default_rng(0)
    one, other = generator.normal(0, 1, 6), generator.normal(0.8, 1, 5)
    expected = stats.permutation_test((one, other), lambda a, b: a.mean() - b.mean(), n_resamples=np.inf)
    assert permutation_test(one.tolist(), other.tolist()) == pytest.approx(expected.pvalue, abs=0.01)


def test_many_values_are_drawn_and_never_give_zero():
    assert math.comb(40, 20) > NUM_PERMUTATIONS
    assert permutation_test([0.0] * 20, [1.0] * 20) == pytest.approx(1 / (NUM_PERMUTATIONS + 1))


@pytest.mark.parametrize(("first", "second"), [([], [1.0]), ([1.0], []), ([1.0], [math.inf])])
def test_rejects(first: list[float], second: list[float]):
    with pytest.raises(ValueError, match="two groups"):
        permutation_test(first, second)
