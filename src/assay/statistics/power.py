"""Power analysis: the difference a comparison could have found. Without it, "no difference" may only say that there
were few repetitions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy

from assay.statistics.interval import t_quantile

POWER = 0.8
"""The probability of finding a true difference of the stated size."""


def detectable_difference(groups: Sequence[Sequence[float]]) -> float | None:
    """Smallest true difference between the means of two groups that a two-sided t test at 5 % finds four times in five.

    The standard deviation is pooled over all groups, s^2 = sum_i (n_i - 1) s_i^2 / f with f = sum_i (n_i - 1) degrees
    of freedom, and the two groups have as many values as the smallest. T is then noncentral t with f degrees of freedom
    and noncentrality d / (s sqrt(2 / n)); Cohen 1988, "Statistical Power Analysis for the Behavioral Sciences",
    chapter 2.

    Args:
        groups: repetitions of each cell, such as its seeds; those with fewer than two values are left out.

    Returns:
        In the unit of the values; None where fewer than two groups have two values.

    Raises:
        ValueError: a value that is not finite.
    """
    arrays = [np.asarray(group, dtype=np.float64) for group in groups if len(group) > 1]
    if len(arrays) < 2:
        return None
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError(f"a value is not finite: {[list(group) for group in groups]}")
    freedom = sum(len(array) - 1 for array in arrays)
    pooled = math.sqrt(sum((len(array) - 1) * float(array.var(ddof=1)) for array in arrays) / freedom)
    critical = t_quantile(freedom)

    def missing_power(noncentrality: float) -> float:
        # The other tail finds the difference with the wrong sign: below 1e-3 from a noncentrality of 1.2 on.
        return float(scipy.stats.nct.sf(critical, freedom, noncentrality)) - POWER

    noncentrality = float(scipy.optimize.brentq(missing_power, 0.0, critical + 10.0))  # pyright: ignore[reportArgumentType]
    return noncentrality * pooled * math.sqrt(2 / min(map(len, arrays)))
