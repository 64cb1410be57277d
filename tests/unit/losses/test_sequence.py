from __future__ import annotations

import torch
from torch.testing import assert_close

from assay.losses import per_sequence_mean, per_sequence_sum, sequence_ratio

IDS = torch.tensor([0, 0, 0, 2])


def test_sums_and_means_of_sequences_by_hand() -> None:
    values = torch.tensor([1.0, 2.0, 6.0, 5.0])
    assert_close(per_sequence_sum(values, IDS, 3), torch.tensor([9.0, 0.0, 5.0]))
    assert_close(per_sequence_mean(values, IDS, 3), torch.tensor([3.0, 0.0, 5.0]))


def test_a_sequences_ratio_is_the_geometric_mean_of_its_tokens() -> None:
    old = torch.full((4,), 0.1).log()
    now = torch.tensor([0.8, 0.1, 0.1, 0.3]).log()
    # (8 x 1 x 1) ^ (1/3) = 2, and 3.
    assert_close(sequence_ratio(now, old, IDS, 3), torch.tensor([2.0, 2.0, 2.0, 3.0]))


def test_its_gradient_is_spread_evenly_over_the_tokens() -> None:
    now = torch.zeros(4, requires_grad=True)
    ratio = sequence_ratio(now, torch.zeros(4), IDS, 3)
    # s_i = exp(mean l): d/dl_t of the sum over three tokens is 3 x s_i / 3.
    ratio.sum().backward()
    assert_close(now.grad, torch.ones(4))


def test_a_token_beyond_the_bound_keeps_the_ratio_finite() -> None:
    assert torch.isfinite(sequence_ratio(torch.tensor([0.0]), torch.tensor([-500.0]), torch.tensor([0]), 1)).all()
