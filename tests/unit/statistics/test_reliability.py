"""How often annotators judge right: the fixed point by Bayes' rule, simulated annotators, and what cannot be told."""

from __future__ import annotations

import math
import random

import pytest

from assay.statistics.reliability import annotator_reliability

RIGHT = {"ada": 0.9, "bob": 0.8, "eve": 0.6}


def simulated(num_units: int, seed: int, right: dict[str, float] = RIGHT) -> list[dict[str, float]]:
    generator = random.Random(seed)
    units = []
    for _ in range(num_units):
        truth = generator.randrange(2)
        units.append({name: float(truth if generator.random() < share else 1 - truth) for name, share in right.items()})
    return units


def test_the_estimate_is_the_fixed_point_of_bayes_rule() -> None:
    units = [*simulated(30, 0), {"ada": 1.0, "bob": 0.5, "eve": 0.0}]
    found = {name: each.share.value for name, each in annotator_reliability(units, num_draws=2).items()}
    right = dict.fromkeys(RIGHT, 0.0)
    for unit in units:
        likelihoods = [
            math.prod(
                math.sqrt(share * (1 - share)) if value == 0.5 else share if value == truth else 1 - share
                for (value, share) in ((unit[name], found[name]) for name in unit)
                if share is not None
            )
            for truth in (0, 1)
        ]
        one = likelihoods[1] / sum(likelihoods)
        for name, value in unit.items():
            right[name] += one * value + (1 - one) * (1 - value)
    for name, expected in right.items():
        # One judgement right and one wrong are added.
        assert found[name] == pytest.approx((expected + 1) / (len(units) + 2), abs=1e-6)


def test_simulated_annotators_are_told_apart() -> None:
    found = annotator_reliability(simulated(600, 1), num_draws=100)
    for name, right in RIGHT.items():
        share = found[name].share
        assert share.value == pytest.approx(right, abs=0.08)
        assert share.low is not None
        assert share.high is not None
        assert share.low < right < share.high
        assert found[name].num_units == 600


def test_one_who_says_the_opposite_is_found() -> None:
    found = annotator_reliability(simulated(300, 2, {"ada": 0.95, "bob": 0.9, "eve": 0.1}), num_draws=20)
    share = found["eve"].share.value
    assert share is not None
    assert share < 0.25


def test_two_annotators_tell_how_often_they_agree_and_not_who_errs() -> None:
    found = annotator_reliability([{"ada": 1, "bob": 0}, {"ada": 1, "bob": 1}, {"eve": 1}])
    assert {name: each.share.value for name, each in found.items()} == {"ada": None, "bob": None, "eve": None}
    assert found["ada"].undefined == "no two others judged pairs with it and with each other"
    assert found["eve"].undefined == "nobody else judged its pairs"
    # A third that judged with one of them closes no triangle.
    chain = [{"ada": 1, "bob": 0}, {"bob": 1, "eve": 1}]
    assert all(each.share.value is None for each in annotator_reliability(chain).values())
    assert annotator_reliability([]) == {}


def test_an_answer_out_of_range_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"from 0 to 1, got 2 of 'bob'"):
        annotator_reliability([{"ada": 1, "bob": 2}])


def test_annotators_who_agree_throughout_have_an_interval() -> None:
    found = annotator_reliability([{"ada": 1, "bob": 1, "eve": 1}] * 5)
    for each in found.values():
        # Wilson's of 5 right of 5: 57 to 100 %.
        assert (each.share.low, each.share.high) == (pytest.approx(0.566, abs=0.01), pytest.approx(1, abs=0.01))
    ties = annotator_reliability([{"ada": 0.5, "bob": 0.5, "eve": 0.5}] * 5)["ada"].share
    assert (ties.low, ties.value, ties.high) == (pytest.approx(0.17, abs=0.01), 0.5, pytest.approx(0.83, abs=0.01))


@pytest.mark.parametrize("num_units", [6, 20])
def test_intervals_cover_with_few_units(num_units: int) -> None:
    """0 and 67 of 100 by the bootstrap alone."""
    right = dict.fromkeys(RIGHT, 0.95)
    covered = 0
    for seed in range(60):
        share = annotator_reliability(simulated(num_units, 1000 + seed, right), num_draws=50)["ada"].share
        assert share.low is not None
        assert share.high is not None
        covered += share.low <= 0.95 <= share.high
    assert covered >= 54
