from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import pytest

from assay.statistics import Horizon, HorizonRows, fit_horizons
from foreign.horizon_table import AGENTS, metr_rows

BY_SCIKIT_LEARN = {
    "strong score_cont weights": (-0.5480598034, 5.140988904, 666.4454273, 115.4308259),
    "strong score_cont ones": (-0.6749273269, 6.088144167, 519.3070554, 125.0579923),
    "strong score_cont ridge 5": (-0.1129983117, 2.306117597, 1391708.123, 282.1170903),
    "strong score_binarized weights": (-0.5660300646, 5.315175749, 671.0475023, 122.8809833),
    "strong score_binarized ones": (-0.7165805104, 6.476063768, 525.4663296, 137.4590149),
    "strong score_binarized ridge 5": (-0.1133581079, 2.33003313, 1540132.059, 320.7458706),
    "middle score_cont weights": (-0.6365677306, 2.972056078, 25.4373493, 5.622112494),
    "middle score_cont ones": (-0.7583837394, 3.591205877, 26.63666107, 7.502556991),
    "middle score_cont ridge 5": (-0.176402472, 1.07481833, 68.26097181, 0.2940814331),
    "middle score_binarized weights": (-0.6854355645, 3.234201385, 26.32682415, 6.479849171),
    "middle score_binarized ones": (-0.8781189906, 4.226535886, 28.11308536, 9.411736186),
    "middle score_binarized ridge 5": (-0.1797809341, 1.105640109, 71.00898689, 0.3388948963),
    "weak score_cont weights": (-0.7426109228, 0.9176369762, 2.354939693, 0.645686551),
    "weak score_cont ones": (-0.9340685396, 1.022751527, 2.136045973, 0.7635509876),
    "weak score_cont ridge 5": (-0.1840957549, 0.08159317044, 1.359626601, 0.007354896859),
    "weak score_binarized weights": (-0.7739153588, 0.8373090543, 2.116841069, 0.6115910015),
    "weak score_binarized ones": (-1.043930023, 0.93444124, 1.859762838, 0.7408028145),
    "weak score_binarized ridge 5": (-0.1847993605, 0.03739564528, 1.15057744, 0.006348974362),
}
"""Coefficient, intercept, p50 and p80 by scikit-learn 1.9.1: python tests/foreign/horizon_table.py"""


def table(
    success: Sequence[float],
    difficulty: Sequence[float],
    *,
    weight: Sequence[float] | None = None,
    rating: bool = False,
) -> HorizonRows:
    count = len(success)
    weights = np.ones(count) if weight is None else np.array(weight)
    return HorizonRows(
        np.array(success, dtype=float),
        np.array(difficulty, dtype=float),
        weights,
        np.array(["all"] * count),
        (),
        rating,
    )


def one(rows: HorizonRows, **options) -> Horizon:
    (found,) = fit_horizons(rows, **options).values()
    return found


def metr(score: str, weighted: bool, *groups: str) -> HorizonRows:
    rows = metr_rows()
    column = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    weight = column["invsqrt_task_weight"] if weighted else np.ones(len(rows))
    levels = tuple(column[name] for name in groups)
    return HorizonRows(column[score], column["human_minutes"], weight, column["alias"], levels)


@pytest.mark.parametrize("score", ["score_cont", "score_binarized"])
@pytest.mark.parametrize(
    ("label", "weighted", "ridge"), [("weights", True, 0.1), ("ones", False, 0.1), ("ridge 5", True, 5.0)]
)
def test_is_scikit_learns_fit(score: str, label: str, weighted: bool, ridge: float):
    found = fit_horizons(metr(score, weighted), ridge=ridge, num_draws=0)
    for agent in AGENTS:
        each, (slope, intercept, p50, p80) = found[agent], BY_SCIKIT_LEARN[f"{agent} {score} {label}"]
        assert (each.slope, each.intercept) == pytest.approx((slope, intercept), rel=1e-5)
        assert (each.p50, each.p80) == pytest.approx((p50, p80), rel=1e-5)
        assert each.num == 300


def test_a_fit_by_hand():
    """Without a ridge two difficulties are met exactly: at 1, 3 of 4 succeed, log odds log 3; at 4, 1 of 4. Over two
    doublings the log odds fall by 2 log 3, so p50 is at one doubling, 2; p80 at (log 3 - log 4) / log 3 doublings."""
    found = one(table([1, 1, 1, 0, 0, 0, 0, 1], [1, 1, 1, 1, 4, 4, 4, 4]), ridge=0.0)
    assert found.slope == pytest.approx(-math.log(3))
    assert found.p50 == pytest.approx(2.0)
    assert found.p80 == pytest.approx(2 ** ((math.log(3) - math.log(4)) / math.log(3)))
    assert found.log_loss == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert found.log_loss_constant == pytest.approx(math.log(2))
    assert [part[:3] for part in found.bins] == [(1.0, 1.0, 4), (4.0, 4.0, 4)]
    assert [part[3] for part in found.bins] == pytest.approx([0.75, 0.25])


def test_the_ridge_is_beside_the_sum_of_the_weights():
    """Six rows of weight one are held back six times less than the same with weights that sum to one."""
    success, difficulty = [1, 1, 0, 1, 0, 0], [1, 2, 4, 8, 16, 32]
    ones, shares = (
        one(table(success, difficulty), ridge=0.6),
        one(table(success, difficulty, weight=[1 / 6] * 6), ridge=0.1),
    )
    assert ones.slope == pytest.approx(shares.slope)
    assert one(table(success, difficulty), ridge=0.1).slope < ones.slope


def test_a_share_is_a_success_and_a_failure():
    whole = one(table([1, 0, 1, 0, 0], [2, 2, 2, 8, 8]), num_draws=0)
    shares = one(table([2 / 3, 0], [2, 8], weight=[3, 2]), num_draws=0)
    assert (whole.slope, whole.p50) == pytest.approx((shares.slope, shares.p50))


def test_a_rating_is_a_logarithm_already():
    success, powers = [1, 1, 0, 1, 0, 0] * 8, [0, 1, 2, 3, 4, 5] * 8
    minutes = one(table(success, [2**power for power in powers]))
    rating = one(table(success, powers, rating=True))
    assert rating.p50 == pytest.approx(math.log2(minutes.p50 or 0))
    assert rating.low == pytest.approx(math.log2(minutes.low or 0), abs=1e-3)


def test_a_rating_as_large_as_a_contests():
    """On a scale of thousands the ridge is on the slope of one point, and the fit converges all the same."""
    generator = np.random.default_rng(0)
    rating = generator.uniform(800, 3000, 2000)
    success = generator.random(2000) < 1 / (1 + 10 ** ((rating - 1700) / 400))
    found = one(table(success.tolist(), rating.tolist(), rating=True), num_draws=200)
    assert found.p50 == pytest.approx(1700, abs=40)
    assert found.slope == pytest.approx(-math.log(10) / 400, rel=0.1)
    assert (found.low or 0) < 1700 < (found.high or 0)


def test_intervals_are_those_of_metrs_own_bootstrap():
    """The 2.5 % and 97.5 % quantiles that bootstrap.py of METR/eval-analysis-public (commit 52d6b56) gives for this
    table over families, tasks and runs, 1000 samples."""
    found = fit_horizons(metr("score_cont", True, "task_family", "task_id"), num_draws=2000)
    for agent, ends in BY_METR.items():
        for own, other in zip((found[agent].low, found[agent].high), ends, strict=True):
            # As near as so many samples can tell: a tenth of the interval's width in doublings.
            assert abs(math.log2((own or 0) / other)) <= 0.1 * math.log2(ends[1] / ends[0]), agent


BY_METR = {"strong": (263.2231, 5498.9902), "middle": (12.6073, 60.5286), "weak": (1.3394, 4.1179)}


@pytest.mark.parametrize("num_families", [5, 20])
def test_covers_a_known_horizon(num_families: int):
    """Families of three tasks with five runs; log odds of a family and of a task vary by 0.7. The true horizon is where
    the mean success over families and tasks is one half, at 2^5 by symmetry."""
    generator = np.random.default_rng(4)
    covered, num_trials = 0, 60
    for trial in range(num_trials):
        x = generator.uniform(0, 10, (num_families, 3, 1))
        shift = generator.normal(0, 0.7, (num_families, 1, 1)) + generator.normal(0, 0.7, (num_families, 3, 1))
        success = generator.random((num_families, 3, 5)) < 1 / (1 + np.exp(-(5 - x + shift)))
        shape = success.shape
        rows = HorizonRows(
            success.astype(float).ravel(),
            np.broadcast_to(np.exp2(x), shape).ravel(),
            np.ones(success.size),
            np.zeros(success.size),
            (
                np.broadcast_to(np.arange(num_families)[:, None, None], shape).ravel(),
                np.broadcast_to(np.arange(3)[None, :, None], shape).ravel(),
            ),
        )
        found = one(rows, num_draws=100, seed=trial)
        covered += (found.low or 0.0) <= 32 <= (math.inf if found.high is None else found.high)
    assert covered / num_trials >= (0.82 if num_families == 5 else 0.88)


def test_separated_rows_are_said_to_be_so():
    """Eight tasks solved, eight failed: the slope could be any, and the horizon is ruled out below the sixth task from
    the boundary, of which the six above were all solved, and above likewise."""
    found = one(table([1] * 8 + [0] * 8, [2**power for power in range(16)]))
    assert found.kind == "separated"
    assert found.slope is None
    assert 2**7 <= (found.p50 or 0) <= 2**8
    assert (found.low, found.high) == (2**2, 2**13)
    assert any("nothing failed below 256 and nothing succeeded above 128" in note for note in found.notes)
    few = one(table([1, 1, 0, 0], [1, 2, 4, 8]))
    assert (few.kind, few.low, few.high) == ("separated", None, None)


def test_without_a_model_families_count_once():
    """Twelve solved tasks of two families are two witnesses, not twelve."""
    success, difficulty = [1] * 12 + [0] * 12, [2.0**power for power in range(24)]
    rows = table(success, difficulty)
    families = np.array([place % 2 for place in range(24)])
    grouped = HorizonRows(rows.success, rows.difficulty, rows.weight, rows.by, (families,))
    assert one(rows).low == 2**6
    assert one(grouped).low is None


def test_without_a_model_covers():
    """Steep success: about half of tables with twelve tasks are separated, and their intervals hold the horizon."""
    generator = np.random.default_rng(5)
    covered = separated = 0
    for _ in range(200):
        x = generator.uniform(0, 16, 24)
        success = generator.random(24) < 1 / (1 + np.exp(-4 * (8 - x)))
        found = one(table(success.tolist(), np.exp2(x).tolist()), num_draws=0)
        if found.kind == "separated":
            separated += 1
            covered += (found.low or 0) <= 2**8 <= (math.inf if found.high is None else found.high)
    assert separated > 25
    assert covered / separated >= 0.95


def test_all_solved_and_all_failed_are_at_the_bound():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solved = one(table([1] * 8, [2**power for power in range(8)]))
        failed = one(table([0] * 8, [2**power for power in range(8)]))
    assert (solved.kind, solved.p50, solved.low, solved.high) == ("all solved", 128, 4, None)
    assert (failed.kind, failed.p50, failed.low, failed.high) == ("all failed", 1, None, 32)
    assert "every attempt succeeded: the horizon is at or above the hardest task, 128" in solved.notes[0]


def test_what_has_no_horizon():
    rising = one(table([0, 0, 1, 0, 1, 1], [1, 2, 4, 8, 16, 32]))
    assert (rising.kind, rising.p50) == ("rising", None)
    assert (rising.slope or 0) > 0
    same = one(table([0, 1, 1], [4, 4, 4]))
    assert (same.kind, same.p50) == ("one difficulty", None)
    few = one(table([1], [4]))
    assert (few.kind, few.p50, few.num) == ("too few", None, 1)
    weightless = one(table([1, 0, 1], [1, 2, 4], weight=[1, 0, 0]))
    assert weightless.notes[0].startswith("1 row with a weight above 0"), "rows without weight say nothing"
    assert "1 row with a weight above 0: too few to fit two coefficients" in few.notes[0]


def test_an_open_end_is_open():
    """One failure among ten: many samples have none, and their horizon is above all."""
    found = one(table([1] * 9 + [0], [2**power for power in range(10)]))
    assert found.kind == "separated"
    found = one(table([1, 1, 1, 1, 1, 1, 0, 1], [2**power for power in range(8)]))
    assert found.high is None
    assert found.low is not None


def test_every_model_of_a_table_has_what_it_would_have_alone():
    rows = metr("score_cont", True)
    together = fit_horizons(rows, num_draws=0)
    chosen = rows.by == "middle"
    alone = HorizonRows(rows.success[chosen], rows.difficulty[chosen], rows.weight[chosen], rows.by[chosen])
    assert one(alone, num_draws=0) == together["middle"]
    assert list(together) == ["strong", "middle", "weak"]


def test_extrapolation_and_few_groups_are_told():
    found = one(table([1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 0], [1] * 4 + [2] * 4 + [4] * 4))
    assert any("harder than any" in note for note in found.notes)
    rows = table([1, 0, 1, 0, 1, 1, 0, 1], [1, 2, 2, 4] * 2)
    families = np.array([0] * 4 + [1] * 4)
    found = one(HorizonRows(rows.success, rows.difficulty, rows.weight, rows.by, (families,)))
    assert any("2 groups to draw from say little" in note for note in found.notes)


@pytest.mark.parametrize(
    ("success", "difficulty", "weight"),
    [([2.0, 0.0], [1.0, 2.0], None), ([1.0, 0.0], [0.0, 2.0], None), ([1.0, 0.0], [1.0, 2.0], [-1.0, 1.0])],
)
def test_rejects(success: list[float], difficulty: list[float], weight: list[float] | None):
    with pytest.raises(ValueError, match=r"outside|above 0|negative"):
        table(success, difficulty, weight=weight)
