"""Ratios 0.5, 1.1 and 2 with bounds 0.8 and 1.3: one below the range, one inside, one above."""

from __future__ import annotations

import torch
from torch.testing import assert_close

from assay.losses import clip_metrics, clipped, importance_ratio, policy_gradient
from assay.losses.clipped import CLIP_HIGH_SHARE, CLIP_LOW_SHARE, DUAL_CLIP_SHARE

OLD = torch.full((3,), 0.4).log()
NOW = torch.tensor([0.2, 0.44, 0.8]).log()
RATIO = (NOW - OLD).exp()
RANGE = {"clip_low": 0.2, "clip_high": 0.3}


def gradient(advantage: float) -> tuple[torch.Tensor, torch.Tensor]:
    now = NOW.clone().requires_grad_()
    loss = clipped(importance_ratio(now, OLD), torch.full((3,), advantage), **RANGE)
    loss.sum().backward()
    assert now.grad is not None
    return loss.detach(), now.grad


def test_positive_advantage_is_clipped_above_only() -> None:
    loss, grad = gradient(1.0)
    assert_close(loss, torch.tensor([-0.5, -1.1, -1.3]))
    assert_close(grad, torch.tensor([-0.5, -1.1, 0.0]))


def test_negative_advantage_is_clipped_below_only() -> None:
    loss, grad = gradient(-1.0)
    assert_close(loss, torch.tensor([0.8, 1.1, 2.0]))
    assert_close(grad, torch.tensor([0.0, 1.1, 2.0]))


def test_inside_the_range_it_is_the_policy_gradient() -> None:
    now = torch.zeros(3, requires_grad=True)
    advantages = torch.tensor([1.0, 0.0, -2.0])
    (grad,) = torch.autograd.grad(clipped(importance_ratio(now, now.detach()), advantages, **RANGE).sum(), now)
    (plain,) = torch.autograd.grad(policy_gradient(now, now.detach(), advantages).sum(), now)
    assert torch.equal(grad, plain)
    assert_close(grad, -advantages)


def test_shares_count_exactly_the_tokens_without_gradient() -> None:
    for advantage in (1.0, -1.0):
        shares = clip_metrics(RATIO, torch.full((3,), advantage), **RANGE)
        _, grad = gradient(advantage)
        assert torch.equal(shares[CLIP_LOW_SHARE] + shares[CLIP_HIGH_SHARE], (grad == 0).float())
    assert_close(clip_metrics(RATIO, torch.ones(3), **RANGE)[CLIP_HIGH_SHARE], torch.tensor([0.0, 0.0, 1.0]))
    assert_close(clip_metrics(RATIO, -torch.ones(3), **RANGE)[CLIP_LOW_SHARE], torch.tensor([1.0, 0.0, 0.0]))
    assert not any(share.any() for share in clip_metrics(RATIO, torch.zeros(3), **RANGE).values())


def test_dual_clip_bounds_the_loss_of_a_negative_advantage_only() -> None:
    """Ratios 0.5, 1.1 and 2, bounded at 1.5: the last gets no gradient where its advantage is negative."""
    for advantage, losses, gradient in (
        (-1.0, [0.8, 1.1, 1.5], [0.0, 1.1, 0.0]),
        (1.0, [-0.5, -1.1, -1.3], [-0.5, -1.1, 0.0]),
    ):
        now = NOW.clone().requires_grad_()
        advantages = torch.full((3,), advantage)
        loss = clipped(importance_ratio(now, OLD), advantages, **RANGE, dual_clip=1.5)
        assert_close(loss.detach(), torch.tensor(losses))
        assert_close(torch.autograd.grad(loss.sum(), now)[0], torch.tensor(gradient))
        shares = clip_metrics(RATIO, advantages, **RANGE, dual_clip=1.5)
        assert shares[DUAL_CLIP_SHARE].tolist() == [0, 0, float(advantage < 0)]
    assert DUAL_CLIP_SHARE not in clip_metrics(RATIO, torch.ones(3), **RANGE)
