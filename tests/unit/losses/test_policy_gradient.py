from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from assay.losses import policy_gradient


def test_on_policy_gradient_is_minus_the_advantage() -> None:
    now = torch.tensor([-0.5, -2.0, -3.0], requires_grad=True)
    advantages = torch.tensor([1.0, -0.5, 0.0])
    loss = policy_gradient(now, now, advantages)
    # -A log pi: -1 * -0.5, 0.5 * -2, 0.
    assert_close(loss.detach(), torch.tensor([0.5, -1.0, 0.0]))
    loss.sum().backward()
    assert_close(now.grad, -advantages)


def test_off_policy_loss_and_gradient_carry_the_ratio() -> None:
    now = torch.tensor([0.6, 0.1]).log().requires_grad_()
    loss = policy_gradient(now, torch.tensor([0.3, 0.2]).log(), torch.tensor([1.0, -4.0]))
    # ratios 2 and 0.5: -2 * 1 * log 0.6 and -0.5 * -4 * log 0.1
    assert_close(loss.detach(), torch.tensor([1.0216512, -4.6051702]))
    loss.sum().backward()
    assert_close(now.grad, torch.tensor([-2.0, 2.0]))


def test_old_log_probabilities_get_no_gradient() -> None:
    old = torch.zeros(2, requires_grad=True)
    policy_gradient(torch.zeros(2, requires_grad=True), old, torch.ones(2)).sum().backward()
    assert old.grad is None


def test_advantages_of_another_shape_are_an_error() -> None:
    with pytest.raises(ValueError, match="advantages must be"):
        policy_gradient(torch.zeros(3), torch.zeros(3), torch.zeros(1))


def test_a_token_beyond_the_bound_on_ratios_gets_no_gradient() -> None:
    now = torch.tensor([-1.0, -1.0], requires_grad=True)
    policy_gradient(now, torch.tensor([-1.5, -40.0]), torch.ones(2)).sum().backward()
    assert_close(now.grad, torch.tensor([-1.6487213, 0.0]))
