"""A ratio of two means over the same seeds and tasks, such as the efficiency of transfer, with its interval.

Shape letters: S seeds, P tasks, the same for every seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from assay.statistics.interval import t_quantile
from assay.statistics.profile import Estimate

_LARGEST = 1e6
"""Beyond it an end counts as open."""


def ratio_over_seeds(numerator_SP: Sequence[Sequence[float]], denominator_SP: Sequence[Sequence[float]]) -> Estimate:
    """The mean of the numerator over the mean of the denominator, with the interval of Fieller's theorem.

    A ratio r is in the interval where the mean of n - r d does not differ from 0: where

        |mean(n - r d)| <= hypot(t(0.975, P - 1) sd_p / sqrt(P), e)

    with sd_p the standard deviation over tasks of their means over seeds, and e the half-width that seeds add
    (`seeds_excess`). Fieller 1954, "Some problems in interval estimation", Journal of the Royal Statistical Society B
    16; differs in the variance, which has a component of seeds. It takes in that numerator and denominator are of the
    same tasks; a ratio of intervals would not.

    Args:
        numerator_SP: [S, P] such as each task's gain, of each seed.
        denominator_SP: [S, P] the same seeds and tasks.

    Returns:
        Both ends and the value are None where the denominator does not differ from 0 by the same rule: any ratio is
        then possible. One end alone is None where it is beyond a million.

    Raises:
        ValueError: shapes that differ, or fewer than two tasks.

    Example:
        >>> ratio_over_seeds([[1.0, 0.0, 1.0, 0.0]], [[1.0, 1.0, 1.0, 1.0]]).value
        0.5
    """
    numerator, denominator = np.asarray(numerator_SP, dtype=np.float64), np.asarray(denominator_SP, dtype=np.float64)
    if numerator.shape != denominator.shape or numerator.ndim != 2 or numerator.shape[1] < 2:
        raise ValueError(
            f"a ratio needs the same seeds and at least two tasks, got {numerator.shape}, {denominator.shape}"
        )

    parts = _Parts.of(numerator, denominator)
    if not _Parts.of(denominator, np.zeros_like(denominator)).differs(0.0):
        return Estimate(None, None, None)
    value = float(numerator.mean() / denominator.mean())
    low, high = (_end(parts.differs, value, side) for side in (-1.0, 1.0))
    return Estimate(value, low, high)


@dataclass(frozen=True)
class _Parts:
    """The mean of n - r d and its components of variance, each as a polynomial in r: constant, linear, quadratic."""

    mean: np.ndarray
    tasks: np.ndarray
    """Variance over tasks of their means over seeds."""
    seeds: np.ndarray
    """Mean square of seeds less that of what is left, as in `seeds_excess`; 0 of one seed."""
    shape: tuple[int, int]

    @classmethod
    def of(cls, numerator_SP: np.ndarray, denominator_SP: np.ndarray) -> _Parts:
        num_seeds, num_tasks = numerator_SP.shape
        sides = numerator_SP, -denominator_SP
        of_tasks = [side.mean(0, keepdims=True) - side.mean() for side in sides]
        tasks = _square(of_tasks) / (num_tasks - 1)
        seeds = np.zeros(3)
        if num_seeds > 1:
            of_seeds = [side.mean(1, keepdims=True) - side.mean() for side in sides]
            left = [side - side.mean() - p - s for side, p, s in zip(sides, of_tasks, of_seeds, strict=True)]
            between = num_tasks * _square(of_seeds) / (num_seeds - 1)
            seeds = between - _square(left) / ((num_seeds - 1) * (num_tasks - 1))
        mean = np.array([sides[0].mean(), sides[1].mean(), 0.0])
        return cls(mean, tasks, seeds, (num_seeds, num_tasks))

    def differs(self, ratio: float) -> bool:
        """Return whether the mean of n - r d differs from 0."""
        at = np.array([1.0, ratio, ratio * ratio])
        num_seeds, num_tasks = self.shape
        tasks, seeds = max(float(self.tasks @ at), 0.0), max(float(self.seeds @ at), 0.0)
        half_width = math.hypot(
            t_quantile(num_tasks - 1) * math.sqrt(tasks / num_tasks),
            t_quantile(num_seeds - 1) * math.sqrt(seeds / (num_seeds * num_tasks)) if num_seeds > 1 else 0.0,
        )
        return abs(float(self.mean @ at)) > half_width + 1e-12


def _square(sides: Sequence[np.ndarray]) -> np.ndarray:
    """The sum of squares of a + r b, by the powers of r."""
    a, b = sides
    return np.array([(a * a).sum(), 2 * (a * b).sum(), (b * b).sum()])


def _end(differs: Callable[[float], bool], value: float, side: float) -> float | None:
    """The ratio nearest to the value, on one side of it, that is not in the interval."""
    step = 1e-3
    while not differs(value + side * step):
        step *= 2
        if step > _LARGEST:
            return None
    near, far = 0.0 if step == 1e-3 else step / 2, step
    for _ in range(60):
        middle = (near + far) / 2
        near, far = (near, middle) if differs(value + side * middle) else (middle, far)
    return value + side * far
