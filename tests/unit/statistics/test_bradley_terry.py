"""Bradley-Terry ratings: by hand, beside choix, where nothing bounds them, and how often intervals cover."""

from __future__ import annotations

import math

import numpy as np
import pytest

from assay.statistics.bradley_terry import Comparisons, Ratings, fit_bradley_terry
from assay.statistics.interval import NORMAL_QUANTILE


def fitted(rows: list[tuple[int, int, float]], num_items: int, clusters: list[int] | None = None) -> Ratings:
    first, second, preference = (np.array(column) for column in zip(*rows, strict=True))
    of = None if clusters is None else np.array(clusters)
    return fit_bradley_terry(Comparisons(first, second, preference.astype(float), num_items, of))


def values(ratings: Ratings) -> list[float]:
    return [each.value for each in ratings.estimates if each.value is not None]


def beats(winner: int, loser: int, times: int = 1) -> list[tuple[int, int, float]]:
    return [(winner, loser, 0.0)] * times


def test_two_items_by_hand() -> None:
    found = fitted(beats(0, 1, 7) + beats(1, 0, 3), 2)
    rating = math.log(7 / 3) / 2
    # Variance of the difference: 1 / (10 * 0.7 * 0.3); a rating is half of it.
    half = NORMAL_QUANTILE / math.sqrt(10 * 0.21) / 2
    assert values(found) == pytest.approx([rating, -rating], abs=1e-9)
    assert found.estimates[0].low == pytest.approx(rating - half, abs=1e-9)
    assert found.estimates[0].high == pytest.approx(rating + half, abs=1e-9)
    # A tie is half a win of both, and the order of the sides is nothing.
    ties = fitted(beats(1, 0, 3) + [(1, 0, 1.0)] * 5 + [(0, 1, 0.5)] * 4, 2)
    assert values(ties) == pytest.approx([math.log(7 / 5) / 2, -math.log(7 / 5) / 2], abs=1e-9)


def test_three_items_in_a_circle_are_equal_and_a_chain_adds_up() -> None:
    assert values(fitted(beats(0, 1) + beats(1, 2) + beats(2, 0), 3)) == pytest.approx([0, 0, 0], abs=1e-9)
    # 0 and 2 are compared through 1 alone: differences log 3 and log 2 add up.
    chain = fitted(beats(0, 1, 3) + beats(1, 0) + beats(1, 2, 2) + beats(2, 1), 3)
    two, three = math.log(2), math.log(3)
    mean = (two + three + two) / 3
    assert values(chain) == pytest.approx([two + three - mean, two - mean, -mean], abs=1e-9)


def test_ratings_are_those_of_choix_and_scikit_learn() -> None:
    # choix 0.4.1's opt_pairwise and ilsr_pairwise, and scikit-learn 1.9.1's LogisticRegression(C=1e10) without an
    # intercept, on these comparisons.
    generator = np.random.default_rng(3)
    truth = np.array([1.0, 0.5, 0.0, -0.5, -1.0])
    first = generator.integers(0, 5, 80)
    second = (first + generator.integers(1, 5, 80)) % 5
    preference = (generator.random(80) < 1 / (1 + np.exp(-(truth[second] - truth[first])))).astype(float)
    found = fit_bradley_terry(Comparisons(first, second, preference, 5))
    expected = [1.13141264, 0.75807939, 0.32321452, -0.6779124, -1.53479416]
    assert values(found) == pytest.approx(expected, abs=2e-8)


def test_an_item_that_never_lost_has_an_open_upper_end() -> None:
    found = fitted(beats(0, 1, 10), 2)
    # Firth's estimate of 10 of 10 is 10.5 of 11.
    assert values(found) == pytest.approx([math.log(21) / 2, -math.log(21) / 2], abs=1e-6)
    above, below = found.estimates
    assert above.high is None
    assert above.low is not None
    assert below.low is None
    assert below.high is not None
    assert (found.never_lost, found.never_won) == ((0,), (1,))
    # One win more bounds it again.
    assert None not in fitted([*beats(0, 1, 10), (0, 1, 0.5)], 2).estimates[0].to_dict().values()


def test_what_is_bounded_beside_an_open_item_stays_what_it_was() -> None:
    alone = fitted(beats(0, 1, 7) + beats(1, 0, 3), 2)
    beside = fitted(beats(0, 1, 7) + beats(1, 0, 3) + beats(2, 0, 5), 3)
    differences = [np.subtract(*values(each)[:2]) for each in (alone, beside)]
    assert differences[1] == pytest.approx(differences[0], abs=1e-9)
    assert sum(values(beside)) == pytest.approx(0, abs=1e-9)
    assert beside.estimates[2].high is None
    for each in beside.estimates[:2]:
        assert each.low is not None
        assert each.high is not None
    assert beside.never_lost == (2,)
    assert beside.never_won == ()


def test_a_group_above_another_is_open_though_each_of_it_lost() -> None:
    inner = [row for pair in ((0, 1), (2, 3), (3, 4)) for row in (*beats(*pair, 2), *beats(*pair[::-1], 1))]
    found = fitted(inner + beats(0, 2) + beats(1, 3), 5)
    assert [each.high is None for each in found.estimates] == [True, True, False, False, False]
    assert [each.low is None for each in found.estimates] == [False] * 5
    assert found.never_lost == ()


def test_a_chain_of_wins_bounds_nothing_in_its_middle() -> None:
    found = fitted(beats(0, 1, 3) + beats(1, 2, 3), 3)
    assert [(each.low is None, each.high is None) for each in found.estimates] == [
        (False, True),
        (True, True),
        (True, False),
    ]
    assert values(found) == sorted(values(found), reverse=True)


def test_parts_that_are_not_compared_have_a_mean_of_their_own() -> None:
    found = fitted(beats(0, 1, 2) + beats(1, 0) + beats(2, 3, 3) + beats(3, 2) + [(3, 4, 0.5)] * 2, 5)
    assert found.parts == ((2, 3, 4), (0, 1))
    assert sum(values(found)[:2]) == pytest.approx(0, abs=1e-9)
    assert sum(values(found)[2:]) == pytest.approx(0, abs=1e-9)
    assert (found.part_of(0), found.part_of(4)) == (1, 0)


def test_annotators_who_differ_widen_the_interval() -> None:
    # Ten annotators with ten comparisons each, all of one mind with themselves: ten judgements, not a hundred.
    rows = [row for judge in range(10) for row in (beats(0, 1, 10) if judge < 7 else beats(1, 0, 10))]
    clusters = [judge for judge in range(10) for _ in range(10)]
    plain, over = fitted(rows, 2), fitted(rows, 2, clusters)
    assert over.num_clusters == 10
    assert plain.num_clusters is None
    assert values(over) == values(plain)
    widths = [each.estimates[0].high - each.estimates[0].low for each in (plain, over)]  # pyright: ignore
    assert 3 < widths[1] / widths[0] < 5
    assert fitted(rows, 2, [0] * 100).estimates == plain.estimates


def test_intervals_cover_what_simulated_raters_hold() -> None:
    generator = np.random.default_rng(5)
    covered = []
    for _ in range(60):
        truth = generator.normal(0, 1, 5)
        truth -= truth.mean()
        first = generator.integers(0, 5, 120)
        second = (first + generator.integers(1, 5, 120)) % 5
        preference = (generator.random(120) < 1 / (1 + np.exp(truth[first] - truth[second]))).astype(float)
        for value, each in zip(
            truth, fit_bradley_terry(Comparisons(first, second, preference, 5)).estimates, strict=True
        ):
            covered.append((each.low or -9) <= value <= (each.high or 9))
    assert 0.91 <= np.mean(covered) <= 0.99


def test_whatever_the_comparisons_are_ratings_are_finite_and_centred() -> None:
    generator = np.random.default_rng(2)
    for _ in range(60):
        size, count = int(generator.integers(2, 10)), int(generator.integers(1, 30))
        truth = generator.normal(0, generator.choice([1, 8]), size)
        first = generator.integers(0, size, count)
        second = (first + generator.integers(1, size, count)) % size
        preference = (generator.random(count) < 1 / (1 + np.exp(truth[first] - truth[second]))).astype(float)
        preference = np.where(generator.random(count) < 0.2, generator.random(count), preference)
        found = fit_bradley_terry(Comparisons(first, second, preference, size, generator.integers(0, 3, count)))
        ratings = np.array(values(found))
        assert np.isfinite(ratings).all()
        for part in found.parts:
            assert ratings[list(part)].mean() == pytest.approx(0, abs=1e-8)
        assert all(found.estimates[item].high is None for item in found.never_lost)
        assert all(found.estimates[item].low is None for item in found.never_won)


def test_comparisons_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        fitted([(0, 1, 1.5)], 2)
    with pytest.raises(ValueError, match="with itself"):
        fitted([(1, 1, 1.0)], 2)
