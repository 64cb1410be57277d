"""Time limits that can be paused: training blocks the event loop, and that time is not the rollouts' fault."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Timeouts:
    """Gives each of many operations the same time, counted only while not paused.

    Args:
        seconds: the limit of each; None for none.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._remaining_seconds: dict[asyncio.Timeout, float] = {}
        """Seconds that remained to each operation under way when it began or was last paused."""
        self._paused = False

    @asynccontextmanager
    async def limit(self) -> AsyncIterator[None]:
        """Cancels what runs inside when its time is up.

        Raises:
            TimeoutError: the time was up.
        """
        if self._seconds is None:
            yield
            return
        async with asyncio.timeout(None if self._paused else self._seconds) as timeout:
            self._remaining_seconds[timeout] = self._seconds
            try:
                yield
            finally:
                del self._remaining_seconds[timeout]

    def pause(self) -> None:
        """Stops the clock of all operations under way, and of those that begin until `resume`."""
        now = asyncio.get_running_loop().time()
        for timeout in self._remaining_seconds:
            deadline = timeout.when()
            if deadline is not None and not timeout.expired():
                self._remaining_seconds[timeout] = max(deadline - now, 0.0)
                timeout.reschedule(None)
        self._paused = True

    def resume(self) -> None:
        """Lets the clocks run on."""
        now = asyncio.get_running_loop().time()
        for timeout, seconds in self._remaining_seconds.items():
            if timeout.when() is None:
                timeout.reschedule(now + seconds)
        self._paused = False
