from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from assay.statistics import Votes, majority_at_k, majority_at_k_difference, majority_at_k_interval


def by_enumeration(votes: Votes, k: int) -> float:
    """Every subset of k samples, counted."""
    samples = ["right"] * votes.num_correct + [None] * votes.num_silent
    for number, count in enumerate(votes.wrong):
        samples += [f"wrong {number}"] * count
    won = []
    for chosen in itertools.combinations(samples, k):
        counts = Counter(answer for answer in chosen if answer)
        most = max(counts.values(), default=0)
        tied = [answer for answer, count in counts.items() if count == most]
        won.append(1 / len(tied) if "right" in tied else 0.0)
    return sum(won) / len(won)


def test_by_hand():
    # One right, two different wrong ones: of the pairs, two hold the right one, tied.
    assert majority_at_k(Votes(1, (1, 1)), 2) == pytest.approx(1 / 3)
    # Two of three right: every three are won two to one, or lost: of four samples r r r w, all four triples are won.
    assert majority_at_k(Votes(3, (1,)), 3) == 1.0
    assert majority_at_k(Votes(0, (4,)), 3) == 0.0
    # Of r w - - two samples: r alone wins 2 pairs of 6, r w ties 1, and - - decides nothing.
    assert majority_at_k(Votes(1, (1,), 2), 2) == pytest.approx((2 + 0.5) / 6)


@pytest.mark.parametrize(
    "votes",
    [Votes(3, (2, 2), 1), Votes(2, (2, 2, 2), 0), Votes(4, (1, 1, 1, 1)), Votes(1, (5, 1), 2), Votes(2, (), 4)],
    ids=str,
)
def test_is_the_mean_over_all_subsets(votes: Votes):
    for k in range(1, votes.num_samples + 1):
        assert majority_at_k(votes, k) == pytest.approx(by_enumeration(votes, k)), k
    assert majority_at_k(votes, 1) == pytest.approx(votes.num_correct / votes.num_samples)


def test_counts_of_answers():
    votes = Votes.of(
        [("42", True), ("42.0", True), ("41", False), (" 41 ", False), ("7", False), (None, False), ("", False)]
    )
    assert votes == Votes(2, (2, 1), 2)


def test_interval_and_difference():
    before, after = [Votes(1, (3,))] * 10, [Votes(3, (1,))] * 10
    assert majority_at_k_interval(after, 3).value == 1.0
    difference = majority_at_k_difference(before, after, 3)
    assert difference.value == 1.0
    assert difference.low > 0.5
    assert difference.p_value == pytest.approx(2 / 2**10)


def test_many_samples_are_quick_and_finite():
    assert majority_at_k(Votes(300, (250, 200, 150) + (1,) * 100), 200) == pytest.approx(1.0, abs=0.2)


def test_without_bias():
    """Of 9 samples each, majority@5 on average is what five fresh samples give."""
    generator = np.random.default_rng(0)
    chances = [0.4, 0.35, 0.25]
    fresh = np.array([generator.multinomial(5, chances) for _ in range(8000)])
    most = fresh.max(1)
    truth = np.where(fresh[:, 0] == most, 1 / (fresh == most[:, None]).sum(1), 0.0).mean()
    found = [generator.multinomial(9, chances) for _ in range(800)]
    estimate = np.mean([majority_at_k(Votes(int(c[0]), (int(c[1]), int(c[2]))), 5) for c in found])
    assert estimate == pytest.approx(truth, abs=0.03)


def test_rejects():
    with pytest.raises(ValueError, match="k must be"):
        majority_at_k(Votes(1, (1,)), 3)
    with pytest.raises(ValueError, match="negative"):
        Votes(-1)
