"""Many comparisons at once: p-values corrected so that one false discovery among all of them is as rare as promised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, in the order they were given.

    The i-th smallest of m is multiplied by m - i + 1, and never less than the one before it. Calling those below 0.05
    significant makes any false one with probability 0.05 at most, however the tests depend on one another. Holm 1979,
    "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6.

    Raises:
        ValueError: a p-value outside [0, 1].

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"a p-value is outside [0, 1]: {list(p_values)}")
    order = np.argsort(values, kind="stable")
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)), 1.0)
    return adjusted.tolist()
