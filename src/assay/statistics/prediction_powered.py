"""Prediction-powered intervals: many scores given by a judge, corrected by the few that people gave as well."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assay.statistics.interval import Interval, t_quantile


@dataclass(frozen=True)
class PredictionPowered:
    """A mean score with its interval, and what the judge was worth."""

    interval: Interval
    judge_weight: float
    """How much the judge's scores count, from 0 (labels alone) to 1."""
    judge_bias: float
    """Mean of judge - label over the labelled tasks."""


def prediction_powered_mean(
    labels_n: Sequence[float], judged_n: Sequence[float], judged_N: Sequence[float], *, tuned: bool = True
) -> PredictionPowered:
    """Mean score of all tasks: the judge's mean, less the judge's mean error on the tasks with labels.

        mean = w mean(judged_N) + mean(labels_n - w judged_n)
        variance = w^2 var(judged_N) / N + var(labels_n - w judged_n) / n

    However bad the judge is, the mean has no bias; how good it is decides the width. Angelopoulos et al. 2023,
    "Prediction-powered inference", Science 382, https://arxiv.org/abs/2301.09633, is w = 1. Tuned, w is what makes the
    variance smallest, Cov(label, judged) / ((1 + n / N) Var(judged)) held to [0, 1]: Angelopoulos, Duchi and Zrnic
    2023, "PPI++", https://arxiv.org/abs/2311.01453.

    Differs for few labels: Student's quantile with n - 1 degrees of freedom, and to the corrections labels - w judged
    come one at each end of what they can be, -w and 1, since labels that agreed with the judge five times in five do
    not say that they always will (for w = 1 this is Bonett and Price 2012, "Adjusted Wald confidence interval for a
    difference of binomial proportions based on paired data", Journal of Educational and Behavioral Statistics 37).

    Args:
        labels_n: [n] people's score of each labelled task, in [0, 1].
        judged_n: [n] the judge's scores of the same tasks, in the same order.
        judged_N: [N] the judge's scores of the tasks without label. Labelled tasks are a random part of all.

    Raises:
        ValueError: fewer than two labels or judged tasks, lengths that differ, or a value outside [0, 1].

    Example:
        >>> found = prediction_powered_mean([1, 0, 1, 1, 0, 1], [1, 0, 1, 1, 0, 0], [1, 0, 1, 0] * 25, tuned=False)
        >>> print(found.interval)
        0.6667 [0.06507, 1]
    """
    labels, judged, rest = (np.asarray(side, dtype=np.float64) for side in (labels_n, judged_n, judged_N))
    if labels.shape != judged.shape or labels.ndim != 1 or rest.ndim != 1:
        raise ValueError(f"every labelled task needs the judge's score: {labels.shape} labels, {judged.shape} judged")
    if min(len(labels), len(rest)) < 2:
        raise ValueError(f"two labels and two tasks without one are the least, got {len(labels)} and {len(rest)}")
    if not all(((side >= 0) & (side <= 1)).all() for side in (labels, judged, rest)):
        raise ValueError("a score is outside [0, 1]")
    weight = _best_weight(labels, judged, rest) if tuned else 1.0
    corrections = labels - weight * judged
    # Without regard to the two that are added, which only the interval knows.
    value = float(weight * rest.mean() + corrections.mean())
    widened = np.concatenate([corrections, [-weight, 1.0]])
    centre = float(weight * rest.mean() + widened.mean())
    variance = weight**2 * float(rest.var(ddof=1)) / len(rest) + float(widened.var()) / len(widened)
    half = t_quantile(len(labels) - 1) * math.sqrt(variance)
    value = min(max(value, 0.0), 1.0)
    interval = Interval(value, min(max(centre - half, 0.0), value), max(min(centre + half, 1.0), value))
    return PredictionPowered(interval, weight, float((judged - labels).mean()))


def _best_weight(labels: np.ndarray, judged: np.ndarray, rest: np.ndarray) -> float:
    spread = float(np.concatenate([judged, rest]).var(ddof=1))
    if spread == 0:
        return 0.0
    covariance = float(np.cov(labels, judged)[0, 1])
    return min(max(covariance / ((1 + len(labels) / len(rest)) * spread), 0.0), 1.0)
