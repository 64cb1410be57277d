"""Profile likelihood: intervals of a fit's numbers that stay honest where the data leave one end open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from assay.statistics.interval import NORMAL_QUANTILE

DROP = NORMAL_QUANTILE**2 / 2
"""The fall of the log-likelihood from its maximum to an end of a 95 % interval: half the 0.95 quantile of chi square
with one degree of freedom."""
_STEPS = 32
_ZOOMS = 4
"""Grids, each within one step of the one before: an end is found to a millionth of the range."""


@dataclass(frozen=True)
class Estimate:
    """An estimate whose interval may be open: an end that the data do not bound is None, and so is a value that they do
    not tell."""

    value: float | None
    low: float | None
    high: float | None

    def to_dict(self) -> dict[str, float | None]:
        return {"value": self.value, "low": self.low, "high": self.high}

    def shown(self, form: str = ".3g") -> str:
        """Return the estimate as text: "3.2 [2.1, open]"."""
        if self.value is None and self.low is None and self.high is None:
            return "unknown"
        value = "unknown" if self.value is None else format(self.value, form)
        low, high = ("open" if end is None else format(end, form) for end in (self.low, self.high))
        return f"{value} [{low}, {high}]"


def profile_ends(
    below: Callable[[np.ndarray], np.ndarray], best: float, bounds: tuple[float, float]
) -> tuple[float | None, float | None]:
    """The ends of the values that a likelihood ratio test at 5 % does not reject; None where there is none within
    bounds.

    The ends are the outermost ones that a grid sees: a likelihood with several peaks gives the interval that holds them
    all. Venzon and Moolgavkar 1988, "A method for computing profile-likelihood-based confidence intervals", Applied
    Statistics 37.

    Args:
        below: of several values, how much less likely each is at best than the estimate: at most 0, in nats.
        best: the estimate; beyond the bounds, the nearer of them.
        bounds: the range that is searched.
    """
    best = min(max(best, bounds[0]), bounds[1])
    ends: list[float | None] = []
    for bound in bounds:
        near, far = best, bound
        for _ in range(_ZOOMS):
            grid = np.linspace(near, far, _STEPS + 1)
            inside = np.flatnonzero(below(grid) >= -DROP)
            # The estimate itself is inside, whatever rounding says.
            last = int(inside[-1]) if len(inside) else 0
            if last == _STEPS:
                break
            near, far = float(grid[last]), float(grid[last + 1])
        else:
            ends.append((near + far) / 2)
            continue
        ends.append(None if far == bound else far)
    return ends[0], ends[1]
