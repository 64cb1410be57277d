from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from assay.estimators import overlong_penalty, whitened


def test_whitened_by_hand() -> None:
    # Tokens see 1, 0, 0, 0: mean 1/4, variance (9/16 + 3/16) / 3 = 1/4.
    assert_close(whitened(torch.tensor([1.0, 0.0]), torch.tensor([1, 3])), torch.tensor([1.5, -0.5]))
    # Four tokens of 2, four of 4: mean 3, variance 8/7.
    expected = torch.tensor([-1.0, 1.0]) / (8 / 7) ** 0.5
    assert_close(whitened(torch.tensor([2.0, 4.0]), torch.tensor([4, 4])), expected)


def test_whitened_over_tokens_has_mean_0_and_variance_1() -> None:
    generator = torch.Generator().manual_seed(0)
    advantages = torch.randn(9, dtype=torch.float64, generator=generator)
    counts = torch.randint(0, 7, (9,), generator=generator)
    tokens = whitened(advantages, counts).repeat_interleave(counts)
    assert float(tokens.mean()) == pytest.approx(0.0, abs=1e-12)
    assert float(tokens.std()) == pytest.approx(1.0, rel=1e-6)


def test_equal_advantages_give_exact_zeros() -> None:
    assert not whitened(torch.tensor([0.1, 0.1, 0.1]), torch.tensor([3, 7, 2])).any()


@pytest.mark.parametrize(
    ("advantages", "counts", "message"),
    [
        ([1.0], [1, 2], "expected"),
        ([float("nan"), 1.0], [1, 1], "finite"),
        ([1.0, 0.0], [0, 0], "without tokens"),
    ],
)
def test_what_cannot_be_whitened_is_an_error(advantages: list, counts: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        whitened(torch.tensor(advantages), torch.tensor(counts))


def test_overlong_penalty_by_hand() -> None:
    """The paper's numbers: no penalty up to 16,384, all of it from 20,480 on."""
    lengths = {16_384: 0.0, 18_432: -0.5, 20_480: -1.0, 30_000: -1.0, 0: 0.0}
    for num_tokens, penalty in lengths.items():
        assert overlong_penalty(num_tokens, 20_480, 4_096) == penalty
    with pytest.raises(ValueError, match="margin_tokens"):
        overlong_penalty(1, 10, 11)
