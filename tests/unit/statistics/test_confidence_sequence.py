from __future__ import annotations

import math

import numpy as np
import pytest

from assay.statistics import ConfidenceSequence, wilson


def test_the_first_bets_by_hand():
    """Before any value the variance is 1/4: lambda_1 = sqrt(2 log 40 / (1/4 log 2)) = 6.5, held to 1/2 over m. After a
    1 the bettor on more has 1 + (1/2 / m)(1 - m) where he bets that much, and nobody has forty times his capital."""
    sequence = ConfidenceSequence()
    assert sequence.add(1.0).low == 0.0
    m = 0.3
    place = int(m * 1000)
    more, less = (math.exp(capital[place]) for capital in sequence._capital)
    assert more == pytest.approx(1 + 0.5 / m * (1 - m))
    assert less == pytest.approx(1 - 0.5 / (1 - m) * (1 - m))


def test_narrows_to_the_truth_and_never_widens():
    generator = np.random.default_rng(0)
    sequence, last = ConfidenceSequence(), 1.0
    for value in generator.random(2000) < 0.7:
        interval = sequence.add(float(value))
        assert interval.width <= last + 1e-12
        last = interval.width
    assert interval.low <= 0.7 <= interval.high
    assert interval.width < 2.2 * wilson(1400, 2000).width


def test_paired_differences_that_are_mostly_nothing_decide_early():
    """A tenth of tasks gains, none loses: that the mean is above 0 is plain after a few hundred, where a bound that
    knows the range only would take thousands."""
    generator = np.random.default_rng(1)
    sequence = ConfidenceSequence((-1.0, 1.0))
    while sequence.interval.low <= 0 and sequence.num_values < 2000:
        sequence.add(float(generator.random() < 0.1))
    assert sequence.num_values < 400


@pytest.mark.parametrize(("a", "b"), [(0.2, 0.8), (1.0, 1.0), (0.05, 1.0)])
def test_holds_the_truth_at_all_times(a: float, b: float):
    """Task means of a beta distribution, looked at after each of 200: at most 5 in 100 sequences ever leave the truth
    out. Wilson's interval, looked at as often, does so in a third."""
    generator = np.random.default_rng(2)
    truth, num_trials, left, left_by_wilson = a / (a + b), 40, 0, 0
    for _ in range(num_trials):
        sequence, wilson_left, total = ConfidenceSequence(), False, 0
        for value in generator.random(200) < generator.beta(a, b, 200):
            interval = sequence.add(float(value))
            total += int(value)
            plain = wilson(total, sequence.num_values)
            wilson_left |= not plain.low <= truth <= plain.high
        left += not interval.low <= truth <= interval.high  # what was ruled out once stays out
        left_by_wilson += wilson_left
    assert left / num_trials <= 0.1
    assert left_by_wilson / num_trials >= 0.15


def test_rejects():
    with pytest.raises(ValueError, match="no range"):
        ConfidenceSequence((1.0, 1.0))
    with pytest.raises(ValueError, match="outside the bounds"):
        ConfidenceSequence().add(1.5)
