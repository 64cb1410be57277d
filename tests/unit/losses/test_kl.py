from __future__ import annotations

import math

import torch
from torch.testing import assert_close

from assay.losses import k1, k3, kl_penalty

NOW = torch.tensor([0.5, 0.25, 0.5]).log()
REFERENCE = torch.tensor([0.25, 0.5, 0.5]).log()


def test_estimators_by_hand() -> None:
    log2 = math.log(2)
    assert_close(k1(NOW, REFERENCE), torch.tensor([log2, -log2, 0.0]))
    # exp(-l) - 1 + l at l = log 2, -log 2, 0.
    assert_close(k3(NOW, REFERENCE), torch.tensor([0.5 - 1 + log2, 2 - 1 - log2, 0.0]))


def test_small_differences_keep_their_digits() -> None:
    difference = torch.tensor([1e-7, -1e-6, 1e-4, 9.99e-4, 1.001e-3])
    # In float64, where nothing cancels yet. exp(-l) - 1 + l in float32 is three times too large at 1e-4.
    exact = (torch.expm1(-difference.double()) + difference.double()).float()
    exact[0] = 5e-15
    assert_close(k3(difference, torch.zeros(5)), exact, rtol=2e-4, atol=0.0)


def test_on_fresh_samples_its_gradient_is_that_of_k2() -> None:
    now = NOW.clone().requires_grad_()
    kl_penalty(now, NOW, REFERENCE).sum().backward()
    assert_close(now.grad, NOW - REFERENCE)


def test_off_policy_by_hand() -> None:
    now = torch.tensor([0.5]).log().requires_grad_()
    loss = kl_penalty(now, torch.tensor([0.25]).log(), torch.tensor([0.25]).log())
    # w = 2, k3 = log 2 - 1/2; d(w k3) = w (k3 + 1 - e^-l) = w l.
    assert_close(loss.detach(), torch.tensor([2 * (math.log(2) - 0.5)]))
    loss.sum().backward()
    assert_close(now.grad, torch.tensor([2 * math.log(2)]))


def test_the_reference_gets_no_gradient_and_the_far_end_stays_finite() -> None:
    reference = torch.tensor([-200.0, 0.0], requires_grad=True)
    now = torch.tensor([0.0, -200.0], requires_grad=True)
    loss = kl_penalty(now, now.detach(), reference)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(now.grad).all()
    assert reference.grad is None
