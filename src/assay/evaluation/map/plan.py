"""The number of tasks that each cell of a map gets, from a pilot's outcomes and costs.

Shape letters: C cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

NEIGHBOUR_WEIGHT = 0.25
"""Weight of a task of the next cell, one step along either dial, in the guess at a cell's success."""
_PRIOR = 0.5


def uncertainty(solved_C: Sequence[float], num_C: Sequence[float], neighbours: Sequence[Sequence[int]]) -> np.ndarray:
    """[C] the standard deviation of one outcome that a pilot leads to expect.

    The mean of p (1 - p) over Jeffreys' posterior of p, Beta(1/2 + solved, 1/2 + failed), in which the pilot's tasks of
    neighbouring cells count a quarter: with three tasks of its own a cell that solved none may be hopeless or not, and
    those beside it say more.
    """
    solved, num = np.asarray(solved_C, dtype=np.float64), np.asarray(num_C, dtype=np.float64)
    a, b = solved + _PRIOR, num - solved + _PRIOR
    for cell, beside in enumerate(neighbours):
        a[cell] += NEIGHBOUR_WEIGHT * sum(solved[other] for other in beside)
        b[cell] += NEIGHBOUR_WEIGHT * sum(num[other] - solved[other] for other in beside)
    return np.sqrt(a * b / ((a + b) * (a + b + 1)))


def allocate(
    deviation_C: Sequence[float] | np.ndarray,
    cost_C: Sequence[float],
    most_C: Sequence[int],
    *,
    budget: float,
    least: int,
) -> list[int]:
    """Tasks of each cell: n_c proportional to deviation_c / sqrt(cost_c), within bounds, for at most the budget.

    Neyman's allocation with costs: of all that cost as much it has the smallest sum of the cells' variances (Cochran
    1977, "Sampling Techniques", section 5.5).

    Args:
        deviation_C: of one outcome.
        cost_C: expected tokens of one task.
        most_C: tasks that there are.
        budget: tokens.
        least: tasks that a cell has to get to say anything; fewer where there are fewer. A cell for which that is not
            there gets none: the costliest go first.

    Returns:
        Whole numbers.

    Example:
        >>> allocate([0.5, 0.5, 0.25], [10, 40, 10], [100, 100, 100], budget=1200, least=4)
        [35, 17, 17]
    """
    deviation, cost = np.asarray(deviation_C, dtype=np.float64), np.asarray(cost_C, dtype=np.float64)
    most = np.asarray(most_C, dtype=np.float64)
    floor = np.minimum(most, least)
    kept = np.ones(len(cost), dtype=bool)
    for cell in np.argsort(-floor * cost, kind="stable"):
        if (floor * cost)[kept].sum() <= budget:
            break
        kept[cell] = False
    rate = deviation / np.sqrt(np.maximum(cost, 1e-9))

    def counts(scale: float) -> np.ndarray:
        return np.where(kept, np.clip(np.floor(scale * rate + 1e-9), floor, most), 0.0)

    low, high = 0.0, float((most / np.maximum(rate, 1e-12)).max()) + 1.0
    if (counts(high) * cost).sum() <= budget:
        return [int(count) for count in counts(high)]
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if (counts(middle) * cost).sum() <= budget else (low, middle)
    return [int(count) for count in counts(low)]


def worst_half_width(num_tasks: int) -> float:
    """Half the width of the interval where half of so many tasks are solved: the widest there is."""
    z2 = 3.841458820694124
    return math.sqrt(z2 / (4 * (num_tasks + z2)))
