"""Length-controlled win rates: how often a response would be preferred if both were as long.

    logit P(preferred) = theta + phi tanh((length - length of the other) / s) + psi difficulty

with s the standard deviation of the differences, over n - 1, without taking off their mean; the rate is the mean of
P with phi = 0. Dubois, Galambosi, Liang and Hashimoto 2024, "Length-controlled AlpacaEval: a simple way to debias
automatic evaluators", https://arxiv.org/abs/2404.04475, with its code, alpaca_eval 0.6, metrics/glm_winrate.py. What
differs: no penalty on the coefficients, unless the rows are separated (theirs is an L1 penalty by cross-validation, and
rows of a baseline made longer and shorter, which are data of theirs), and no term for difficulty without a column of
it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assay.statistics.firth import fit_with_covariance, sigmoid
from assay.statistics.interval import NORMAL_QUANTILE, Interval

MIN_ROWS = 3
"""Fewest comparisons of which a rate is fitted."""


@dataclass(frozen=True)
class LengthControlled:
    """A win rate with the effect of length taken away."""

    rate: Interval | None
    """The rate and its 95 % interval; None where the rows do not tell it."""
    length: Interval | None
    """phi, the log odds that a length one standard deviation of differences above the other's brings, over tanh(1);
    None where lengths never differ."""
    note: str = ""
    """What is to be known of the rate, in a sentence; empty for nothing."""


def length_controlled_rate(
    wins_N: np.ndarray, difference_N: np.ndarray, difficulty_N: np.ndarray | None = None
) -> LengthControlled:
    """The win rate at equal lengths, over all comparisons of one model.

    Args:
        wins_N: [N] from 0 (lost) to 1 (won), a half for a tie.
        difference_N: [N] length of the model's response less that of the other.
        difficulty_N: [N] the instruction's difficulty, where it is known.
    """
    if len(wins_N) < MIN_ROWS:
        return LengthControlled(None, None, f"{len(wins_N)} comparisons with lengths, too few for a fit")
    columns = [np.ones(len(wins_N))]
    spread = float(np.std(difference_N, ddof=1))
    differs = bool((difference_N != 0).any())
    if differs and spread == 0:
        return LengthControlled(None, None, "all length differences are the same: they cannot be told from quality")
    if differs:
        columns.append(np.tanh(difference_N / spread))
    if difficulty_N is not None and np.ptp(difficulty_N) > 0:
        columns.append(difficulty_N)
    design = np.stack(columns, axis=1)
    try:
        fit = fit_with_covariance(design, wins_N)
    except ValueError as error:
        return LengthControlled(None, None, f"no length-controlled rate: {error}")
    equal = design.copy()
    length = None
    if differs:
        equal[:, 1] = 0
        half = NORMAL_QUANTILE * float(np.sqrt(fit.covariance[1, 1]))
        slope = float(fit.coefficients[1])
        length = Interval(slope, slope - half, slope + half)
    note = ""
    if fit.is_separated:
        note = "length (or winning always, or never) explains every comparison: Firth's penalty keeps the fit finite"
    return LengthControlled(_rate(equal, fit.coefficients, fit.covariance), length, note)


def _rate(equal_ND: np.ndarray, coefficients_D: np.ndarray, covariance_DD: np.ndarray) -> Interval:
    """The mean probability of rows, and its interval: Wald's on the scale of log odds, so that it stays within 0 and
    1."""
    expected_N = sigmoid(equal_ND @ coefficients_D)
    rate = min(max(float(expected_N.mean()), 1e-12), 1 - 1e-12)
    gradient = (equal_ND * (expected_N * (1 - expected_N))[:, None]).mean(0)
    error = float(np.sqrt(max(gradient @ covariance_DD @ gradient, 0.0))) / (rate * (1 - rate))
    middle = float(np.log(rate / (1 - rate)))
    low, high = sigmoid(np.array([middle - NORMAL_QUANTILE * error, middle + NORMAL_QUANTILE * error]))
    return Interval(rate, min(float(low), rate), max(float(high), rate))
