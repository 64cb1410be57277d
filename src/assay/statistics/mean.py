"""The interval of a mean over few independent repetitions, such as the seeds of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from assay.statistics.interval import Interval, t_quantile


def t_interval(values: Sequence[float]) -> Interval:
    """Student's interval: mean +- t(0.975, n - 1) s / sqrt(n), s the sample standard deviation (over n - 1).

    Raises:
        ValueError: fewer than two values (one repetition says nothing about spread), or one that is not finite.

    Example:
        >>> print(t_interval([1.0, 2.0, 3.0]))
        2 [-0.4841, 4.484]
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(f"an interval over repetitions needs at least two values, got {list(values)}")
    if not np.isfinite(array).all():
        raise ValueError(f"a value is not finite: {list(values)}")
    mean = float(array.mean())
    half = t_quantile(len(array) - 1) * float(array.std(ddof=1)) / math.sqrt(len(array))
    return Interval(mean, mean - half, mean + half)
