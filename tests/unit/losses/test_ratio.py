from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from assay.losses import importance_ratio, log_ratio, ratio_metrics
from assay.losses.ratio import OLD_KL, RATIO_MEAN


def test_ratio_by_hand() -> None:
    now, old = torch.tensor([0.5, 0.1]).log(), torch.tensor([0.25, 0.4]).log()
    assert_close(importance_ratio(now, old), torch.tensor([2.0, 0.25]))


def test_a_token_far_off_is_bounded_and_gets_no_gradient() -> None:
    now = torch.tensor([0.0, -1.0, -200.0], requires_grad=True)
    ratio = importance_ratio(now, torch.tensor([-math.inf, -1.0, 0.0]))
    assert_close(ratio, torch.tensor([math.exp(20), 1.0, math.exp(-20)]))
    ratio.sum().backward()
    assert_close(now.grad, torch.tensor([0.0, 1.0, 0.0]))


def test_kl_by_hand() -> None:
    # k3 at ratio 2: 2 - 1 - log 2; at ratio 1/4: 1/4 - 1 + log 4.
    metrics = ratio_metrics(torch.tensor([0.5, 0.1]).log(), torch.tensor([0.25, 0.4]).log())
    assert_close(metrics[OLD_KL], torch.tensor([1 - math.log(2), math.log(4) - 0.75]))
    assert_close(metrics[RATIO_MEAN], torch.tensor([2.0, 0.25]))


def test_kl_is_the_divergence_in_expectation() -> None:
    old, now = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.2, 0.6])
    expected = (old * (old / now).log()).sum()
    assert_close((old * ratio_metrics(now.log(), old.log())[OLD_KL]).sum(), expected)


def test_kl_of_a_small_change_keeps_its_digits() -> None:
    # exp(r) - 1 - r in float32 gives 1.66e-8 at r = 1e-4, where the truth is r^2 / 2 = 5e-9.
    change = torch.tensor([1e-4, -1e-4, 1e-3])
    kl = ratio_metrics(change, torch.zeros(3))[OLD_KL]
    assert_close(kl, change.square() / 2, rtol=1e-2, atol=0.0)


def test_metrics_carry_no_gradient() -> None:
    now = torch.zeros(2, requires_grad=True)
    assert not any(value.requires_grad for value in ratio_metrics(now, torch.zeros(2)).values())


def test_shapes_that_would_broadcast_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"must both be \[N\]"):
        log_ratio(torch.zeros(3), torch.zeros(1))
    with pytest.raises(ValueError, match=r"must both be \[N\]"):
        log_ratio(torch.zeros(3, 1), torch.zeros(3, 1))
