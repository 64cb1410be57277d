"""A minibatch of three samples with 4, 2 and 1 trained-on tokens; the last two are forks of one episode."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from assay.losses import normalising_count, token_weights

SEQUENCE_IDS = torch.tensor([0, 0, 0, 0, 1, 1, 2])
LENGTHS = torch.tensor([4, 2, 1])
SHARES = torch.tensor([1.0, 0.5, 0.5])
TURN_LENGTHS = torch.tensor([3, 3, 3, 1, 2, 2, 1])
"""The first sample has two turns, of three tokens and of one."""
COUNTS = {"num_tokens": 7, "num_sequences": 3, "num_episodes": 2.0, "num_turns": 4}


@pytest.mark.parametrize(
    ("normaliser", "weights", "count"),
    [
        ("tokens", [1.0] * 7, 7.0),
        ("constant", [1.0] * 7, 20.0),
        ("turns", [1 / 3] * 3 + [1.0] + [1 / 2] * 2 + [1.0], 4.0),
        ("sequences", [1 / 4] * 4 + [1 / 2] * 2 + [1.0], 3.0),
        ("episodes", [1 / 4] * 4 + [1 / 4] * 2 + [1 / 2], 2.0),
    ],
)
def test_by_hand(normaliser, weights: list[float], count: float) -> None:
    found = token_weights(normaliser, SEQUENCE_IDS, LENGTHS, SHARES, turn_lengths_N=TURN_LENGTHS)
    assert_close(found, torch.tensor(weights))
    constant = 10.0 if normaliser == "constant" else None
    assert normalising_count(normaliser, constant, **COUNTS) == count


@pytest.mark.parametrize("normaliser", ["tokens", "turns", "sequences", "episodes"])
def test_weights_add_up_to_the_count(normaliser) -> None:
    weights = token_weights(normaliser, SEQUENCE_IDS, LENGTHS, SHARES, turn_lengths_N=TURN_LENGTHS)
    assert float(weights.sum()) == pytest.approx(normalising_count(normaliser, None, **COUNTS))


def test_forks_share_the_weight_of_their_episode() -> None:
    weights = token_weights("episodes", SEQUENCE_IDS, LENGTHS, SHARES)
    assert_close(weights[:4].sum(), weights[4:].sum())


def test_a_sample_without_tokens_counts_and_adds_nothing() -> None:
    lengths = torch.tensor([2, 0])
    weights = token_weights("sequences", torch.tensor([0, 0]), lengths, torch.ones(2))
    assert_close(weights, torch.tensor([0.5, 0.5]))
    assert normalising_count("sequences", None, num_tokens=2, num_sequences=2, num_episodes=2.0) == 2.0


def test_errors() -> None:
    with pytest.raises(ValueError, match="needs its constant"):
        normalising_count("constant", None, **COUNTS)
    with pytest.raises(ValueError, match="tokens of each token's turn"):
        token_weights("turns", SEQUENCE_IDS, LENGTHS, SHARES)
    with pytest.raises(ValueError, match="nothing to train on"):
        normalising_count("tokens", None, num_tokens=0, num_sequences=1, num_episodes=1.0)
