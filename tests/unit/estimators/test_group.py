"""Numbers worked by hand: rewards (1, 0, 0, 0) have mean 1/4, squared deviations 9/16 + 3/16 = 3/4, and so a sample
variance of 1/4 and a standard deviation of 1/2."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from assay.estimators import group_mean, leave_one_out, no_baseline, standardised

COMPARING = [group_mean, leave_one_out, standardised]
ONE_OF_FOUR = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)


def exact(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_no_baseline_returns_rewards_as_they_are() -> None:
    rewards = exact(2.0, -1.0)
    advantages = no_baseline(rewards)
    assert_close(advantages, rewards)
    assert advantages.data_ptr() != rewards.data_ptr()


def test_group_mean_by_hand() -> None:
    assert_close(group_mean(ONE_OF_FOUR), exact(3 / 4, -1 / 4, -1 / 4, -1 / 4))
    assert_close(group_mean(exact(5.0, 1.0)), exact(2.0, -2.0))


def test_leave_one_out_by_hand() -> None:
    assert_close(leave_one_out(ONE_OF_FOUR), exact(1.0, -1 / 3, -1 / 3, -1 / 3))
    # Graded: 4 - (1 + 0) / 2, 1 - (4 + 0) / 2, 0 - (4 + 1) / 2.
    assert_close(leave_one_out(exact(4.0, 1.0, 0.0)), exact(3.5, -1.0, -2.5))


def test_standardised_divides_by_the_sample_standard_deviation() -> None:
    assert_close(standardised(ONE_OF_FOUR, epsilon=0.0), exact(1.5, -0.5, -0.5, -0.5))
    # The divisor G - 1, not G, under the square root: one of two has deviation 1 / sqrt(2), so advantages 1 / sqrt(2).
    assert_close(standardised(exact(1.0, 0.0), epsilon=0.0), exact(math.sqrt(0.5), -math.sqrt(0.5)))


def test_standardised_epsilon_is_added_to_the_deviation() -> None:
    assert_close(standardised(ONE_OF_FOUR, epsilon=0.5), exact(0.75, -0.25, -0.25, -0.25))


def test_standardised_ignores_the_scale_of_the_reward() -> None:
    assert_close(standardised(ONE_OF_FOUR * 1000), standardised(ONE_OF_FOUR), rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("estimator", COMPARING)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("reward", [0.1, 1 / 3, 1e-30, -7.7, 1e30])
def test_equal_rewards_give_exact_zeros(estimator, dtype: torch.dtype, reward: float) -> None:
    # In float32 the mean of seven 0.1s is not 0.1: what rounding leaves must not be divided by epsilon.
    advantages = estimator(torch.full((7,), reward, dtype=dtype))
    assert advantages.dtype == dtype
    assert torch.equal(advantages, torch.zeros(7, dtype=dtype))


@pytest.mark.parametrize("estimator", COMPARING)
def test_singleton_is_an_error(estimator) -> None:
    with pytest.raises(ValueError, match="at least 2 measured members, got 1"):
        estimator(torch.tensor([1.0]))


@pytest.mark.parametrize("estimator", [*COMPARING, no_baseline])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_rewards_that_are_not_finite_are_an_error(estimator, bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        estimator(torch.tensor([1.0, bad]))


@pytest.mark.parametrize(
    "rewards", [torch.zeros(2, 2), torch.tensor([1, 0]), torch.tensor([])], ids=["2d", "integer", "empty"]
)
def test_wrong_shape_or_type_is_an_error(rewards: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"\[G\] float|at least"):
        no_baseline(rewards)
