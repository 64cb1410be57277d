from __future__ import annotations

import math

import numpy as np
import pytest

from assay.statistics import Estimate, fit_hazard


def covers(estimate: Estimate, truth: float) -> bool:
    return (estimate.low is None or estimate.low <= truth) and (estimate.high is None or truth <= estimate.high)


def test_one_length_gives_the_root_of_the_share() -> None:
    # 8 of 10 at length 4: p^4 = 0.8.
    fit = fit_hazard([4], [10], [8], [0])
    assert fit.reliability[0].value == pytest.approx(0.8**0.25, rel=1e-6)
    assert fit.shape.value is None, "one length tells no shape"
    assert fit.p_value is None
    assert fit.log_loss == pytest.approx(-(0.8 * math.log(0.8) + 0.2 * math.log(0.2)), rel=1e-6)


def test_the_interval_of_one_length_is_that_of_the_likelihood_ratio() -> None:
    low, high = (fit_hazard([4], [10], [8], [0]).reliability[0].to_dict()[end] for end in ("low", "high"))
    most = 8 * math.log(0.8) + 2 * math.log(0.2)
    for end in (low, high):
        assert end is not None
        share = end**4
        assert most - (8 * math.log(share) + 2 * math.log(1 - share)) == pytest.approx(3.841459 / 2, rel=1e-3)


def test_all_solved_and_all_failed_leave_an_end_open() -> None:
    solved = fit_hazard([1, 2], [5, 5], [5, 5], [0, 0])
    # 15 steps in all: p^15 = exp(-1.92).
    assert solved.reliability[0].to_dict() == {
        "value": 1.0,
        "low": pytest.approx(math.exp(-3.841459 / 2 / 15), rel=1e-6),
        "high": 1.0,
    }
    failed = fit_hazard([1, 2], [5, 5], [0, 0], [0, 0]).reliability[0]
    assert (failed.value, failed.low) == (0.0, 0.0)
    assert failed.high is not None
    assert 0 < failed.high < 0.4
    assert fit_hazard([1, 2], [5, 5], [5, 5], [0, 0]).shape.value is None


def test_the_unit_of_the_length_does_not_change_the_shape() -> None:
    one = fit_hazard([1, 2, 4], [20, 20, 20], [18, 12, 3], [0, 0, 0])
    tokens = fit_hazard([25, 50, 100], [20, 20, 20], [18, 12, 3], [0, 0, 0])
    assert one.shape.value == pytest.approx(tokens.shape.value, abs=0.01)
    assert one.p_value == pytest.approx(tokens.p_value, abs=0.01)
    assert one.reliability[0].value == pytest.approx((tokens.reliability[0].value or 0) ** 25, rel=1e-4)


@pytest.mark.parametrize(("shape", "rejected"), [(1.0, (0, 4)), (1.8, (30, 40))])
def test_simulated_hazards_are_recovered(shape: float, rejected: tuple[int, int]) -> None:
    generator = np.random.default_rng(1)
    lengths, groups = np.array([1, 2, 4, 8] * 2, dtype=float), [0] * 4 + [1] * 4
    reliability = np.array([0.96, 0.8])
    survives = np.exp(np.log(reliability[groups]) * lengths**shape)
    num = [25] * 8
    covered, of_shape, num_rejected = 0, 0, 0
    for _ in range(40):
        fit = fit_hazard(lengths.tolist(), num, generator.binomial(25, survives).tolist(), groups)
        covered += sum(covers(each, truth) for each, truth in zip(fit.reliability, reliability, strict=True))
        of_shape += covers(fit.shape, shape)
        num_rejected += fit.p_value is not None and fit.p_value < 0.05
    # Of 40 at 95 %, fewer than 34 come 1 time in 100.
    assert of_shape >= 34
    assert rejected[0] <= num_rejected <= rejected[1]
    if shape == 1:
        assert covered >= 70


@pytest.mark.parametrize(
    ("lengths", "num", "solved", "message"),
    [([0], [1], [1], "above 0"), ([1], [1], [2], "solved"), ([], [], [], "above 0"), ([1], [0], [0], "solved")],
)
def test_bad_input_is_named(lengths: list[float], num: list[int], solved: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_hazard(lengths, num, solved, [0] * len(lengths))
