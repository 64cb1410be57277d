"""Krippendorff's alpha: by hand, as the package has it, and where it raises or says NaN."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from assay.statistics.agreement import krippendorff_alpha


def units(*rows: list[float]) -> list[dict[str, float]]:
    """Of each unit what each annotator gave; rows are annotators, NaN is nothing."""
    return [
        {f"annotator {number}": value for number, value in enumerate(column) if not math.isnan(value)}
        for column in zip(*rows, strict=True)
    ]


NAN = math.nan
ROWS = (
    [0, 0.5, 1, 1, 0, NAN, 0.5, 1],
    [0, 1, 1, 0.5, 0, 1, NAN, 1],
    [1, 0.5, 1, 1, NAN, 0, 0.5, 1],
)


def test_alpha_by_hand() -> None:
    # Four units of two annotators: values 0 0, 1 1, 1 1, 0 1. D_o = 2 / 8; of three 0 and five 1, D_e = 2 * 15 / 56.
    found = krippendorff_alpha(units([0, 1, 1, 0], [0, 1, 1, 1]))
    assert found.alpha.value == pytest.approx(1 - (2 / 8) / (30 / 56))
    assert (found.num_units, found.num_annotators) == (4, 2)
    assert not found.is_unanimous


def test_alpha_is_that_of_the_package() -> None:
    # krippendorff 0.9.0, level_of_measurement "interval" and "nominal".
    assert krippendorff_alpha(units(*ROWS)).alpha.value == pytest.approx(0.33333333)
    assert krippendorff_alpha(units(*ROWS), "nominal").alpha.value == pytest.approx(0.40740741)


def test_units_judged_once_say_nothing() -> None:
    more = [[*row, value] for row, value in zip(ROWS, (1.0, NAN, NAN), strict=True)]
    assert krippendorff_alpha(units(*more)).alpha == krippendorff_alpha(units(*ROWS)).alpha


def test_unanimous_annotators_agree_perfectly() -> None:
    found = krippendorff_alpha(units([0, 1, 1, 0, 1], [0, 1, 1, 0, 1]))
    assert found.is_unanimous
    assert found.alpha.value == 1.0
    assert found.alpha.high == 1.0
    assert found.alpha.low is not None
    assert found.alpha.low < 1
    many = krippendorff_alpha(units([0, 1] * 50, [0, 1] * 50))
    assert many.alpha.low is not None
    assert many.alpha.low > found.alpha.low
    # The package raises here, or returns NaN where it is told what values there may be.
    same = krippendorff_alpha(units([1, 1, 1], [1, 1, 1]))
    assert same.is_unanimous
    assert (same.alpha.value, same.alpha.low) == (1.0, None)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([{"one": 1.0}, {"one": 0.0}], "there is one annotator"),
        ([{"one": 1.0}, {"two": 0.0}], "no pair was judged by two annotators"),
        ([], "nobody says who judged"),
    ],
)
def test_where_agreement_is_not_defined_it_is_said(values: list[dict[str, float]], why: str) -> None:
    found = krippendorff_alpha(values)
    assert found.undefined == why
    assert found.alpha.value is None


def test_the_interval_covers() -> None:
    # Two annotators who see the truth with 85 %: alpha in expectation is (0.85 - 0.15)^2.
    generator = np.random.default_rng(0)
    covered = []
    for _ in range(60):
        truth = generator.integers(0, 2, 80)
        judged = [np.where(generator.random(80) < 0.85, truth, 1 - truth) for _ in range(2)]
        alpha = krippendorff_alpha(units(*(each.tolist() for each in judged)), num_draws=300).alpha
        assert alpha.low is not None
        assert alpha.high is not None
        covered.append(alpha.low <= 0.49 <= alpha.high)
    assert np.mean(covered) >= 0.87


def test_values_that_are_no_preferences_are_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        krippendorff_alpha(units([0, 2], [1, 1]))


def test_units_that_are_all_alike_in_disagreement_have_an_interval() -> None:
    """A bootstrap of them has no spread."""
    one = krippendorff_alpha([{"a": 0, "b": 1}]).alpha
    assert (one.low, one.value, one.high) == (0.0, 0.0, pytest.approx(1 - 0.2065, abs=1e-3))
    two = krippendorff_alpha([{"a": 0, "b": 1}] * 2).alpha
    assert (two.low, two.value, two.high) == (-0.5, -0.5, pytest.approx(1 - 0.3424 * 1.5, abs=1e-3))


@pytest.mark.parametrize("num_units", [6, 12])
def test_the_interval_covers_with_few_units(num_units: int) -> None:
    """Two who are right in 60 %: alpha is 0.04. The bootstrap alone covers 70 and 87 times in 100."""
    covered = 0
    for seed in range(100):
        generator = random.Random(seed)
        units = []
        for _ in range(num_units):
            truth = generator.randrange(2)
            units.append({name: float(truth if generator.random() < 0.6 else 1 - truth) for name in "ab"})
        alpha = krippendorff_alpha(units, num_draws=200).alpha
        assert alpha.high is not None
        covered += (-1.0 if alpha.low is None else alpha.low) <= 0.04 <= alpha.high
    assert covered >= 93
