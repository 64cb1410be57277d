"""Intervals over seeds and tasks at once: what training again, and other tasks of the same kind, would both change.

Shape letters: S seeds, P tasks, the same for every seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy.special

from assay.statistics.interval import NORMAL_QUANTILE, Interval, t_quantile
from assay.statistics.paired import difference_interval
from assay.statistics.proportion import clustered_proportion

_SMALLEST = 1e-15
"""The smallest p-value that is told apart."""


def proportion_over_seeds(values_SP: Sequence[Sequence[float]], num_samples: int) -> Interval:
    """Mean over seeds and tasks of values in [0, 1], such as the share solved of each task after training.

    The interval over tasks is `clustered_proportion` of each task's mean over seeds; `seeds_excess` is added to it in
    quadrature, on either side.

    Args:
        values_SP: [S, P]
        num_samples: all samples of all tasks and seeds together.

    Raises:
        ValueError: fewer than two seeds or tasks, rows that differ in length, or as `clustered_proportion`.
    """
    values = _shares(values_SP)
    over_tasks = clustered_proportion(values.mean(0).tolist(), num_samples)
    return _with_seeds(over_tasks, seeds_excess(values_SP), bounds=(0.0, 1.0))


def difference_over_seeds(
    before_SP: Sequence[Sequence[float]],
    after_SP: Sequence[Sequence[float]],
    *,
    num_samples: tuple[int, int] | None = None,
) -> Interval:
    """Mean over seeds and tasks of after - before, values in [0, 1] of the same tasks in the same order.

    The interval over tasks is that of `paired_difference`, of each task's means over seeds; `seeds_excess` of the
    differences is added to it in quadrature, on either side: the square root of a sum of squared half-widths recovers
    the variances behind them (Zou and Donner 2008, "Construction of confidence limits about effect measures: a general
    approach", Statistics in Medicine 27), for components of variance as in Burdick and Graybill 1992, "Confidence
    Intervals on Variance Components". Coverage by simulation: docs/concepts/intervals.md.

    An interval over seeds alone (`t_interval`) leaves out that other tasks would give another mean; one over tasks
    alone that another seed would give another model.

    Args:
        before_SP: [S, P] the same model for every seed, or one of its own.
        after_SP: [S, P]
        num_samples: all samples of all tasks and seeds (before, after). Default: one a task and seed.

    Raises:
        ValueError: fewer than two seeds or tasks, shapes that differ, or as `paired_difference`.

    Example:
        >>> before, after = [[0, 0, 1, 0]] * 2, [[1, 0, 1, 1], [1, 1, 1, 0]]
        >>> print(difference_over_seeds(before, after))
        0.5 [0.09382, 0.6864]
    """
    before, after = _shares(before_SP), _shares(after_SP)
    if before.shape != after.shape:
        raise ValueError(f"{before.shape} seeds and tasks before, {after.shape} after")
    over_tasks = difference_interval(
        before.mean(0).tolist(), after.mean(0).tolist(), num_samples=num_samples or (before.size, after.size)
    )
    return _with_seeds(over_tasks, seeds_excess((after - before).tolist()), bounds=(-1.0, 1.0))


def difference_test_over_seeds(
    before_SP: Sequence[Sequence[float]],
    after_SP: Sequence[Sequence[float]],
    *,
    num_samples: tuple[int, int] | None = None,
) -> float:
    """Two-sided p-value that after and before do not differ, over seeds and tasks: the interval of
    `difference_over_seeds` turned into a test.

    It is the level alpha of the interval that just reaches 0:

        |d| = hypot(w z(1 - alpha / 2) / z(0.975), e t(1 - alpha / 2, S - 1) / t(0.975, S - 1))

    w is the half-width over tasks on the side of 0, e what seeds add (`seeds_excess`). So it is below 0.05 exactly
    where the 95 % interval excludes 0, and with few seeds that differ it cannot become small, however many tasks.

    Args:
        before_SP, after_SP, num_samples: as `difference_over_seeds`.

    Raises:
        ValueError: as `difference_over_seeds`.

    Example:
        >>> before, after = [[0, 0, 1, 0]] * 2, [[1, 0, 1, 1], [1, 1, 1, 0]]
        >>> 0.01 < difference_test_over_seeds(before, after) < 0.05
        True
    """
    before, after = _shares(before_SP), _shares(after_SP)
    if before.shape != after.shape:
        raise ValueError(f"{before.shape} seeds and tasks before, {after.shape} after")
    found = difference_interval(
        before.mean(0).tolist(), after.mean(0).tolist(), num_samples=num_samples or (before.size, after.size)
    )
    if found.value == 0:
        return 1.0
    width = found.value - found.low if found.value > 0 else found.high - found.value
    excess, freedom = seeds_excess((after - before).tolist()), len(before) - 1

    def reach(alpha: float) -> float:
        of_tasks = -float(scipy.special.ndtri(alpha / 2)) / NORMAL_QUANTILE
        of_seeds = -float(scipy.special.stdtrit(freedom, alpha / 2)) / t_quantile(freedom)
        return math.hypot(width * of_tasks, excess * of_seeds)

    low, high = _SMALLEST, 1.0
    if reach(low) <= abs(found.value):
        return low
    for _ in range(100):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if reach(middle) > abs(found.value) else (low, middle)
    return high


def seeds_excess(values_SP: Sequence[Sequence[float]]) -> float:
    """Half the width that seeds add to an interval over tasks: 0 where they differ by no more than their tasks explain.

    t(0.975, S - 1) sqrt(max(M_s - M_e, 0) / (S P)), with M_s = P sum_s (mean of seed s - mean)^2 / (S - 1) the mean
    square of seeds and M_e that of what is left when seeds and tasks are taken off (two-way layout, both random).
    (M_s - M_e) / P is an unbiased estimate of the variance between seeds (Henderson's first method).

    Raises:
        ValueError: fewer than two seeds or tasks, or rows that differ in length.

    Example:
        >>> seeds_excess([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
        0.0
        >>> round(seeds_excess([[0.0, 0.0], [1.0, 1.0]]), 4)
        6.3531
    """
    values = _matrix(values_SP)
    num_seeds, num_tasks = values.shape
    of_seeds, of_tasks, mean = values.mean(1, keepdims=True), values.mean(0, keepdims=True), values.mean()
    between = num_tasks * float(((of_seeds - mean) ** 2).sum()) / (num_seeds - 1)
    left = float(((values - of_seeds - of_tasks + mean) ** 2).sum()) / ((num_seeds - 1) * (num_tasks - 1))
    # What rounding leaves of equal seeds is no excess.
    return (
        t_quantile(num_seeds - 1) * math.sqrt(max(between - left, 0.0) / values.size) if between > left + 1e-12 else 0.0
    )


def _matrix(values_SP: Sequence[Sequence[float]]) -> np.ndarray:
    if len({len(row) for row in values_SP}) > 1:
        raise ValueError("every seed needs a value of every task")
    values = np.asarray(values_SP, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 2:
        raise ValueError(f"an interval over seeds and tasks needs two of each at least, got {values.shape}")
    return values


def _shares(values_SP: Sequence[Sequence[float]]) -> np.ndarray:
    values = _matrix(values_SP)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("a task's value is outside [0, 1]")
    return values


def _with_seeds(over_tasks: Interval, excess: float, bounds: tuple[float, float]) -> Interval:
    low = over_tasks.value - math.hypot(over_tasks.value - over_tasks.low, excess)
    high = over_tasks.value + math.hypot(over_tasks.high - over_tasks.value, excess)
    return Interval(over_tasks.value, max(low, bounds[0]), min(high, bounds[1]))
