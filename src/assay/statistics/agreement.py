"""Agreement between annotators: Krippendorff's alpha, with an interval.

    alpha = 1 - D_o / D_e

D_o is the mean squared difference of values of one unit, D_e that of values of any two, over all values of units that
two annotators or more have judged. Krippendorff 2011, "Computing Krippendorff's alpha-reliability",
https://repository.upenn.edu/asc_papers/43. Units judged once say nothing and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from assay.statistics.interval import CONFIDENCE
from assay.statistics.profile import Estimate
from assay.statistics.proportion import wilson

Metric = Literal["interval", "nominal"]
"""interval: the squared difference, so that a tie (0.5) is a quarter as far from a win as a loss is. nominal: all
differences are alike."""
NUM_DRAWS = 2000


@dataclass(frozen=True)
class Agreement:
    """Krippendorff's alpha of several annotators."""

    alpha: Estimate
    """1 for perfect agreement, 0 for what chance would give, below for less; no value where it is not defined."""
    num_units: int
    """Units that two annotators or more have judged."""
    num_annotators: int
    is_unanimous: bool = False
    """True where no two annotators differ on any unit: alpha is 1, also where all values are the same, for which the
    formula is 0 / 0."""
    undefined: str = ""
    """Why there is no value; empty where there is one."""


def krippendorff_alpha(
    values: Sequence[Mapping[str, float]], metric: Metric = "interval", *, num_draws: int = NUM_DRAWS, seed: int = 0
) -> Agreement:
    """Return alpha with its 95 % interval, of a bootstrap over units.

    It is never narrower than that of D_o alone, as the share of units on which they differ by as much as can be
    (Wilson's), since of few units, or of ones that are all alike, a bootstrap has no spread. The lower end is open
    where all values are the same, since nothing says then what chance would give.

    Args:
        values: of each unit the value, from 0 to 1, that each annotator gave.

    Raises:
        ValueError: a value outside [0, 1].
    """
    annotators = {name for unit in values for name in unit}
    units = [np.array(list(unit.values()), dtype=float) for unit in values if len(unit) > 1]
    if any(not ((unit >= 0) & (unit <= 1)).all() for unit in units):
        raise ValueError("a value is outside [0, 1]")
    if len(annotators) < 2:
        return _undefined(0, len(annotators), "there is one annotator" if annotators else "nobody says who judged")
    if not units:
        return _undefined(0, len(annotators), "no pair was judged by two annotators")
    table = np.array([_summary(unit, metric) for unit in units])
    levels = np.unique(np.concatenate(units))
    counts = np.array([[(unit == level).sum() for level in levels] for unit in units]) if metric == "nominal" else None
    weights = np.ones((1, len(units)))
    alpha, chance = _alpha(weights, table, counts)
    if not table[:, 0].any():
        constant = len(levels) == 1
        low = None if constant else max(1 - wilson(0, len(units)).high / float(chance[0]), -1.0)
        return Agreement(Estimate(1.0, low, 1.0), len(units), len(annotators), is_unanimous=True)
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(len(units), np.full(len(units), 1 / len(units)), size=num_draws).astype(float)
    draws = _alpha(drawn, table, counts)[0]
    low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    value = float(alpha[0])
    # D_o as a share of units, D_e as it is.
    apart = wilson(min(float(table[:, 0].sum() / table[:, 1].sum()), 1.0) * len(units), len(units))
    low = min(float(low), value, max(1 - apart.high / float(chance[0]), -1.0))
    high = max(float(high), value, 1 - apart.low / float(chance[0]))
    estimate = Estimate(value, low, high)
    return Agreement(estimate, len(units), len(annotators))


def _undefined(num_units: int, num_annotators: int, why: str) -> Agreement:
    return Agreement(Estimate(None, None, None), num_units, num_annotators, undefined=why)


def _summary(unit: np.ndarray, metric: Metric) -> tuple[float, int, float, float]:
    """(difference within, number of values, their sum, their sum of squares)."""
    differences = unit[:, None] - unit[None, :]
    apart = (differences != 0).sum() if metric == "nominal" else (differences**2).sum()
    return float(apart) / (len(unit) - 1), len(unit), float(unit.sum()), float((unit**2).sum())


def _alpha(weights_BU: np.ndarray, table: np.ndarray, counts: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """(alpha, D_e) of each weighting of the units; 1 where no two values differ."""
    apart, number, total, squares = (weights_BU @ table[:, column] for column in range(4))
    if counts is None:
        chance = 2 * (number * squares - total**2) / (number * (number - 1))
    else:
        chance = (number**2 - ((weights_BU @ counts) ** 2).sum(1)) / (number * (number - 1))
    chance = np.maximum(chance, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        alpha = 1 - (apart / number) / chance
    return np.where(chance > 1e-12, alpha, 1.0), chance
