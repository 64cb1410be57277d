"""Paired comparison of before and after on the same tasks: the difference, its interval and a paired test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.special

from assay.statistics.interval import Interval
from assay.statistics.mean import t_interval
from assay.statistics.permutation import sign_flip_test
from assay.statistics.proportion import clustered_proportion

FEW_TASKS = 20
"""Below so many tasks, of one sample each, the correlation between before and after has Newcombe's continuity
correction: a handful of tasks agrees by chance."""


@dataclass(frozen=True)
class PairedDifference:
    """after - before over the same tasks."""

    value: float
    low: float
    high: float
    """`low` and `high`: the 95 % interval over tasks."""
    p_value: float
    """Two-sided, of the hypothesis that before and after are interchangeable within each task."""
    test: str
    """"mcnemar_exact" or "sign_flip"."""
    num_tasks: int
    num_improved: int
    num_worsened: int
    unit: Literal["share", "reward"] = "share"
    """share: of tasks or samples, shown in points. reward: the unit of a reward that is a number without a verdict."""

    @property
    def interval(self) -> Interval:
        return Interval(self.value, self.low, self.high)

    def as_text(self) -> str:
        """Return the difference with its interval: of shares in points, "+5.0 [+1.0, +9.0]"; of rewards in their own
        unit, "+0.05 [+0.01, +0.09]"."""
        if self.unit == "share":
            return f"{100 * self.value:+.1f} [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"
        return f"{self.value:+.4g} [{self.low:+.4g}, {self.high:+.4g}]"

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))


def paired_difference(
    before_P: Sequence[float],
    after_P: Sequence[float],
    *,
    num_samples: tuple[int, int] | None = None,
    are_shares: bool = True,
) -> PairedDifference:
    """Mean of after - before, values in [0, 1] of the same tasks in the same order.

    The interval combines the two single intervals (`clustered_proportion`) with the correlation r between before and
    after, so it keeps a width where every task changed alike:

        low  = d - sqrt(x^2 - 2 r x y + y^2),  x = after - its low,   y = before's high - before
        high = d + sqrt(x^2 - 2 r x y + y^2),  x = after's high - after,  y = before - its low

    Newcombe 1998, "Improved confidence intervals for the difference between binomial proportions based on paired data",
    Statistics in Medicine 17, method 10, its continuity correction of r only where there are fewer than `FEW_TASKS`
    tasks of one sample each; the general form is Zou and Donner 2008, "Construction of confidence limits about effect
    measures: a general approach", Statistics in Medicine 27.

    The test is exact McNemar where every value is 0 or 1, else the sign-flip test on the differences.

    Args:
        before_P: [P] value of each task before: 0 or 1, or the share of its samples that were solved.
        after_P: [P] the same tasks after.
        num_samples: all samples of all tasks (before, after), as `clustered_proportion`. Default: one a task.
        are_shares: False where values are no shares of samples but estimates such as pass@k, which crowd at one end: of
            few tasks the correlation is then known badly, and each end is the further one of this interval's and of
            Student's over the differences (docs/concepts/intervals.md).

    Raises:
        ValueError: lengths differ, no tasks, or a value outside [0, 1].

    Example:
        >>> difference = paired_difference([0, 0, 0, 1], [1, 1, 0, 1])
        >>> difference.value, difference.p_value
        (0.5, 0.5)
    """
    interval = difference_interval(before_P, after_P, num_samples=num_samples)
    before_values = np.asarray(before_P, dtype=np.float64)
    after_values = np.asarray(after_P, dtype=np.float64)
    differences = after_values - before_values
    if not are_shares and len(differences) > 1:
        other = t_interval(differences.tolist())
        interval = Interval(
            interval.value, max(min(interval.low, other.low), -1.0), min(max(interval.high, other.high), 1.0)
        )
    num_improved, num_worsened = int((differences > 0).sum()), int((differences < 0).sum())
    binary = _is_binary(before_values, after_values)
    p_value = mcnemar_exact(num_improved, num_worsened) if binary else sign_flip_test(differences.tolist())
    return PairedDifference(
        value=interval.value,
        low=interval.low,
        high=interval.high,
        p_value=p_value,
        test="mcnemar_exact" if binary else "sign_flip",
        num_tasks=len(differences),
        num_improved=num_improved,
        num_worsened=num_worsened,
    )


def paired_mean_difference(before_P: Sequence[float], after_P: Sequence[float]) -> PairedDifference:
    """Mean of after - before, any finite values of the same tasks in the same order, such as mean rewards.

    Student's interval over the tasks' differences, and the sign-flip test on them.

    Raises:
        ValueError: lengths differ, fewer than two tasks, or a value that is not finite.

    Example:
        >>> difference = paired_mean_difference([10.0, 20.0, 30.0], [12.0, 24.0, 36.0])
        >>> difference.as_text(), difference.p_value
        ('+4 [-0.9683, +8.968]', 0.25)
    """
    if len(before_P) != len(after_P):
        raise ValueError(f"{len(before_P)} tasks before but {len(after_P)} after; pair the same tasks")
    differences = [after - before for before, after in zip(before_P, after_P, strict=True)]
    interval = t_interval(differences)
    return PairedDifference(
        interval.value,
        interval.low,
        interval.high,
        p_value=sign_flip_test(differences),
        test="sign_flip",
        num_tasks=len(differences),
        num_improved=sum(difference > 0 for difference in differences),
        num_worsened=sum(difference < 0 for difference in differences),
        unit="reward",
    )


def difference_interval(
    before_P: Sequence[float], after_P: Sequence[float], *, num_samples: tuple[int, int] | None = None
) -> Interval:
    """The interval of `paired_difference` alone, without its test.

    Raises:
        ValueError: as `paired_difference`.
    """
    if len(before_P) != len(after_P):
        raise ValueError(f"{len(before_P)} tasks before but {len(after_P)} after; pair the same tasks")
    before_samples, after_samples = num_samples or (len(before_P), len(after_P))
    before = clustered_proportion(before_P, before_samples)
    after = clustered_proportion(after_P, after_samples)
    before_values = np.asarray(before_P, dtype=np.float64)
    after_values = np.asarray(after_P, dtype=np.float64)
    value = float((after_values - before_values).mean())
    r = _correlation(before_values, after_values)
    low = value - _combine(after.value - after.low, before.high - before.value, r)
    high = value + _combine(after.high - after.value, before.value - before.low, r)
    return Interval(value, max(low, -1.0), min(high, 1.0))


def mcnemar_exact(num_improved: int, num_worsened: int) -> float:
    """Two-sided exact p-value that improved and worsened tasks are equally likely; 1 where no task changed.

    The binomial test on the discordant pairs. McNemar 1947, "Note on the sampling error of the difference between
    correlated proportions or percentages", Psychometrika 12.

    Raises:
        ValueError: a negative count.

    Example:
        >>> mcnemar_exact(5, 0)
        0.0625
    """
    if num_improved < 0 or num_worsened < 0:
        raise ValueError(f"counts cannot be negative: {num_improved}, {num_worsened}")
    if num_improved + num_worsened == 0:
        return 1.0
    # Both tails are alike at one half; scipy.stats takes a second to import.
    tail = scipy.special.bdtr(min(num_improved, num_worsened), num_improved + num_worsened, 0.5)
    return min(1.0, 2.0 * float(tail))


def _correlation(before_P: np.ndarray, after_P: np.ndarray) -> float:
    """Pearson's r; 0 where one side has no spread, which widens the interval. Of few tasks that are solved or not, a
    positive one is less by the correction for continuity: ad - bc - n / 2 in place of ad - bc, and 0 at least."""
    spread = float(before_P.std() * after_P.std())
    if spread == 0:
        return 0.0
    covariance = float(((before_P - before_P.mean()) * (after_P - after_P.mean())).mean())
    if covariance > 0 and len(before_P) < FEW_TASKS and _is_binary(before_P, after_P):
        covariance = max(covariance - 0.5 / len(before_P), 0.0)
    return min(max(covariance / spread, -1.0), 1.0)


def _is_binary(*sides: np.ndarray) -> bool:
    return all(bool(np.isin(side, (0.0, 1.0)).all()) for side in sides)


def _combine(x: float, y: float, r: float) -> float:
    return math.sqrt(max(x * x - 2 * r * x * y + y * y, 0.0))
