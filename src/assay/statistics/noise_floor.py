"""The noise floor: by how much two evaluations of one and the same model differ, on the same tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from assay.statistics.interval import NORMAL_QUANTILE


def noise_floor(counts_P: Sequence[tuple[int, int]], num_samples: tuple[int, int] | None = None) -> float | None:
    """How far apart two evaluations of a model on these tasks are, 95 times in 100, from its samples being others.

        1.96 sqrt( sum_i v_i (1 / m + 1 / m') ) / P,   v_i = (c_i / n_i) (1 - c_i / n_i) n_i / (n_i - 1)

    v_i is the unbiased variance of one sample of task i (Miller 2024, "Adding error bars to evals",
    https://arxiv.org/abs/2411.00640, section 3.1, for the part of the variance that tasks do not explain). A gain below
    it says nothing, however many tasks there are: these same tasks alone would give it. At temperature 0, where every
    sample is the same, the floor is what the engine's rounding leaves; only a second evaluation tells.

    Args:
        counts_P: [P] (measured, solved) samples of each task.
        num_samples: how many samples a task the two evaluations take, m and m'. Default: as many as these have.

    Returns:
        In the unit of the accuracy, from 0 to 1; None where a task has one sample, which says nothing of another.

    Raises:
        ValueError: no tasks, a task without sample, or a count that cannot be.

    Example:
        >>> round(noise_floor([(2, 1)] * 100), 3)  # v = 1/2: 1.96 sqrt(100 * 1/2 * 1) / 100
        0.139
    """
    if not counts_P:
        raise ValueError("a noise floor needs a task")
    total = 0.0
    for measured, solved in counts_P:
        if measured < 1 or not 0 <= solved <= measured:
            raise ValueError(f"{solved} solved of {measured} samples")
        if measured == 1:
            return None
        share = solved / measured
        one, other = num_samples or (measured, measured)
        total += share * (1 - share) * measured / (measured - 1) * (1 / one + 1 / other)
    return NORMAL_QUANTILE * math.sqrt(total) / len(counts_P)
