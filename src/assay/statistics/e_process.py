"""Alarms that may be looked at after every value: evidence, in the sense of e-values, that a rate has risen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

_BETS = np.array((0.1, 0.3, 0.6, 0.9))
"""Shares of the capital that the worst outcome costs, of one bettor each."""
_FIRST = np.array((4, 8, 16, 32, 64, 128, 256))
"""Values that are taken as the beginning: by some bettors the first four, by others the first 8, 16 and so on."""
_EVERY = 4
"""Values between the moments at which bettors on a rise begin."""
_MOST = 1e100
"""Capital beyond which nothing is counted: of means that were ruled out long ago it grows for ever."""
_MEANS = np.concatenate([np.arange(0.0, 0.1, 0.01), np.arange(0.1, 0.2, 0.02), np.arange(0.2, 1.001, 0.05)])
"""Means that a run may have at its beginning."""


class Evidence:
    """Base of evidence that may be looked at after every value in [0, 1].

    Args:
        false_alarm: chance that the alarm is ever raised while there is nothing to see, in (0, 1).
    """

    def __init__(self, false_alarm: float) -> None:
        if not 0.0 < false_alarm < 1.0:
            raise ValueError(f"false_alarm is {false_alarm}: it must be above 0 and below 1")
        self.false_alarm = false_alarm
        self.is_raised = False
        self.num_values = 0

    @property
    def evidence(self) -> float:
        """The capital of all bettors together, of those that have not begun included: an e-value at every moment."""
        raise NotImplementedError

    def take(self, value: float) -> None:
        """Settle the bets on the next value."""
        raise NotImplementedError

    def add(self, value: float) -> bool:
        """Take the next value; return whether the alarm is raised, now or before.

        Raises:
            ValueError: the value is outside [0, 1].
        """
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{value} is outside [0, 1]")
        if not self.is_raised:
            self.take(value)
            self.is_raised = self.evidence >= 1.0 / self.false_alarm
        return self.is_raised


class EvidenceOfRise(Evidence):
    """Evidence that values in [0, 1] have, from some moment on, a higher mean than at the beginning.

    Nothing is known of the mean m that they had, and no value is spent on learning it. For each m there are bettors
    who stake on the first s values that they lie below m, and on the later ones that they lie above m + tolerance: at
    moment t such a bettor has the product over i <= s of 1 + a (m - x_i) / (1 - m), times the product over i = r..t of
    1 + b (x_i - q) / q, q = m + tolerance, for shares a and b of the capital and a moment r > s. While every value has
    the expectation m, whatever came before, nobody of them is expected to gain. Each m has a capital of 1, shared out
    among s = 4, 8, 16, ... 256, four shares a, four shares b and every fourth moment r, of which the n-th after s has
    1 / (n (n + 1)). The evidence is the smallest capital of any m; between two values of m it is bounded from below,
    by the first product of the lower and the second of the higher. By Ville's inequality it ever reaches
    1 / false_alarm with a chance of at most `false_alarm` in values whose mean does not change, however often and for
    however long one looks. Sources: Ramdas, Gruenwald, Vovk and Shafer 2023, "Game-theoretic statistics and safe
    anytime-valid inference", Statistical Science 38, https://arxiv.org/abs/2210.01948; for changes at a moment that is
    not known Shin, Ramdas and Rinaldo 2023, "E-detectors", https://arxiv.org/abs/2203.03532.

    Args:
        tolerance: by how much the mean may rise without an alarm, in [0, 1).
        false_alarm: chance that the alarm is ever raised while the mean does not change, in (0, 1).

    Raises:
        ValueError: a number that is outside its range.

    Example:
        >>> evidence = EvidenceOfRise(0.05, false_alarm=0.05)
        >>> [evidence.add(value) for value in [0, 0, 0, 0, 1, 1, 1, 1, 1]]
        [False, False, False, False, False, False, True, True, True]
    """

    def __init__(self, tolerance: float, *, false_alarm: float) -> None:
        if not 0.0 <= tolerance < 1.0:
            raise ValueError(f"tolerance is {tolerance}: it must be at least 0 and below 1")
        super().__init__(false_alarm)
        self.tolerance = tolerance
        # S beginnings, M intervals between two means, B shares.
        self._before_SMB = np.ones((len(_FIRST), len(_MEANS) - 1, len(_BETS)))
        self._after_SMB = np.zeros_like(self._before_SMB)

    def take(self, value: float) -> None:
        """See `Evidence.take`."""
        low_M1, allowed_M1 = _MEANS[:-1, None], _MEANS[1:, None] + self.tolerance
        below_MB = 1.0 + _BETS * (low_M1 - value) / (1.0 - low_M1)
        # Nothing is above 1: of such means no later value can tell.
        above_MB = np.where(allowed_M1 < 1.0, 1.0 + _BETS * (value - allowed_M1) / allowed_M1, 1.0)
        after_S = self.num_values - _FIRST
        begun_S = after_S // _EVERY + 1
        begins_S = np.where((after_S >= 0) & (after_S % _EVERY == 0), 1.0 / np.maximum(begun_S * (begun_S + 1), 1), 0.0)
        self._before_SMB[after_S < 0] *= below_MB
        self._after_SMB = (self._after_SMB + begins_S[:, None, None]) * above_MB
        for capital_SMB in (self._before_SMB, self._after_SMB):
            np.minimum(capital_SMB, _MOST, out=capital_SMB)
        self.num_values += 1

    @property
    def evidence(self) -> float:
        """The smallest capital of any mean, of bettors that have not begun included: an e-value at every moment."""
        num_begun_S1 = np.ceil(np.maximum(self.num_values - _FIRST[:, None], 0) / _EVERY)
        waiting_S1 = 1.0 / (num_begun_S1 + 1.0)
        capital_SM = self._before_SMB.mean(axis=2) * (self._after_SMB.mean(axis=2) + waiting_S1)
        return float(capital_SM.mean(axis=0).min())

    def state(self) -> dict[str, Any]:
        """Return everything that `restored` needs, as JSON."""
        return {
            "tolerance": self.tolerance,
            "false_alarm": self.false_alarm,
            "is_raised": self.is_raised,
            "num_values": self.num_values,
            "before": self._before_SMB.tolist(),
            "after": self._after_SMB.tolist(),
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> EvidenceOfRise:
        """The same evidence again, from its `state`."""
        evidence = cls(state["tolerance"], false_alarm=state["false_alarm"])
        evidence.is_raised, evidence.num_values = state["is_raised"], state["num_values"]
        evidence._before_SMB, evidence._after_SMB = np.array(state["before"]), np.array(state["after"])
        return evidence


_SHARES = (0.05, 0.15, 0.3, 0.5, 0.7, 0.9)
"""Shares of the capital that the worst outcome costs, of one bettor of `EvidenceAbove` each."""


class EvidenceAbove(Evidence):
    """Evidence that values in [0, 1] are, from some moment on, above a mean that is allowed, whatever they were before.

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
        if not 0.0 < allowed < 1.0:
            raise ValueError(f"allowed is {allowed}: it must be above 0 and below 1")
        super().__init__(false_alarm)
        self.allowed = allowed
        self._capital = [0.0] * len(_SHARES)

    def take(self, value: float) -> None:
        """See `Evidence.take`."""
        self.num_values += 1
        begins = 1.0 / (self.num_values * (self.num_values + 1))
        gain = (value - self.allowed) / self.allowed
        self._capital = [(own + begins) * (1.0 + bet * gain) for own, bet in zip(self._capital, _SHARES, strict=True)]

    @property
    def evidence(self) -> float:
        """See `Evidence.evidence`."""
        return math.fsum(self._capital) / len(_SHARES) + 1.0 / (self.num_values + 1)

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
