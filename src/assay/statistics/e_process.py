"""Alarms that may be looked at after every value: evidence, in the sense of e-values, that a rate has risen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

_BETS = (0.05, 0.15, 0.3, 0.5, 0.7, 0.9)
"""Shares of the capital that the worst outcome costs, of one bettor each."""


class EvidenceAbove:
    """Evidence that values in [0, 1] are, from some moment on, above a mean that is allowed.

    A bettor who begins at moment s has, at moment t, the product over i = s..t of 1 + b (x_i - m) / m: m the allowed
    mean, b the share that is bet. While the expectation of each value, whatever came before, is at most m, no such
    bettor is expected to gain. A capital of 1 is shared out among bettors of six shares b and of all beginnings s, of
    which beginning s has 1 / (s (s + 1)), so that a change is found whenever it comes. By Ville's inequality the
    capital of all together ever reaches 1 / false_alarm with a chance of at most `false_alarm`, however often and for
    however long one looks. Sources: Ramdas, Gruenwald, Vovk and Shafer 2023, "Game-theoretic statistics and safe
    anytime-valid inference", Statistical Science 38, https://arxiv.org/abs/2210.01948; for beginnings that are not
    known Shin, Ramdas and Rinaldo 2023, "E-detectors", https://arxiv.org/abs/2203.03532.

    Args:
        allowed: in (0, 1).
        false_alarm: chance that the alarm is ever raised while the expectations stay at or below `allowed`.

    Raises:
        ValueError: a number that is not in (0, 1).

    Example:
        >>> evidence = EvidenceAbove(0.1, false_alarm=0.05)
        >>> [evidence.add(value) for value in [0, 1, 1, 1, 1]]
        [False, False, False, True, True]
    """

    def __init__(self, allowed: float, *, false_alarm: float) -> None:
        for name, value in (("allowed", allowed), ("false_alarm", false_alarm)):
            if not 0.0 < value < 1.0:
                raise ValueError(f"{name} is {value}: it must be above 0 and below 1")
        self.allowed = allowed
        self.false_alarm = false_alarm
        self.is_raised = False
        self.num_values = 0
        self._capital = [0.0] * len(_BETS)

    def add(self, value: float) -> bool:
        """Take the next value; return whether the alarm is raised, now or before.

        Raises:
            ValueError: the value is outside [0, 1].
        """
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{value} is outside [0, 1]")
        if self.is_raised:
            return True
        self.num_values += 1
        begins = 1.0 / (self.num_values * (self.num_values + 1))
        gain = (value - self.allowed) / self.allowed
        self._capital = [(own + begins) * (1.0 + bet * gain) for own, bet in zip(self._capital, _BETS, strict=True)]
        self.is_raised = self.evidence >= 1.0 / self.false_alarm
        return self.is_raised

    @property
    def evidence(self) -> float:
        """The capital of all bettors together, of those that have not begun included: an e-value at every moment."""
        return math.fsum(self._capital) / len(_BETS) + 1.0 / (self.num_values + 1)

    def state(self) -> dict[str, Any]:
        """Return everything that `restored` needs, as JSON."""
        return {
            "allowed": self.allowed,
            "false_alarm": self.false_alarm,
            "is_raised": self.is_raised,
            "num_values": self.num_values,
            "capital": self._capital,
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> EvidenceAbove:
        """The same evidence again, from its `state`."""
        evidence = cls(state["allowed"], false_alarm=state["false_alarm"])
        evidence.is_raised, evidence.num_values = state["is_raised"], state["num_values"]
        evidence._capital = list(state["capital"])
        return evidence


def upper_bound(values: Sequence[float], miss: float) -> float:
    """Return a bound that the mean expectation of values in [0, 1] is above with a chance of at most `miss`.

    The largest u with n KL(mean, u) <= log(1 / miss), KL of two Bernoulli distributions: Chernoff's bound, in
    Hoeffding's form for bounded values (1963), which holds for values that depend on those before them too.

    Raises:
        ValueError: there are no values.

    Example:
        >>> round(upper_bound([0.0] * 50, 0.05), 3)
        0.058
    """
    if not values:
        raise ValueError("no values to bound the mean of")
    mean, most = math.fsum(values) / len(values), math.log(1.0 / miss) / len(values)
    low, high = mean, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _divergence(mean, middle) <= most else (low, middle)
    return high


def _divergence(p: float, q: float) -> float:
    """KL divergence of two Bernoulli distributions in nats."""
    parts = ((p, q), (1.0 - p, 1.0 - q))
    return sum(a * math.log(a / b) if b > 0 else math.inf for a, b in parts if a > 0)
