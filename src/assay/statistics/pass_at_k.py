"""pass@k and pass^k: solved by any, or by all, of k samples. Unbiased from n >= k samples a task.

The shortcut 1 - (1 - c/n)^k is biased low; with n = k the variance is largest, so take n of at least 2k.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from assay.statistics.interval import Interval
from assay.statistics.paired import PairedDifference, paired_difference
from assay.statistics.proportion import clustered_proportion

Measure = Callable[[int, int, int], float]
"""A function of num_samples, num_correct and k."""


def pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """Probability that at least one of k samples, drawn without replacement from n with c correct, is correct.

    1 - C(n-c, k) / C(n, k), computed as 1 - prod_{i=n-c+1..n} (1 - k/i); 1 where n - c < k.
    Chen et al. 2021, "Evaluating large language models trained on code", https://arxiv.org/abs/2107.03374.

    Raises:
        ValueError: k outside [1, num_samples], or num_correct outside [0, num_samples].

    Example:
        >>> pass_at_k(4, 1, 2)
        0.5
    """
    _check(num_samples, num_correct, k)
    if num_samples - num_correct < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(num_samples - num_correct + 1, num_samples + 1))


def pass_hat_k(num_samples: int, num_correct: int, k: int) -> float:
    """Probability that all of k samples, drawn without replacement from n with c correct, are correct.

    C(c, k) / C(n, k): how reliable, where pass@k says how able.
    Yao et al. 2024, "tau-bench", https://arxiv.org/abs/2406.12045.

    Raises:
        ValueError: as `pass_at_k`.
    """
    _check(num_samples, num_correct, k)
    return math.comb(num_correct, k) / math.comb(num_samples, k)


def pass_at_k_interval(counts_P: Sequence[tuple[int, int]], k: int) -> Interval:
    """Mean of pass@k over tasks, with an interval over tasks (the clusters; samples are never resampled).

    Args:
        counts_P: [P] (num_samples, num_correct) of each task.
        k: at most the fewest samples of any task.

    Raises:
        ValueError: no tasks, or as `pass_at_k`.
    """
    return _over_tasks(pass_at_k, counts_P, k)


def pass_hat_k_interval(counts_P: Sequence[tuple[int, int]], k: int) -> Interval:
    """Mean of pass^k over tasks, with an interval over tasks; as `pass_at_k_interval`."""
    return _over_tasks(pass_hat_k, counts_P, k)


def pass_at_k_difference(
    before_P: Sequence[tuple[int, int]], after_P: Sequence[tuple[int, int]], k: int
) -> PairedDifference:
    """Difference in pass@k of the same tasks in the same order, after - before; as `paired_difference`.

    Args:
        before_P: [P] (num_samples, num_correct) of each task.
        after_P: [P] the same tasks; the number of samples may differ.
        k: at most the fewest samples of any task on either side.

    Raises:
        ValueError: other tasks before than after, no tasks, or as `pass_at_k`.

    Example:
        >>> pass_at_k_difference([(4, 0), (4, 1)], [(4, 0), (4, 4)], 2).value
        0.25
    """
    return _in_pairs(pass_at_k, before_P, after_P, k)


def pass_hat_k_difference(
    before_P: Sequence[tuple[int, int]], after_P: Sequence[tuple[int, int]], k: int
) -> PairedDifference:
    """Difference in pass^k of the same tasks in the same order, after - before; as `pass_at_k_difference`."""
    return _in_pairs(pass_hat_k, before_P, after_P, k)


def _in_pairs(
    measure: Measure, before_P: Sequence[tuple[int, int]], after_P: Sequence[tuple[int, int]], k: int
) -> PairedDifference:
    before, after = ([measure(*counts, k) for counts in side] for side in (before_P, after_P))
    sizes = [num_draws_of([num_samples for num_samples, _ in side], k) for side in (before_P, after_P)]
    return paired_difference(before, after, num_samples=(sizes[0], sizes[1]), are_shares=False)


def _over_tasks(measure: Measure, counts_P: Sequence[tuple[int, int]], k: int) -> Interval:
    values = [measure(num_samples, num_correct, k) for num_samples, num_correct in counts_P]
    return clustered_proportion(values, num_draws_of([num_samples for num_samples, _ in counts_P], k))


def num_draws_of(num_samples_P: Sequence[int], k: int) -> int:
    """The independent draws of k that the samples of all tasks hold: what an effective number of them never exceeds.

    Estimates of pass^k crowd near 0, and of pass@k near 1, where their spread over tasks says that there are more.
    """
    return sum(num_samples // k for num_samples in num_samples_P)


def _check(num_samples: int, num_correct: int, k: int) -> None:
    if not 1 <= k <= num_samples:
        raise ValueError(f"k must be between 1 and the number of samples ({num_samples}), got {k}")
    if not 0 <= num_correct <= num_samples:
        raise ValueError(f"{num_correct} correct of {num_samples} samples")
