from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from assay.statistics import detectable_difference


def test_of_many_values_it_is_the_normal_formula() -> None:
    # (1.960 + 0.8416) s sqrt(2 / n), s = 1 exactly: 5,000 values of +1 and -1, scaled to n - 1.
    values = np.tile([1.0, -1.0], 5000) * math.sqrt(9999 / 10000)
    assert detectable_difference([values, values + 5]) == pytest.approx(2.8016 * math.sqrt(2 / 10_000), rel=1e-3)


def test_of_three_seeds_a_cell_it_is_found_four_times_in_five() -> None:
    """By simulation: two cells of three, spread 1, apart by what was returned."""
    cell = [-1.0, 0.0, 1.0]  # standard deviation 1
    difference = detectable_difference([cell, cell])
    assert difference is not None
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 1, (20_000, 3)), rng.normal(difference, 1, (20_000, 3))
    found = stats.ttest_ind(first, second, axis=1).pvalue < 0.05  # pyright: ignore[reportAttributeAccessIssue]
    assert float(found.mean()) == pytest.approx(0.8, abs=0.012)


def test_more_cells_say_more_about_the_spread_and_more_seeds_about_the_means() -> None:
    cell = [-1.0, 0.0, 1.0]
    two, six = detectable_difference([cell] * 2), detectable_difference([cell] * 6)
    longer = detectable_difference([[-1.0, -1.0, 0.0, 0.0, 1.0, 1.0]] * 2)
    assert two is not None
    assert six is not None
    assert longer is not None
    assert longer < six < two


def test_what_does_not_repeat_says_nothing() -> None:
    assert detectable_difference([[1.0], [2.0, 3.0]]) is None
    assert detectable_difference([]) is None
    with pytest.raises(ValueError, match="not finite"):
        detectable_difference([[1.0, math.nan], [1.0, 2.0]])
