"""Hazards: the reliability per step behind success over longer and longer tasks, and whether it falls with length.

Shape letters: U cells of the same complexity and length; K values of the shape that are tried at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special

from assay.statistics.profile import DROP, Estimate, profile_ends

SHAPES = (-3.0, 9.0)
"""Range of the shape that is searched."""
_LOG_RATES = (-40.0, 12.0)
_BISECTIONS = 30
_ZOOMS = 3


@dataclass(frozen=True)
class Hazard:
    """A model of success over lengths with a constant hazard, and the test of it."""

    reliability: tuple[Estimate, ...]
    """The probability that a step succeeds in each group, were it the same for every step."""
    shape: Estimate
    """k in exp(-rate H^k): 1 for a constant hazard, above 1 where reliability per step falls as tasks grow. Its value
    is None where the cells do not tell."""
    p_value: float | None
    """Two-sided, of the hypothesis that the shape is 1: likelihood ratio, one degree of freedom."""
    log_loss: float
    """Mean of -log of the probability that the constant hazard gives to what happened, in nats."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "reliability": [each.to_dict() for each in self.reliability],
            "shape": self.shape.to_dict(),
            "p_value": self.p_value,
            "log_loss": self.log_loss,
        }


def fit_hazard(
    lengths_U: Sequence[float], num_U: Sequence[int], solved_U: Sequence[int], group_U: Sequence[int]
) -> Hazard:
    """Success at length H as p^H, with a p for each group, and beside it as exp(-rate H^k) with one k for all.

    p^H is what independent steps of equal reliability give: a constant hazard of -log p a step (Sinha et al. 2025, "The
    illusion of diminishing returns: measuring long horizon execution in LLMs", https://arxiv.org/abs/2509.09677, use it
    as the baseline that measured curves fall below). exp(-rate H^k) is Weibull's survival function: its hazard grows as
    H^(k - 1). Fitted by maximum likelihood; intervals are those of the profile likelihood, the test is its ratio.
    Lengths are in any unit, but a p is per unit.

    Args:
        lengths_U: [U] above 0.
        num_U: [U] tasks of each cell.
        solved_U: [U] those that were solved.
        group_U: [U] 0, 1, ...: cells of one group share a rate, such as those of one complexity.

    Raises:
        ValueError: no tasks, a length that is not positive, or more solved than there are.
    """
    lengths, num, solved = (np.asarray(each, dtype=np.float64) for each in (lengths_U, num_U, solved_U))
    groups = np.asarray(group_U)
    if not len(lengths) or not (lengths > 0).all() or not np.isfinite(lengths).all():
        raise ValueError(f"lengths must be finite and above 0, got {list(lengths_U)}")
    if not ((solved >= 0) & (solved <= num) & (num > 0)).all():
        raise ValueError(f"solved {list(solved_U)} of {list(num_U)} tasks")
    parts = [groups == group for group in range(int(groups.max()) + 1)]

    def likelihood(shapes_K: np.ndarray) -> np.ndarray:
        return sum(
            (_at_best(lengths[part], num[part], solved[part], shapes_K)[1] for part in parts), np.zeros(len(shapes_K))
        )

    constant = float(likelihood(np.ones(1))[0])
    shape, p_value = Estimate(None, None, None), None
    if _tells_shape(lengths, num, solved, parts):
        low, high = SHAPES
        for _ in range(_ZOOMS):
            grid = np.linspace(low, high, 65)
            values = likelihood(grid)
            place = int(np.argmax(values))
            low, high = grid[max(place - 1, 0)], grid[min(place + 1, 64)]
        best, most = float(grid[place]), max(float(values[place]), constant)
        shape = Estimate(best, *profile_ends(lambda shapes: likelihood(shapes) - most, best, SHAPES))
        p_value = float(scipy.special.chdtrc(1, max(2 * (most - constant), 0.0)))
    reliability = tuple(_reliability(lengths[part], num[part], solved[part]) for part in parts)
    return Hazard(reliability, shape, p_value, -constant / float(num.sum()))


def _tells_shape(lengths: np.ndarray, num: np.ndarray, solved: np.ndarray, parts: Sequence[np.ndarray]) -> bool:
    """Return whether any group has successes and failures, at lengths that differ: one rate explains all others at any
    shape."""
    return any(
        0 < solved[part].sum() < num[part].sum() and lengths[part].min() < lengths[part].max()
        for part in parts
        if part.any()
    )


def _at_best(
    lengths: np.ndarray, num: np.ndarray, solved: np.ndarray, shapes_K: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """[K] the rate that is likeliest at each shape, and its log-likelihood."""
    failed = num - solved
    if not failed.sum():
        return np.zeros(len(shapes_K)), np.zeros(len(shapes_K))
    if not solved.sum():
        return np.full(len(shapes_K), np.inf), np.zeros(len(shapes_K))
    # Lengths about their middle, so that a rate of any shape lies in the range that is searched.
    scaled_KU = np.exp(shapes_K[:, None] * np.log(lengths / _middle(lengths))[None, :])
    low, high = np.full(len(shapes_K), _LOG_RATES[0]), np.full(len(shapes_K), _LOG_RATES[1])
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        risk_KU = np.exp(middle)[:, None] * scaled_KU
        slope = scaled_KU @ -solved + (failed * scaled_KU / np.expm1(np.clip(risk_KU, 1e-300, 700))).sum(1)
        low, high = np.where(slope > 0, middle, low), np.where(slope > 0, high, middle)
    rates = np.exp((low + high) / 2)
    return rates / _middle(lengths) ** shapes_K, _likelihood(rates[:, None] * scaled_KU, solved, failed)


def _middle(lengths: np.ndarray) -> float:
    return math.sqrt(float(lengths.min() * lengths.max()))


def _likelihood(risk_KU: np.ndarray, solved: np.ndarray, failed: np.ndarray) -> np.ndarray:
    """[K] log-likelihood of surviving risks."""
    with np.errstate(divide="ignore", invalid="ignore"):
        of_failed = np.where(failed > 0, failed * np.log(-np.expm1(-risk_KU)), 0.0)
        of_solved = np.where(solved > 0, -solved * risk_KU, 0.0)
    return (of_solved + of_failed).sum(1)


def _reliability(lengths: np.ndarray, num: np.ndarray, solved: np.ndarray) -> Estimate:
    """The p of p^H, with its profile interval."""
    if not len(lengths):
        return Estimate(None, None, None)
    failed = num - solved
    if not failed.sum():
        return Estimate(1.0, math.exp(-DROP / float((num * lengths).sum())), 1.0)
    rate, most = (float(each[0]) for each in _at_best(lengths, num, solved, np.ones(1)))

    def below(log_rates: np.ndarray) -> np.ndarray:
        return _likelihood(np.exp(log_rates)[:, None] * lengths[None, :], solved, failed) - most

    best = _LOG_RATES[1] if math.isinf(rate) else math.log(rate)
    low, high = profile_ends(below, best, _LOG_RATES)
    # The larger rate is the smaller probability.
    ends = (0.0 if high is None else math.exp(-math.exp(high)), 1.0 if low is None else math.exp(-math.exp(low)))
    return Estimate(math.exp(-rate), *ends)
