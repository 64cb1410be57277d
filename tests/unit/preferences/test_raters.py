"""Simulated raters: by hand, and what the statistics find of the biases that they were given."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from assay.preferences.raters import Candidate, SimulatedRater, confidence, simulate_pairs
from assay.preferences.stats import pair_stats
from assay.types import Message

PROMPT = (Message("user", "q"),)


def candidate(text: str, quality: float) -> Candidate:
    return Candidate((Message("assistant", text),), quality)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def groups(num: int, seed: int = 0) -> list[tuple[tuple[Message, ...], Sequence[Candidate], float]]:
    """Tasks with a right and a wrong response, their lengths drawn apart from that."""
    generator = np.random.default_rng(seed)
    return [
        (
            (Message("user", f"q{number}"),),
            [
                candidate(letter * int(generator.integers(20, 200)), quality)
                for letter, quality in (("r", 1.0), ("w", 0.0))
            ],
            float(number % 5),
        )
        for number in range(num)
    ]


def test_probabilities_by_hand() -> None:
    right, wrong = candidate("ab", 1.0), candidate("abcd", 0.0)
    rater = SimulatedRater(log_odds=2.0, fall=0.5, length=0.7, second=0.3)
    # The second is wrong (-2), twice as long (+0.7), and second (+0.3).
    assert rater.probability(right, wrong) == pytest.approx(sigmoid(-1.0))
    assert rater.probability(wrong, right) == pytest.approx(sigmoid(2 - 0.7 + 0.3))
    assert rater.probability(right, wrong, difficulty=2.0) == pytest.approx(sigmoid(-1 + 0.7 + 0.3))
    assert rater.sees(10.0) == 0.0
    assert SimulatedRater(blind=0.4, log_odds=2.0).probability(wrong, right) == pytest.approx(
        0.6 * SimulatedRater(log_odds=2.0).probability(wrong, right) + 0.2
    )
    sure = candidate("Clearly, b", 0.0)
    assert SimulatedRater(confidence=0.5).probability(candidate("I think b", 0.0), sure) == pytest.approx(sigmoid(1.0))
    assert (confidence("maybe, perhaps, possibly, I guess"), confidence("surely")) == (-3, 0)


def test_accuracy_falls_with_difficulty() -> None:
    rater = SimulatedRater(log_odds=3.0, fall=1.0)
    assert rater.accuracy(0) == pytest.approx(sigmoid(3))
    assert [rater.accuracy(level) for level in (0, 1, 2)] == sorted([rater.accuracy(level) for level in (0, 1, 2)])[
        ::-1
    ]
    assert rater.accuracy(5) == pytest.approx(0.5)
    pairs = simulate_pairs([rater], groups(2000))
    right = [[], []]
    for pair in pairs:
        qualities = pair.metadata["quality"]
        right[int(pair.metadata["difficulty"] >= 3)].append(qualities[int(pair.preference)] == 1.0)
    assert np.mean(right[0]) > 0.8
    assert 0.44 < np.mean(right[1]) < 0.56


def test_given_biases_are_found_again() -> None:
    rater = SimulatedRater(log_odds=0.0, length=0.9, second=-0.5)
    found = pair_stats(simulate_pairs([rater], groups(1000, seed=1), seed=1))
    assert found.length.coefficient is not None
    assert found.position.coefficient is not None
    assert found.length.coefficient.low < 0.9 < found.length.coefficient.high
    assert found.position.coefficient.low < -0.5 < found.position.coefficient.high


def test_the_same_seed_gives_the_same_pairs_and_raters_take_turns() -> None:
    raters = [SimulatedRater(name="x"), SimulatedRater(name="y", tie_within=10.0)]
    first, again = (simulate_pairs(raters, groups(40), seed=3) for _ in range(2))
    assert first == again
    assert first != simulate_pairs(raters, groups(40), seed=4)
    assert {pair.annotator for pair in first} == {"simulated: x", "simulated: y"}
    assert all(pair.is_tie == (pair.annotator == "simulated: y") for pair in first)
    assert {pair.metadata["quality"][0] for pair in first} == {0.0, 1.0}


def test_candidates_that_are_the_same_are_no_pair() -> None:
    same = [(PROMPT, [candidate("a", 1.0), candidate("a", 1.0), candidate("b", 0.0)], 0.0)]
    assert len(simulate_pairs([SimulatedRater()], same, pairs_each=5)) == 2
