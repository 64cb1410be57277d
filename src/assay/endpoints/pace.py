"""Rate limits, kept from this side."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """Lets an amount a minute through, evenly: what is taken fills up again at that rate.

    A request may start while nothing is owed, and may take more than there is: the next waits until the debt is paid.
    So amounts need not be known exactly in advance, and none is too large to ever start.

    Args:
        per_minute: the amount; None for no limit.
        clock: seconds, ever increasing.
    """

    def __init__(self, per_minute: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = None if per_minute is None else per_minute / 60
        self._clock = clock
        self._owed = 0.0
        self._at = clock()

    @property
    def wait_seconds(self) -> float:
        """Seconds until something may be taken; 0 for now."""
        if self._per_second is None:
            return 0.0
        return max(0.0, self._settled() / self._per_second)

    def take(self, amount: float) -> None:
        """Takes an amount; a negative one gives back what was taken too much."""
        self._owed, self._at = self._settled() + amount, self._clock()

    def _settled(self) -> float:
        return max(0.0, self._owed - (self._clock() - self._at) * (self._per_second or 0.0))
