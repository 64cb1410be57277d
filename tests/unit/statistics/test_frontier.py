from __future__ import annotations

import math

import numpy as np
import pytest

from assay.statistics import Estimate, fit_frontier, fit_logistic

LENGTHS = [1.0, 2.0, 4.0, 8.0]


def covers(estimate: Estimate, truth: float) -> bool:
    return (estimate.low is None or estimate.low <= truth) and (estimate.high is None or truth <= estimate.high)


def test_one_group_is_the_logistic_regression_of_its_cells() -> None:
    num, solved = [20.0] * 4, [18.0, 15.0, 8.0, 3.0]
    fit = fit_frontier(LENGTHS, [20] * 4, [18, 15, 8, 3], [0] * 4, [1.0])
    design = np.stack([np.ones(4), np.log2(LENGTHS)], axis=1)
    intercept, slope = fit_logistic(design, np.array([num]), np.array([solved]), np.array([0.0, 1e-9]))[0]
    assert fit.horizons[0][0.5].value == pytest.approx(2 ** (-intercept / slope), rel=0.01)
    assert fit.horizons[0][0.8].value == pytest.approx(2 ** ((math.log(4) - intercept) / slope), rel=0.02)
    assert fit.doubling.value == pytest.approx(slope, abs=0.05)
    assert fit.surface is None
    assert fit.linear_p is None


def test_the_end_of_an_interval_is_where_the_likelihood_has_fallen_enough() -> None:
    num, solved = np.array([20.0] * 4), np.array([18.0, 15.0, 8.0, 3.0])
    fit = fit_frontier(LENGTHS, [20] * 4, [18, 15, 8, 3], [0] * 4, [1.0])
    x = np.log2(LENGTHS)

    def best_at(horizon: float) -> float:
        logits = [slope * (x - math.log2(horizon)) for slope in np.linspace(-6, 0, 2401)]
        return max(float((solved * each - num * np.logaddexp(0, each)).sum()) for each in logits)

    most = max(best_at(h) for h in np.linspace(2.5, 4.5, 41))
    for end in (fit.horizons[0][0.5].low, fit.horizons[0][0.5].high):
        assert end is not None
        assert most - best_at(end) == pytest.approx(3.841459 / 2, abs=0.05)


def test_what_all_solved_or_all_failed_is_open_on_that_side() -> None:
    fit = fit_frontier(LENGTHS * 2, [6] * 8, [6] * 4 + [0] * 4, [0] * 4 + [1] * 4, [1.0, 2.0])
    easy, hard = fit.horizons
    assert easy[0.5].value is None
    assert easy[0.5].high is None
    assert easy[0.5].low is not None
    assert 8 <= easy[0.5].low < 8.2, "six solved of six tasks at 8 are not done with a chance of one half"
    assert hard[0.5].value is None
    assert hard[0.5].low is None
    assert hard[0.5].high is not None
    assert 0.9 < hard[0.5].high <= 1


def test_separated_cells_have_an_interval_of_the_tasks_and_no_endless_slope() -> None:
    fit = fit_frontier(LENGTHS, [10] * 4, [10, 10, 0, 0], [0] * 4, [1.0])
    horizon = fit.horizons[0][0.5]
    assert horizon.value is not None
    assert 2 <= horizon.value <= 4
    assert horizon.low is not None
    assert horizon.high is not None
    assert 1.95 < horizon.low <= 2.1, "anywhere in the gap"
    assert 3.8 <= horizon.high < 4.05
    assert fit.doubling.value is None
    assert fit.doubling.low is None
    assert fit.doubling.high is not None
    assert fit.doubling.high < -1


@pytest.mark.parametrize(
    ("lengths", "num", "solved", "note"),
    [
        ([3.0, 3.0], [5, 5], [2, 3], "one length"),
        (LENGTHS, [10] * 4, [1, 3, 6, 9], "does not fall"),
        ([1.0, 2.0], [1, 0], [1, 0], ""),
    ],
)
def test_where_there_is_no_horizon_it_is_said(
    lengths: list[float], num: list[int], solved: list[int], note: str
) -> None:
    if not note:
        with pytest.raises(ValueError, match="solved"):
            fit_frontier(lengths, num, solved, [0] * len(num), [1.0])
        return
    fit = fit_frontier(lengths, num, solved, [0] * len(num), [1.0])
    assert note in fit.note
    assert fit.horizons[0][0.5].value is None


def test_fewer_tasks_than_coefficients_are_said_to_be_too_few() -> None:
    fit = fit_frontier([1.0, 2.0], [1, 1], [1, 0], [0, 1], [1.0, 2.0])
    assert "2 tasks say nothing of 3 coefficients" in fit.note


def test_simulated_frontiers_are_recovered() -> None:
    generator = np.random.default_rng(3)
    horizons, slope, groups = np.array([6.0, 2.5, 0.9]), -1.4, [0] * 4 + [1] * 4 + [2] * 4
    lengths = np.array(LENGTHS * 3)
    chance = 1 / (1 + np.exp(-slope * np.log2(lengths / horizons[groups])))
    repeats, covered, of_slope = 30, {0.5: 0, 0.8: 0}, 0
    for _ in range(repeats):
        fit = fit_frontier(lengths.tolist(), [12] * 12, generator.binomial(12, chance).tolist(), groups, [1, 2, 3])
        of_slope += covers(fit.doubling, slope)
        for share in covered:
            truth = horizons * 2 ** (math.log(share / (1 - share)) / slope)
            covered[share] += sum(covers(group[share], h) for group, h in zip(fit.horizons, truth, strict=True))
    # Of 90 at 95 %, fewer than 80 come 1 time in 100.
    assert covered[0.5] >= 80
    assert covered[0.8] >= 80
    assert of_slope >= 25


def test_steps_of_complexity_that_are_not_alike_are_noticed() -> None:
    lengths, groups = LENGTHS * 3, [0] * 4 + [1] * 4 + [2] * 4
    chance = [
        1 / (1 + math.exp(1.5 * math.log2(h / reach)))
        for h, reach in zip(lengths, [8] * 4 + [7] * 4 + [0.7] * 4, strict=True)
    ]
    solved = [round(40 * each) for each in chance]
    uneven = fit_frontier(lengths, [40] * 12, solved, groups, [1.0, 2.0, 3.0])
    even = fit_frontier(lengths, [40] * 12, solved, groups, [1.0, 1.2, 3.0])
    assert uneven.linear_p is not None
    assert uneven.linear_p < 0.01
    assert even.linear_p is not None
    assert even.linear_p > 0.05
    assert even.complexity.value is not None
    assert even.complexity.value < 0
