"""Win rates at equal lengths, and the regression that they are made with."""

from __future__ import annotations

import math

import numpy as np
import pytest

from assay.statistics.firth import fit_with_covariance
from assay.statistics.length_control import length_controlled_rate


def test_firth_is_a_half_more_of_both_where_rows_are_separated() -> None:
    fit = fit_with_covariance(np.ones((1, 1)), np.array([0.0]), np.array([5.0]))
    assert fit.is_separated
    assert fit.coefficients[0] == pytest.approx(math.log(0.5 / 5.5), abs=1e-6)
    plain = fit_with_covariance(np.ones((4, 1)), np.array([1.0, 1.0, 1.0, 0.0]))
    assert not plain.is_separated
    assert plain.coefficients[0] == pytest.approx(math.log(3), abs=1e-9)
    assert plain.covariance[0, 0] == pytest.approx(1 / (4 * 0.75 * 0.25), abs=1e-9)


def test_two_groups_that_part_on_a_column_stay_finite() -> None:
    # Each group's rate is Firth's of its own: 4.5 of 5 and 0.5 of 5.
    design = np.stack([np.ones(8), np.repeat([0.0, 1.0], 4)], axis=1)
    fit = fit_with_covariance(design, np.repeat([1.0, 0.0], 4))
    assert fit.is_separated
    assert fit.coefficients == pytest.approx([math.log(9), -2 * math.log(9)], abs=1e-5)
    with pytest.raises(ValueError, match="do not tell 2 coefficients apart"):
        fit_with_covariance(np.ones((5, 2)), np.ones(5))


def test_rows_that_stand_alone_converge() -> None:
    # Fisher's steps alone swing around this maximum without end: one row has all the leverage there.
    fit = fit_with_covariance(np.array([[1.0], [-1.0]]), np.array([1.0, 0.0]), offsets_N=np.array([2.903, 7.056]))
    assert fit.coefficients[0] == pytest.approx(8.15459828, abs=1e-6)


def test_equal_lengths_leave_the_win_rate_as_it_is() -> None:
    found = length_controlled_rate(np.array([1.0, 1.0, 0.5, 0.0]), np.zeros(4))
    assert found.rate is not None
    assert found.rate.value == pytest.approx(0.625)
    assert found.length is None
    assert found.note == ""


def test_length_alone_by_hand() -> None:
    # The model's responses are longer by 100 in ten comparisons, of which it wins 8, and shorter in ten, of which it
    # wins 2: at equal length it wins half, though with ten longer ones more it would win more than half.
    difference = np.array([100.0] * 10 + [-100.0] * 10)
    wins = np.array([1.0] * 8 + [0.0] * 2 + [1.0] * 2 + [0.0] * 8)
    found = length_controlled_rate(wins, difference)
    assert found.rate is not None
    assert found.length is not None
    assert found.rate.value == pytest.approx(0.5, abs=1e-9)
    spread = 100 * math.sqrt(20 / 19)
    assert found.length.value == pytest.approx(math.log(4) / math.tanh(100 / spread), abs=1e-8)
    more = length_controlled_rate(np.concatenate([wins, wins[:10]]), np.concatenate([difference, difference[:10]]))
    assert np.concatenate([wins, wins[:10]]).mean() == pytest.approx(0.6)
    assert more.rate is not None
    assert more.rate.value == pytest.approx(0.5, abs=1e-9)


def test_the_fit_is_scikit_learns() -> None:
    # scikit-learn 1.9.1's LogisticRegression(C=1e10) on tanh(d / std(d)).
    generator = np.random.default_rng(3)
    generator.integers(0, 5, 80), generator.integers(1, 5, 80), generator.random(80)
    difference = generator.normal(50, 200, 60).round()
    bias = np.tanh(difference / difference.std(ddof=1))
    wins = (generator.random(60) < 1 / (1 + np.exp(-(0.3 + 1.2 * bias)))).astype(float)
    found = length_controlled_rate(wins, difference)
    assert found.rate is not None
    assert found.length is not None
    assert found.rate.value == pytest.approx(0.54915348, abs=1e-7)
    assert found.length.value == pytest.approx(1.23660175, abs=1e-6)


def test_a_known_length_bias_is_taken_away() -> None:
    generator = np.random.default_rng(0)
    covered, raw = [], []
    for _ in range(60):
        difference = generator.normal(150, 200, 300)
        logit = -0.4 + 1.5 * np.tanh(difference / difference.std(ddof=1))
        wins = (generator.random(300) < 1 / (1 + np.exp(-logit))).astype(float)
        found = length_controlled_rate(wins, difference)
        assert found.rate is not None
        covered.append(found.rate.low <= 1 / (1 + math.exp(0.4)) <= found.rate.high)
        raw.append(wins.mean())
    assert np.mean(covered) >= 0.88
    assert np.mean(raw) > 0.55 > 0.401


def test_difficulty_is_kept_in_the_mean() -> None:
    generator = np.random.default_rng(1)
    difficulty, difference = generator.normal(0, 2, 4000), generator.normal(0, 1, 4000)
    expected = 1 / (1 + np.exp(-(0.5 + difficulty)))
    wins = (generator.random(4000) < 1 / (1 + np.exp(-(0.5 + difficulty + 2 * np.tanh(difference))))).astype(float)
    found = length_controlled_rate(wins, difference, difficulty)
    assert found.rate is not None
    assert found.rate.low <= expected.mean() <= found.rate.high


def test_what_cannot_be_told_is_said() -> None:
    few = length_controlled_rate(np.ones(2), np.ones(2))
    assert few.rate is None
    assert "2 comparisons with lengths, too few" in few.note
    same = length_controlled_rate(np.array([1.0, 0.0, 1.0]), np.full(3, 5.0))
    assert same.rate is None
    assert "cannot be told from quality" in same.note
    parted = length_controlled_rate(np.array([1.0, 1.0, 0.0, 0.0]), np.array([5.0, 3.0, -2.0, -1.0]))
    assert parted.rate is not None
    assert 0 < parted.rate.low < parted.rate.high < 1
    assert "explains every comparison" in parted.note
