"""The saturating law of reward against compute, judged by whether the first half of a run foretells the second.

    R(C) = R_0 + (A - R_0) / (1 + (C_mid / C) ** B)

R_0 is what the untrained model solves, A what training tends to, C_mid the compute at which half of that gain is there,
and B how sharply. Khatri et al. 2025, "The Art of Scaling Reinforcement Learning Compute for LLMs",
https://arxiv.org/abs/2510.13786. Differs: compute is an axis of the trajectory (sampled tokens, say); nothing is left
out at the start, where they leave out the first 1,500 GPU hours; B is between 0.25 and 8.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.evaluation.trajectories.measures import draws_of
from assay.evaluation.trajectories.trajectory import Skill
from assay.statistics import Interval

MIN_POINTS = 4
"""Probes after the untrained one that a law of three parameters is fitted to, at least."""
_NUM_FITS = 100
"""Bootstrap draws of the ceiling's interval."""
_SHARPNESS = (0.25, 8.0)


@dataclass(frozen=True)
class Law:
    """A fitted law."""

    start: float
    """R_0, as measured."""
    ceiling: float
    """A, in [0, 1]."""
    midpoint: float
    """C_mid, in the unit of the axis."""
    sharpness: float
    """B."""

    def at(self, compute: np.ndarray) -> np.ndarray:
        """[N] solved shares at [N] compute above 0."""
        return self.start + (self.ceiling - self.start) / (1 + (self.midpoint / compute) ** self.sharpness)

    def to_dict(self) -> dict[str, float]:
        return dict(vars(self))


@dataclass(frozen=True)
class Judged:
    """A law of a whole trajectory, and one of its first half held against the second."""

    law: Law
    ceiling: Interval
    """A of the whole, with a percentile interval over tasks."""
    first_half: Law | None
    """The law of the first half; None where that has fewer than `MIN_POINTS` probes, or the second has fewer than
    two."""
    error: float | None = None
    """Root mean square error of what the first half foretells of the second."""
    error_of_no_change: float | None = None
    """The same of foretelling the last solved share of the first half."""
    error_of_measuring: float | None = None
    """Root mean square standard error of the second half's probes, over tasks: no law can be held to less."""

    @property
    def verdict(self) -> str:
        """What the second half says of the law, in a sentence."""
        if self.error is None or self.error_of_no_change is None or self.error_of_measuring is None:
            return "too few probes to judge the law: it is a description, and foretells nothing"
        if self.error_of_no_change <= self.error_of_measuring:
            return "the second half stayed where the first ended, within the probe's noise: any law would foretell that"
        if self.error < self.error_of_no_change:
            return "the first half foretold the second better than no change would have"
        return "the first half did not foretell the second: no change would have been the better guess"

    def to_dict(self) -> dict[str, Any]:
        return {
            **vars(self),
            "law": self.law.to_dict(),
            "ceiling": self.ceiling.to_dict(),
            "first_half": None if self.first_half is None else self.first_half.to_dict(),
            "verdict": self.verdict,
        }


def fit_law(compute_T: Sequence[float], shares_T: Sequence[float], near: Law | None = None) -> Law:
    """The law of a curve by least squares.

    Args:
        compute_T: [T] ascending from 0, the untrained model.
        shares_T: [T] solved shares; the first is R_0.
        near: a law to begin from; without one, several starts are tried, and the best fit is it.

    Raises:
        ValueError: fewer than `MIN_POINTS` probes after the first, or a first that is not the only one at 0.

    Example:
        >>> law = Law(0.1, 0.8, 50.0, 1.5)
        >>> compute = [0.0, 10.0, 25.0, 50.0, 100.0, 200.0, 400.0]
        >>> found = fit_law(compute, [0.1, *law.at(np.array(compute[1:]))])
        >>> round(found.ceiling, 3), round(found.midpoint), round(found.sharpness, 2)
        (0.8, 50, 1.5)
    """
    from scipy.optimize import least_squares

    compute, shares = np.asarray(compute_T, dtype=np.float64), np.asarray(shares_T, dtype=np.float64)
    if len(compute) < MIN_POINTS + 1 or compute[0] != 0.0 or not compute[1] > 0.0:
        raise ValueError(
            f"a law needs the untrained model at 0 and {MIN_POINTS} probes later, got {len(compute)}: {compute[:2]} ..."
        )
    of_untrained, later, measured = float(shares[0]), compute[1:], shares[1:]
    bounds = ([0.0, math.log(later[0]) - 3, _SHARPNESS[0]], [1.0, math.log(later[-1]) + 3, _SHARPNESS[1]])

    def residuals(parameters: np.ndarray) -> np.ndarray:
        law = Law(of_untrained, parameters[0], math.exp(parameters[1]), parameters[2])
        return law.at(later) - measured

    starts = [
        (ceiling, math.log(middle), 1.0)
        for ceiling in sorted({float(measured.max()), float(measured[-1])})
        for middle in np.quantile(later, [0.1, 0.5, 0.9])
    ]
    if near is not None:
        starts = [(near.ceiling, math.log(near.midpoint), near.sharpness)]
    fits = [least_squares(residuals, np.clip(start, *bounds), bounds=bounds, max_nfev=60) for start in starts]
    best = min(fits, key=lambda fit: fit.cost).x
    return Law(of_untrained, float(best[0]), math.exp(float(best[1])), float(best[2]))


def judge_law(skill: Skill, axis_T: np.ndarray) -> Judged | None:
    """The law of a skill's curve along an axis, judged by extrapolation from the first half of the axis to the second.

    Returns:
        None where there are too few probes for any law, or one where nothing was measured.
    """
    shares_T = np.array([math.nan if point is None else point.value for point in skill.curve()])
    if len(axis_T) < MIN_POINTS + 1 or axis_T[0] != 0.0 or not axis_T[1] > 0.0 or np.isnan(shares_T).any():
        return None
    law = fit_law(axis_T.tolist(), shares_T.tolist())
    draws = [drawn for drawn in draws_of(skill, num_draws=_NUM_FITS) if not np.isnan(drawn).any()]
    ceilings = sorted(fit_law(axis_T.tolist(), drawn.tolist(), near=law).ceiling for drawn in draws)
    low, high = np.quantile(ceilings, [0.025, 0.975])
    ceiling = Interval(law.ceiling, min(float(low), law.ceiling), max(float(high), law.ceiling))
    is_first = axis_T <= axis_T[-1] / 2
    if is_first.sum() < MIN_POINTS + 1 or (~is_first).sum() < 2:
        return Judged(law, ceiling, None)
    of_first = fit_law(axis_T[is_first].tolist(), shares_T[is_first].tolist())
    second = shares_T[~is_first]
    num_tasks = len(skill.task_ids)
    return Judged(
        law,
        ceiling,
        of_first,
        _rms(of_first.at(axis_T[~is_first]) - second),
        _rms(shares_T[is_first][-1] - second),
        _rms(np.sqrt(second * (1 - second) / num_tasks)),
    )


def _rms(values: np.ndarray) -> float:
    return math.sqrt(float((values**2).mean()))
