from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from assay.estimators import gae


def test_three_tokens_by_hand() -> None:
    # deltas: 0.5 - 0.25, 0.25 - 0.5, 1 - 0.25 = 0.25, -0.25, 0.75; factor 1/2.
    advantages, returns = gae(torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.25, 0.5, 0.25]), discount=1.0, decay=0.5)
    assert_close(advantages, torch.tensor([0.3125, 0.125, 0.75]))
    assert_close(returns, torch.tensor([0.5625, 0.625, 1.0]))


def test_decay_1_is_the_return_minus_the_value_and_decay_0_one_step() -> None:
    generator = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(2, 7, dtype=torch.float64, generator=generator)
    discounts = 0.9 ** torch.arange(7, dtype=torch.float64)
    to_go = torch.stack([(rewards[t:] * discounts[: 7 - t]).sum() for t in range(7)])
    advantages, returns = gae(rewards, values, discount=0.9, decay=1.0)
    assert_close(advantages, to_go - values)
    assert_close(returns, to_go)
    following = torch.cat([values[1:], torch.zeros(1, dtype=torch.float64)])
    assert_close(gae(rewards, values, discount=0.9, decay=0.0)[0], rewards + 0.9 * following - values)


def test_a_perfect_critic_leaves_nothing() -> None:
    assert not gae(torch.tensor([0.0, 0.0, 1.0]), torch.ones(3), discount=1.0, decay=0.95)[0].any()


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="expected"):
        gae(torch.zeros(2), torch.zeros(3), discount=1.0, decay=1.0)
    with pytest.raises(ValueError, match="from 0 to 1"):
        gae(torch.zeros(2), torch.zeros(2), discount=1.1, decay=1.0)
