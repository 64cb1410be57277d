"""The frontier: the horizon at which a model succeeds with a given probability, at each complexity.

Shape letters: U cells of the same complexity and length; B slopes of a grid; K values that are tried at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special

from assay.statistics.logistic import fit_logistic
from assay.statistics.profile import Estimate, profile_ends

SHARES = (0.5, 0.8)
"""Probabilities of success whose horizons are told."""
DOUBLINGS = 8.0
"""Doublings beyond the shortest and the longest length within which a horizon is sought."""
# Slopes from none to a step, closer together where they are small.
_SLOPES_B = -64.0 * np.linspace(0.0, 1.0, 193) ** 3
_BISECTIONS = 26
_TINY_RIDGE = 1e-6
"""Keeps the coefficients of separated cells finite."""


@dataclass(frozen=True)
class Frontier:
    """A logistic model of success over log2 length, and what it says of each group."""

    horizons: tuple[Mapping[float, Estimate], ...]
    """Share to length of each group: where the probability of success is that share. A value of None is beyond what
    was tried by more than `DOUBLINGS`, or not told."""
    doubling: Estimate
    """Change of the log odds for a doubling of the length, the same in all groups."""
    complexity: Estimate
    """Change of the log odds for one more of the complexity, were it the same everywhere."""
    surface: tuple[float, float, float] | None
    """(intercept, complexity, doubling) of the model that is linear in complexity; None with one group."""
    linear_p: float | None
    """The p-value of log odds that are linear in complexity, against an intercept for each: likelihood ratio."""
    log_loss: float
    """Mean of -log of the probability given to what happened, in nats."""
    log_loss_constant: float
    """The same of one probability for all."""
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "horizons": [{f"p{100 * q:g}": each.to_dict() for q, each in group.items()} for group in self.horizons],
            "doubling": self.doubling.to_dict(),
            "complexity": self.complexity.to_dict(),
            "surface": None if self.surface is None else list(self.surface),
            "linear_p": self.linear_p,
            "log_loss": self.log_loss,
            "log_loss_constant": self.log_loss_constant,
            "note": self.note,
        }


def fit_frontier(
    lengths_U: Sequence[float],
    num_U: Sequence[int],
    solved_U: Sequence[int],
    group_U: Sequence[int],
    complexities: Sequence[float],
) -> Frontier:
    """log odds of success = intercept of the group + slope log2(length), slope <= 0, one for all groups.

    A horizon is where that reaches a share, 2^((logit share - intercept) / slope). Intervals are those of the profile
    likelihood, so that where all succeeded or all failed an end is open, and no slope is of the ridge's making. One
    outcome a task: tasks are what was drawn. Beside it the model that is linear in complexity too, and a test of that.

    Differs from METR's horizon (`fit_horizons`), which fits each model's rows alone, with a ridge and a bootstrap:
    cells of other complexities say here how fast success falls.

    Args:
        lengths_U: [U] above 0.
        num_U: [U] tasks of each cell.
        solved_U: [U] those that were solved.
        group_U: [U] 0, 1, ...: cells of one complexity.
        complexities: of each group.

    Raises:
        ValueError: no tasks, a length that is not positive, or more solved than there are.
    """
    lengths, num, solved = (np.asarray(each, dtype=np.float64) for each in (lengths_U, num_U, solved_U))
    groups = np.asarray(group_U)
    if not len(lengths) or not (lengths > 0).all() or not np.isfinite(lengths).all():
        raise ValueError(f"lengths must be finite and above 0, got {list(lengths_U)}")
    if not ((solved >= 0) & (solved <= num) & (num > 0)).all():
        raise ValueError(f"solved {list(solved_U)} of {list(num_U)} tasks")
    x = np.log2(lengths)
    parts = [groups == group for group in range(len(complexities))]
    told = np.stack([_free_intercept(x[part], num[part], solved[part])[1] for part in parts])
    total_B = told.sum(0)
    place, most = int(np.argmax(total_B)), float(total_B.max())
    mean = solved.sum() / num.sum()
    constant = float(scipy.special.xlogy(solved, mean).sum() + scipy.special.xlogy(num - solved, 1 - mean).sum())
    is_told = bool(most - total_B.min() > 1e-9)
    if not is_told:
        place = len(_SLOPES_B) - 1  # every group was solved or failed as a whole: any slope explains that
    slope = _refined(total_B, place)
    note = ""
    if len(np.unique(x)) < 2:
        note = "all tasks have one length: there is no horizon to tell"
    elif num.sum() < len(complexities) + 1:
        note = f"{num.sum():g} tasks say nothing of {len(complexities) + 1} coefficients"
    elif place == 0:
        note = "success does not fall with length: there is no horizon"
    horizons = tuple(
        dict.fromkeys(SHARES, Estimate(None, None, None))
        if note or not part.any()
        else _horizons(x, num, solved, part, (slope, most, total_B - told[group]))
        for group, part in enumerate(parts)
    )
    doubling = Estimate(None, None, None)
    if not note and is_told:
        ends = profile_ends(
            lambda values: np.interp(-values, -_SLOPES_B, total_B) - most, slope, (float(_SLOPES_B[-1]), 0.0)
        )
        doubling = Estimate(slope if place < len(_SLOPES_B) - 1 else None, *ends)
    surface, complexity, linear_p = (None, Estimate(None, None, None), None)
    if not note and len(complexities) > 1:
        surface, complexity, linear_p = _surface(x, num, solved, np.asarray(complexities)[groups], most)
    weight = float(num.sum())
    return Frontier(horizons, doubling, complexity, surface, linear_p, -most / weight, -constant / weight, note)


def _log_likelihood(logits: np.ndarray, num: np.ndarray, solved: np.ndarray) -> np.ndarray:
    """Return the log-likelihood of the last axis together."""
    return (solved * logits - num * np.logaddexp(0.0, logits)).sum(-1)


def _free_intercept(
    x: np.ndarray,
    num: np.ndarray,
    solved: np.ndarray,
    offset: np.ndarray | float = 0.0,
    slopes_B: np.ndarray = _SLOPES_B,
) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest intercept at each slope, and its log-likelihood: [B], or [..., B] with an offset of [..., 1, U]."""
    base = slopes_B[:, None] * x[None, :] + offset
    shape = base.shape[:-1]
    if not len(x) or solved.sum() in (0, num.sum()):
        side = math.inf if len(x) and solved.sum() else -math.inf
        return np.full(shape, side), np.zeros(shape)
    low, high = -base.max(-1) - 40.0, -base.min(-1) + 40.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        short = (num * scipy.special.expit(base + middle[..., None])).sum(-1) < solved.sum()
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    found = (low + high) / 2
    return found, _log_likelihood(base + found[..., None], num, solved)


def _refined(total_B: np.ndarray, place: int) -> float:
    """The likeliest slope: between those of the grid, where a parabola through the best three has its top."""
    if not 0 < place < len(_SLOPES_B) - 1:
        return float(_SLOPES_B[place])
    near = _SLOPES_B[place - 1 : place + 2]
    second, first, _ = np.polyfit(near - near[1], total_B[place - 1 : place + 2], 2)
    return float(
        near[1] + np.clip(-first / (2 * second), near[2] - near[1], near[0] - near[1]) if second < 0 else near[1]
    )


def _horizons(
    x: np.ndarray, num: np.ndarray, solved: np.ndarray, part: np.ndarray, fit: tuple[float, float, np.ndarray]
) -> dict[float, Estimate]:
    """Share to horizon of one group.

    Args:
        fit: the likeliest slope, the log-likelihood there, and at each slope that of the other groups.
    """
    slope, most, others_B = fit
    bounds = (float(x.min()) - DOUBLINGS, float(x.max()) + DOUBLINGS)
    own_x, own_num, own_solved = x[part], num[part], solved[part]
    intercept = float(_free_intercept(own_x, own_num, own_solved, slopes_B=np.array([slope]))[0][0])
    found = {}
    for share in SHARES:
        logit = math.log(share / (1 - share))
        # Where all was solved or all failed there is no finite one.
        beyond = bounds[1] if intercept > 0 else bounds[0]
        best = beyond if math.isinf(intercept) else (logit - intercept) / slope

        def below(values: np.ndarray, logit: float = logit) -> np.ndarray:
            logits_KBU = logit + _SLOPES_B[None, :, None] * (own_x[None, None, :] - values[:, None, None])
            return (_log_likelihood(logits_KBU, own_num, own_solved) + others_B[None, :]).max(1) - most

        low, high = profile_ends(below, best, bounds)
        inside = bounds[0] < best < bounds[1]
        found[share] = Estimate(*(None if end is None else 2.0**end for end in (best if inside else None, low, high)))
    return found


def _surface(
    x: np.ndarray, num: np.ndarray, solved: np.ndarray, complexity: np.ndarray, most_apart: float
) -> tuple[tuple[float, float, float], Estimate, float | None]:
    """Coefficients of the model that is linear in complexity, the interval of complexity's, and the p of linearity."""
    design = np.stack([np.ones(len(x)), complexity, x], axis=1)
    ridge = np.array([0.0, _TINY_RIDGE, _TINY_RIDGE])
    fitted = fit_logistic(design, num[None, :], solved[None, :], ridge)[0]
    intercept, per_complexity, doubling = (float(each) for each in fitted)

    def likelihood(values: np.ndarray) -> np.ndarray:
        offsets = values[:, None, None] * complexity
        return _free_intercept(x, num, solved, offsets, _SLOPES_B[::2])[1].max(-1)

    most = max(float(_log_likelihood(design @ fitted, num, solved)), float(likelihood(np.array([per_complexity]))[0]))
    reach = 16.0 / max(float(np.ptp(complexity)), 1e-9)
    best = min(max(per_complexity, -reach), reach)
    low, high = profile_ends(lambda values: likelihood(values) - most, best, (-reach, reach))
    freedom = len(np.unique(complexity)) - 2
    linear_p = float(scipy.special.chdtrc(freedom, max(2 * (most_apart - most), 0.0))) if freedom > 0 else None
    return (intercept, per_complexity, doubling), Estimate(per_complexity, low, high), linear_p
