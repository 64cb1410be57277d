"""Intervals of proportions: one sample a task, or several.

All are Wilson's score interval, which stays inside [0, 1] and keeps a width where everything was solved or failed, as
neither a normal, a t nor a bootstrap interval does. Coverage by simulation: docs/concepts/intervals.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from assay.statistics.interval import NORMAL_QUANTILE, Interval, t_quantile

FEW_TASKS = 20
"""Below so many tasks the spread between them is itself known badly, and the interval is widened for that. From here on
it would widen by less than a tenth, and covers without (docs/concepts/intervals.md)."""


def wilson(num_solved: float, num_tasks: int) -> Interval:
    """Wilson's score interval of a proportion: independent tasks, one sample each. The number
    solved may be an expected one.

    The p for which |p_hat - p| = z sqrt(p (1 - p) / n):  (p_hat + z^2/2n +- z sqrt(p_hat(1-p_hat)/n + z^2/4n^2))
    / (1 + z^2/n). Wilson 1927, "Probable inference, the law of succession, and statistical inference", JASA 22.

    Raises:
        ValueError: no tasks, or a count outside [0, num_tasks].

    Example:
        >>> print(wilson(10, 10))
        1 [0.7225, 1]
    """
    if num_tasks < 1:
        raise ValueError(f"a proportion needs at least one task, got {num_tasks}")
    if not 0 <= num_solved <= num_tasks:
        raise ValueError(f"{num_solved} solved of {num_tasks} tasks")
    return _score_interval(num_solved / num_tasks, num_tasks)


def clustered_proportion(task_means_P: Sequence[float], num_samples: int) -> Interval:
    """Interval of the mean over tasks of a per-task proportion: accuracy over several samples a task, or pass@k.

    Samples of one task are alike, so tasks, not samples, are what was drawn. Wilson's interval at the effective number
    of samples, n_eff = m (1 - m) / (s^2 / P), with m the mean and s^2 the variance (over P) of the task means: the
    number of independent samples that would have told as much. n_eff >= P by construction, with equality for one
    binary sample a task, where this is `wilson` itself.

    Below `FEW_TASKS` tasks of several samples each, s^2 is over P - 1, and n_eff is multiplied by
    (t(n - 1) / t(P - 1))^2, the 0.975 quantiles of Student's t for the n samples and the P tasks: Korn and Graubard
    1998, "Confidence intervals for proportions with small expected number of positive counts estimated from survey
    data", Survey Methodology 24. It is held at P or more, since values in [0, 1] vary no more than that. Wilson's at
    n_eff is one of the intervals compared by Franco, Little, Louis and Slud 2019, "Comparative study of confidence
    intervals for proportions in complex sample surveys", Journal of Survey Statistics and Methodology 7.

    Args:
        task_means_P: [P] each in [0, 1], the share solved (or pass@k) of each task. Tasks weigh the same.
        num_samples: all samples of all tasks together: more than that n_eff never is.

    Raises:
        ValueError: no tasks, a value outside [0, 1], or fewer samples than tasks.
    """
    values = np.asarray(task_means_P, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"expected one value a task, got shape {values.shape}")
    if not (np.isfinite(values).all() and (values >= 0).all() and (values <= 1).all()):
        raise ValueError("a task's value is outside [0, 1]")
    num_tasks = len(values)
    if num_samples < num_tasks:
        raise ValueError(f"{num_samples} samples for {num_tasks} tasks")
    # Rounding may leave a mean of ones above 1, and n_eff below P.
    mean = min(float(values.mean()), 1.0)
    spread = mean * (1 - mean)
    if spread == 0:
        return _score_interval(mean, num_tasks)  # all solved or all failed: nothing says that samples of a task differ
    few = 1 < num_tasks < min(FEW_TASKS, num_samples)
    variance = float(values.var(ddof=1 if few else 0))
    effective = min(num_tasks * spread / variance, num_samples) if variance > 0 else num_samples
    if few:
        effective *= (t_quantile(num_samples - 1) / t_quantile(num_tasks - 1)) ** 2
    return _score_interval(mean, min(max(effective, num_tasks), num_samples))


def clustered_mean(task_means_P: Sequence[float], num_samples: int, bounds: tuple[float, float]) -> Interval:
    """Interval of the mean over tasks of a value that lies within bounds: `clustered_proportion` on that range.

    Args:
        task_means_P: [P] mean of each task's samples, such as the rewards of one group. Tasks weigh the same.
        num_samples: all samples of all tasks together.
        bounds: the smallest and the largest value that a sample can have.

    Raises:
        ValueError: no tasks, a value outside the bounds, fewer samples than tasks, or bounds that are no range.

    Example:
        >>> print(clustered_mean([1.0, 1.0, -1.0, 1.0], 4, bounds=(-1.0, 1.0)))
        0.5 [-0.3987, 0.9088]
    """
    low, high = bounds
    if not low < high:
        raise ValueError(f"bounds {low} and {high} are no range")
    shares = [(value - low) / (high - low) for value in task_means_P]
    # Rounding may take a mean of equal values past the bound that they are at.
    shares = [min(max(share, 0.0), 1.0) if -1e-9 < share < 1 + 1e-9 else share for share in shares]
    share = clustered_proportion(shares, num_samples)
    value, lower, upper = (low + (high - low) * end for end in (share.value, share.low, share.high))
    return Interval(value, min(lower, value), max(upper, value))


def _score_interval(share: float, size: float) -> Interval:
    z = NORMAL_QUANTILE
    centre = (share + z * z / (2 * size)) / (1 + z * z / size)
    half = z * math.sqrt(share * (1 - share) / size + z * z / (4 * size * size)) / (1 + z * z / size)
    # At 0 and 1 the ends are exact in the formula and off by a rounding error in floating point.
    low = 0.0 if share == 0 else max(centre - half, 0.0)
    high = 1.0 if share == 1 else min(centre + half, 1.0)
    return Interval(float(share), min(low, share), max(high, share))
