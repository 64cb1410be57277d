from __future__ import annotations

import math

import numpy as np
import pytest

from assay.statistics import clustered_proportion, prediction_powered_mean


def test_by_hand():
    """w = 1: the judge says 1/2 of 100 tasks and 1/2 of the six that are labelled, where people say 2/3:
    corrections 0 0 0 0 0 1 with -1 and 1 beside them: mean 1/8, variance (1 + 1 + 1) / 8 - 1/64."""
    labels, judged, rest = [1, 0, 1, 1, 0, 1], [1, 0, 1, 1, 0, 0], [1, 0, 1, 0] * 25
    found = prediction_powered_mean(labels, judged, rest, tuned=False)
    assert found.interval.value == pytest.approx(0.5 + 1 / 6)
    variance = (25 / 99) / 100 + (3 / 8 - 1 / 64) / 8
    assert found.interval.low == pytest.approx(0.5 + 1 / 8 - 2.570582 * math.sqrt(variance), abs=1e-6)
    assert found.judge_bias == pytest.approx(-1 / 6)
    # Tuned: Cov = (3 - 6 (2/3) (1/2)) / 5 = 1/5, Var of all 106 scores = (54/106)(52/106) 106/105: w = Cov / ((1 +
    # 6/100) Var).
    tuned = prediction_powered_mean(labels, judged, rest)
    spread = (53 / 106) * (53 / 106) * 106 / 105
    assert tuned.judge_weight == pytest.approx((1 / 5) / (1.06 * spread))


def test_a_judge_that_says_nothing_is_left_out():
    labels = [1, 0, 1, 1, 0, 1, 0, 0] * 5
    found = prediction_powered_mean(labels, [0.5] * 40, [0.5] * 1000)
    assert found.judge_weight == 0.0
    assert found.interval.value == pytest.approx(0.5)
    alone = clustered_proportion([float(label) for label in labels], 40)
    assert found.interval.width == pytest.approx(alone.width, rel=0.1)


def test_a_good_judge_is_worth_labels():
    generator = np.random.default_rng(0)
    truth = generator.random(2040) < 0.6
    judged = np.where(generator.random(2040) < 0.95, truth, ~truth).astype(float)
    found = prediction_powered_mean(truth[:40].astype(float), judged[:40], judged[40:])
    alone = clustered_proportion(truth[:40].astype(float).tolist(), 40)
    assert found.interval.width < 0.75 * alone.width


@pytest.mark.parametrize("num_labels", [5, 20])
@pytest.mark.parametrize(("share", "right"), [(0.5, 0.8), (0.2, 0.95), (0.9, 0.9)])
@pytest.mark.parametrize("tuned", [True, False])
def test_covers(num_labels: int, share: float, right: float, tuned: bool):
    """The judge errs one way more than the other, so that its own mean is biased."""
    generator = np.random.default_rng(3)
    covered, num_trials = 0, 150
    for _ in range(num_trials):
        truth = (generator.random(300 + num_labels) < share).astype(float)
        flips = generator.random(len(truth)) < np.where(truth == 1, 1 - right, 2 * (1 - right))
        judged = np.where(flips, 1 - truth, truth)
        found = prediction_powered_mean(truth[:num_labels], judged[:num_labels], judged[num_labels:], tuned=tuned)
        covered += found.interval.low <= share <= found.interval.high
    assert covered / num_trials >= 0.91


@pytest.mark.parametrize(
    ("labels", "judged", "rest"),
    [
        ([1.0], [1.0], [1.0, 0.0]),
        ([1.0, 0.0], [1.0], [1.0, 0.0]),
        ([1.0, 2.0], [1.0, 0.0], [1.0, 0.0]),
        ([1, 0], [1, 0], [1]),
    ],
)
def test_rejects(labels: list[float], judged: list[float], rest: list[float]):
    with pytest.raises(ValueError, match=r"two labels|every labelled|outside"):
        prediction_powered_mean(labels, judged, rest)
