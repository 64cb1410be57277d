"""Losses of comparisons, with numbers worked by hand: probabilities are chosen so that logarithms are of fractions."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from assay.losses import (
    bradley_terry_loss,
    dpo_loss,
    ipo_loss,
    kto_loss,
    odds_ratio_loss,
    reference_point,
    simpo_loss,
)


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


LOG3 = math.log(3)
"""The logistic function of it is 3/4."""
ZERO = t(0)


def test_dpo_is_the_log_loss_of_the_scaled_margin() -> None:
    assert_close(dpo_loss(t(2 * LOG3), ZERO, beta=0.5), t(math.log(4 / 3)))
    assert_close(dpo_loss(ZERO, t(2 * LOG3), beta=0.5), t(math.log(4)))


def test_cdpo_mixes_in_the_swapped_pair_and_robust_dpo_takes_it_off() -> None:
    right, wrong = math.log(4 / 3), math.log(4)
    assert_close(dpo_loss(t(LOG3), ZERO, beta=1, label_smoothing=0.2), t(0.8 * right + 0.2 * wrong))
    robust = dpo_loss(t(LOG3, -LOG3), t(0, 0), beta=1, label_smoothing=0.2, unbiased=True)
    assert_close(robust, t((0.8 * right - 0.2 * wrong) / 0.6, (0.8 * wrong - 0.2 * right) / 0.6))
    # Its expectation, where a fifth of the labels is swapped, is the loss of the true labels.
    assert_close(0.8 * robust[0] + 0.2 * robust[1], t(right)[0])


def test_the_gradient_of_dpo_is_beta_times_the_share_it_has_wrong() -> None:
    chosen = t(2 * LOG3).requires_grad_()
    dpo_loss(chosen, ZERO, beta=0.5).sum().backward()
    assert_close(chosen.grad, t(-0.5 * 0.25))


def test_ipo_stops_at_its_margin() -> None:
    chosen = t(0, 2.5, 4).requires_grad_()
    loss = ipo_loss(chosen, t(0, 0, 0), tau=0.2)
    assert_close(loss.detach(), t(6.25, 0, 2.25))
    loss.sum().backward()
    assert_close(chosen.grad, t(-5, 0, 3))


def test_simpo_asks_for_a_margin_of_means() -> None:
    assert_close(simpo_loss(t(-1), t(-1 - LOG3), beta=2, gamma=LOG3), t(math.log(4 / 3)))


def test_odds_ratio() -> None:
    # Odds 3 and 1/3: a ratio of 9, whose share of 10 is 9/10.
    assert_close(odds_ratio_loss(t(0.75).log(), t(0.25).log()), t(math.log(10 / 9)))


def test_odds_of_a_certain_response_are_finite_with_their_gradient() -> None:
    sure = t(0.0).requires_grad_()
    loss = odds_ratio_loss(sure, t(-1))
    loss.sum().backward()
    assert bool(loss.isfinite().all())
    assert sure.grad is not None
    assert bool(sure.grad.isfinite().all())


def test_kto_values_a_response_against_the_reference_point() -> None:
    ratios = t(1 + 2 * LOG3, 1 + 2 * LOG3)
    labels = torch.tensor([True, False])
    loss = kto_loss(ratios, labels, 1.0, beta=0.5, desirable_weight=2, undesirable_weight=3)
    assert_close(loss, t(2 * 0.25, 3 * 0.75))


def test_the_reference_point_is_never_below_0_and_has_no_gradient() -> None:
    mismatched = t(3, -1).requires_grad_()
    assert_close(reference_point(mismatched), t(1)[0])
    assert not reference_point(mismatched).requires_grad
    assert_close(reference_point(t(1, -3)), ZERO[0])
    with pytest.raises(ValueError, match="two prompts"):
        reference_point(t())


def test_bradley_terry_with_a_margin_and_centring() -> None:
    assert_close(bradley_terry_loss(t(LOG3), ZERO), t(math.log(4 / 3)))
    assert_close(bradley_terry_loss(t(2 * LOG3), ZERO, margins_P=t(LOG3)), t(math.log(4 / 3)))
    # Three to one by one who is right four times in five: 0.8 * 3/4 + 0.2 * 1/4.
    assert_close(bradley_terry_loss(t(LOG3), ZERO, reliability_P=t(0.8)), t(-math.log(0.65)))
    assert_close(bradley_terry_loss(t(1), t(2), centring=0.5) - bradley_terry_loss(t(1), t(2)), t(4.5))


def test_a_tie_without_a_width_is_half_a_win_for_each() -> None:
    tie = torch.tensor([True])
    assert_close(bradley_terry_loss(t(LOG3), ZERO, is_tie_P=tie), t((math.log(4 / 3) + math.log(4)) / 2))


def test_with_a_width_the_three_outcomes_add_up_to_1() -> None:
    first, second, tie = t(0.7), t(-0.4), torch.tensor([True])
    wins = torch.exp(-bradley_terry_loss(first, second, tie_width=0.3))
    loses = torch.exp(-bradley_terry_loss(second, first, tie_width=0.3))
    ties = torch.exp(-bradley_terry_loss(first, second, is_tie_P=tie, tie_width=0.3))
    assert_close(wins + loses + ties, t(1))
    # Of equals, with a width of log 3, one in four wins and half are ties.
    assert_close(bradley_terry_loss(ZERO, ZERO, tie_width=LOG3), t(math.log(4)))
    assert_close(bradley_terry_loss(ZERO, ZERO, is_tie_P=tie, tie_width=LOG3), t(math.log(2)))


@pytest.mark.parametrize("far", [500.0, -500.0])
def test_no_loss_overflows(far: float) -> None:
    values, tie = torch.tensor([far]), torch.tensor([True])
    losses = (
        dpo_loss(values, torch.zeros(1), beta=1.0),
        simpo_loss(values, torch.zeros(1), beta=2.0, gamma=1.0),
        bradley_terry_loss(values, torch.zeros(1)),
        bradley_terry_loss(values, torch.zeros(1), is_tie_P=tie, tie_width=1.0),
        kto_loss(values, tie, 0.0, beta=1.0),
    )
    assert all(bool(loss.isfinite()) for loss in losses)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: dpo_loss(t(0), t(0, 0), beta=0.1),
        lambda: dpo_loss(t(0), t(0), beta=0.0),
        lambda: dpo_loss(t(0), t(0), beta=0.1, label_smoothing=0.5),
        lambda: ipo_loss(t(0), t(0), tau=-1.0),
        lambda: kto_loss(t(0), torch.tensor([True, False]), 0.0, beta=0.1),
        lambda: kto_loss(t(0), torch.tensor([True]), 0.0, beta=0.1, desirable_weight=-1.0),
        lambda: bradley_terry_loss(t(0), t(0), tie_width=-1.0),
        lambda: bradley_terry_loss(t(0), t(0), margins_P=t(-1)),
        lambda: bradley_terry_loss(t(0), t(0), is_tie_P=torch.tensor([True, False])),
    ],
)
def test_what_makes_no_sense_is_an_error(wrong: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        wrong()  # pyright: ignore[reportCallIssue]


def test_a_reward_model_by_unreliable_annotators_has_no_gradient_at_the_truth() -> None:
    """The first response is truly preferred with odds of 3 to 1, and the annotator says so with probability 0.65."""
    for reliability, said in ((0.8, 0.65), (1.0, 0.75), (0.5, 0.5)):
        reward = torch.tensor([LOG3], dtype=torch.float64, requires_grad=True)
        zero, known = torch.zeros(1, dtype=torch.float64), torch.tensor([reliability], dtype=torch.float64)
        first = bradley_terry_loss(reward, zero, reliability_P=known)
        second = bradley_terry_loss(zero, reward, reliability_P=known)
        (gradient,) = torch.autograd.grad((said * first + (1 - said) * second).sum(), reward)
        assert gradient.item() == pytest.approx(0.0, abs=1e-12)


def test_reliability_and_margins_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="give margins_P or reliability_P"):
        bradley_terry_loss(t(1), ZERO, margins_P=t(1), reliability_P=t(0.9))
    with pytest.raises(ValueError, match=r"from 0.5 to 1, got \[0.4"):
        bradley_terry_loss(t(1), ZERO, reliability_P=t(0.4))
