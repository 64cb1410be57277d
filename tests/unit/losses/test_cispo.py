"""Ratios 0.5, 1 and 8 with an upper bound of 5."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from assay.losses import cut_metrics, cut_weight
from assay.losses.cispo import WEIGHT_CUT_SHARE

OLD = torch.tensor([0.4, 0.5, 0.1]).log()
NOW = torch.tensor([0.2, 0.5, 0.8]).log()


def test_no_token_loses_its_gradient() -> None:
    now = NOW.clone().requires_grad_()
    cut_weight(now, OLD, torch.tensor([1.0, -2.0, 1.0]), max_weight=5.0).sum().backward()
    assert_close(now.grad, torch.tensor([-0.5, 2.0, -5.0]))


def test_both_bounds_are_of_the_ratio_itself() -> None:
    loss = cut_weight(NOW, OLD, torch.ones(3), min_weight=0.8, max_weight=2.0)
    assert_close(loss, -torch.tensor([0.8, 1.0, 2.0]) * NOW)
    shares = cut_metrics(NOW, OLD, min_weight=0.8, max_weight=2.0)
    assert_close(shares[WEIGHT_CUT_SHARE], torch.tensor([1.0, 0.0, 1.0]))


def test_advantages_of_another_shape_are_an_error() -> None:
    with pytest.raises(ValueError, match="advantages must be"):
        cut_weight(NOW, OLD, torch.ones(1), max_weight=5.0)
