"""Confidence sequences: intervals that hold at every moment at once, so that one may stop when the question is decided.

A 95 % interval that is looked at after every task, until it excludes what was asked, excludes the truth far more often
than 5 times in 100. A confidence sequence has the truth inside at all times in 95 of 100 evaluations.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from assay.statistics.interval import CONFIDENCE, Interval

_NUM_CANDIDATES = 1001
_LARGEST_BET = 0.5
"""The share of the capital that the worst outcome may cost in one bet."""


class ConfidenceSequence:
    """The mean of bounded values that come one by one, with an interval that may be looked at after each.

    For every candidate mean m two bettors play against it, one that the mean is higher and one that it is lower. Were m
    the mean, neither would be expected to win, and the chance that either ever multiplies its capital by 2 / (1 - 0.95)
    is 5 % (Ville's inequality); so an m that lost so much is ruled out for good. Bets are the predictable plug-in ones,

        lambda_t = sqrt( 2 log(2 / alpha) / (s_{t-1}^2 t log(t + 1)) ),  at most c / m, or c / (1 - m),  c = 1/2

    with s_t^2 = (1/4 + sum_{i<=t} (x_i - mean_i)^2) / (t + 1) and mean_t = (1/2 + sum_{i<=t} x_i) / (t + 1):
    Waudby-Smith and Ramdas 2023, "Estimating means of bounded random variables by betting", Journal of the Royal
    Statistical Society B 86, https://arxiv.org/abs/2010.09686, theorem 3 (hedged capital, theta = 1/2). Candidates are
    1001 evenly spaced means; the ends lie one of them further out.

    Values must come in an order that says nothing of them: tasks shuffled, not level by level.

    Args:
        bounds: the smallest and largest value there can be: (0, 1) for shares, (-1, 1) for paired differences.

    Raises:
        ValueError: bounds that are no range.

    Example:
        >>> sequence = ConfidenceSequence()
        >>> print(sequence.extend([1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]))
        0.95 [0.658, 1]
    """

    def __init__(self, bounds: tuple[float, float] = (0.0, 1.0)) -> None:
        if not bounds[0] < bounds[1]:
            raise ValueError(f"bounds {bounds[0]} and {bounds[1]} are no range")
        self._bounds = bounds
        self._candidates = np.linspace(0.0, 1.0, _NUM_CANDIDATES)
        with np.errstate(divide="ignore"):
            self._most = _LARGEST_BET / self._candidates, _LARGEST_BET / (1 - self._candidates)
        self._capital = np.zeros(_NUM_CANDIDATES), np.zeros(_NUM_CANDIDATES)
        """Logarithms of what either bettor has."""
        self._low, self._high = 0.0, 1.0
        self._sum, self._squares = 0.0, 0.0
        self.num_values = 0

    def add(self, value: float) -> Interval:
        """Take the next value, and return the interval from then on.

        Raises:
            ValueError: the value is outside the bounds.
        """
        low, high = self._bounds
        if not low <= value <= high:
            raise ValueError(f"{value} is outside the bounds {low} and {high}")
        x, time = (value - low) / (high - low), self.num_values + 1
        variance = (0.25 + self._squares) / time
        bet = math.sqrt(2 * math.log(2 / (1 - CONFIDENCE)) / (variance * time * math.log(time + 1)))
        for side, sign in ((0, 1.0), (1, -1.0)):
            self._capital[side][:] += np.log1p(sign * np.minimum(bet, self._most[side]) * (x - self._candidates))
        self.num_values, self._sum = time, self._sum + x
        self._squares += (x - (0.5 + self._sum) / (time + 1)) ** 2
        standing = np.flatnonzero(np.maximum(*self._capital) < math.log(2 / (1 - CONFIDENCE)))
        if len(standing):
            step = 1 / (_NUM_CANDIDATES - 1)
            low, high = (float(self._candidates[place]) for place in (standing[0], standing[-1]))
            # What was ruled out once stays out; where nothing is left, the values were not of one kind.
            low, high = max(self._low, low - step), min(self._high, high + step)
            self._low, self._high = (low, high) if low <= high else (self._low, self._high)
        return self.interval

    def extend(self, values: Iterable[float]) -> Interval:
        """Take values in their order, and return the interval after the last."""
        for value in values:
            self.add(value)
        return self.interval

    @property
    def interval(self) -> Interval:
        """The mean so far, held within the interval, and the interval."""
        low, high = self._bounds
        mean = self._sum / self.num_values if self.num_values else 0.5
        ends = (min(max(mean, self._low), self._high), self._low, self._high)
        return Interval(*(low + (high - low) * end for end in ends))
