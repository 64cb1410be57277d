"""Power analysis: what a comparison will need to find a gain, and what one could have found. Without it, "no
difference" may only say that there were few repetitions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy

from assay.statistics.interval import t_quantile

POWER = 0.8
"""The probability of finding a true difference of the stated size."""
MOST_TASKS = 10_000_000
"""Where so many tasks are not enough, none are."""


@dataclass(frozen=True)
class Spread:
    """Variances that a paired gain is made of; values are shares from 0 to 1."""

    before: float
    """Variance of one sample of a task around the task's own mean, before: mean of p (1 - p) over tasks."""
    after: float
    """The same after training."""
    gains: float
    """Variance of the tasks' true gains around their mean."""
    seeds: float = 0.0
    """Variance of the true gain from one training run to another."""

    def __post_init__(self) -> None:
        if not all(math.isfinite(each) and each >= 0 for each in vars(self).values()):
            raise ValueError(f"a variance is negative or not finite: {self}")

    @classmethod
    def of(cls, before_P: Sequence[tuple[int, int]], after_P: Sequence[tuple[int, int]], seeds: float = 0.0) -> Spread:
        """Spread of two measured evaluations of the same tasks, (samples, solved) of each task.

        Within tasks p (1 - p) n / (n - 1), without bias; of the gains what their variance over tasks is above that, 0
        at least. Where a task has one sample, what is within it and what is between gains cannot be told apart: all
        of it is taken to be within, p (1 - p) of the mean, before and after.

        Raises:
            ValueError: other tasks before than after, fewer than two, or a task without sample.
        """
        if len(before_P) != len(after_P) or len(before_P) < 2:
            raise ValueError(
                f"the same two tasks or more are needed, got {len(before_P)} before and {len(after_P)} after"
            )
        sides = [np.asarray(side, dtype=np.float64) for side in (before_P, after_P)]
        if any((side[:, 0] < 1).any() for side in sides):
            raise ValueError("a task has no sample")
        means = [side[:, 1] / side[:, 0] for side in sides]
        gain = means[1] - means[0]
        within = []
        noise = 0.0
        for side, mean in zip(sides, means, strict=True):
            if (side[:, 0] < 2).any():
                within.append(float(mean.mean() * (1 - mean.mean())))
                noise = math.inf
                continue
            of_task = mean * (1 - mean) * side[:, 0] / (side[:, 0] - 1)
            within.append(float(of_task.mean()))
            noise += float((of_task / side[:, 0]).mean())
        return cls(within[0], within[1], max(float(gain.var(ddof=1)) - noise, 0.0), seeds)

    @classmethod
    def assumed(cls, share: float, gain: float, within: float | None = None, seeds: float = 0.0) -> Spread:
        """Spread where only the share solved before is known: a gain at its most uneven.

        A part of the tasks, q = gain / (1 - share), becomes solved whatever the sample, the others stay as they are.
        For a loss, the part that becomes failed. The variance of the gains is then q E[(1 - p)^2] - gain^2, with
        E[p^2] = share - within.

        Args:
            within: mean of p (1 - p) over tasks. Default: share (1 - share), the largest there can be.

        Raises:
            ValueError: a share outside (0, 1), a gain that does not fit, or `within` outside [0, share (1 - share)].
        """
        if gain < 0:
            if -gain > share:
                raise ValueError(f"a share of {share} cannot lose {-gain}: at most {share:.4g}")
            return cls.assumed(1 - share, -gain, within, seeds)
        largest = share * (1 - share)
        within = largest if within is None else within
        if not 0 <= share < 1 or not 0 <= gain <= 1 - share:
            raise ValueError(f"a share of {share} cannot gain {gain}: at most {1 - share:.4g}")
        if not 0 <= within <= largest + 1e-12:
            raise ValueError(f"the variance within tasks, {within}, is not between 0 and {largest:.4g}")
        turned = gain / (1 - share)
        room = 1 - 2 * share + (share - within)
        return cls(within, (1 - turned) * within, max(turned * room - gain**2, 0.0), seeds)


@dataclass(frozen=True)
class Design:
    """What a comparison measures: the same tasks before and after training, and how often it trains."""

    num_tasks: int
    num_samples: int = 1
    """Samples of a task, before and after each."""
    num_seeds: int = 1
    """Training runs; the model before is one for all."""

    def __post_init__(self) -> None:
        if min(self.num_tasks, self.num_samples, self.num_seeds) < 1:
            raise ValueError(f"a design needs a task, a sample and a seed at least: {self}")

    def error(self, spread: Spread) -> tuple[float, float]:
        """Standard error of the mean gain, and its degrees of freedom (Satterthwaite 1946, Biometrics Bulletin 2).

        sqrt( (gains + before / m + after / (m S)) / P + seeds / S )

        P tasks, m samples, S seeds. Paired, so that how hard tasks are is not in it: Miller 2024, "Adding error bars to
        evals", https://arxiv.org/abs/2411.00640.
        """
        samples, seeds = self.num_samples, self.num_seeds
        tasks = (spread.gains + spread.before / samples + spread.after / (samples * seeds)) / self.num_tasks
        runs = spread.seeds / seeds
        total = tasks + runs
        if total == 0 or self.num_tasks < 2 or (runs > 0 and seeds < 2):
            return math.sqrt(total), 0.0
        return math.sqrt(total), total**2 / (tasks**2 / (self.num_tasks - 1) + (runs**2 / (seeds - 1) if runs else 0.0))


def power_of(design: Design, spread: Spread, gain: float) -> float:
    """The probability that a two-sided test at 5 % finds a true gain: noncentral t; 0 where there is nothing to test
    with, such as one task, or one seed where seeds differ."""
    error, freedom = design.error(spread)
    if freedom < 1 or gain == 0:
        return float(error == 0 and gain != 0 and design.num_tasks > 1)
    critical, noncentrality = _critical(freedom), abs(gain) / error
    if noncentrality > 35:
        return 1.0  # scipy's noncentral t gives up there
    return float(scipy.stats.nct.sf(critical, freedom, noncentrality))


def detectable_gain(design: Design, spread: Spread, wanted: float = POWER) -> float | None:
    """The smallest true gain that a design finds with this probability; None where it finds none below 1."""
    return _least(lambda gain: power_of(design, spread, gain), wanted, 1.0)


def tasks_needed(design: Design, spread: Spread, gain: float, wanted: float = POWER) -> int | None:
    """The fewest tasks with which this design, its number of tasks aside, finds a true gain; None where no number does,
    since seeds alone differ by too much.

    Raises:
        ValueError: a gain of 0.
    """
    if gain == 0:
        raise ValueError("a gain of 0 is never found")

    def enough(num_tasks: int) -> bool:
        return power_of(replace(design, num_tasks=num_tasks), spread, gain) >= wanted

    high = 2
    while not enough(high):
        high *= 2
        if high > MOST_TASKS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


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

    def power_at(noncentrality: float) -> float:
        # The other tail finds the difference with the wrong sign: below 1e-3 from a noncentrality of 1.2 on.
        return float(scipy.stats.nct.sf(critical, freedom, noncentrality))

    noncentrality = _least(power_at, POWER, critical + 10.0)
    assert noncentrality is not None
    return noncentrality * pooled * math.sqrt(2 / min(map(len, arrays)))


def _critical(freedom: float) -> float:
    """The 0.975 quantile of Student's t with degrees of freedom that need not be whole."""
    return float(scipy.special.stdtrit(freedom, 0.975))


def _least(rising: Callable[[float], float], wanted: float, most: float) -> float | None:
    """Where a rising function reaches what is wanted, from 0 to `most`; None where it does not."""
    if rising(most) < wanted:
        return None
    return float(scipy.optimize.brentq(lambda x: rising(x) - wanted, 0.0, most))  # pyright: ignore[reportArgumentType]
