"""Time limits that can be paused: training blocks the event loop, and that time is not the rollouts' fault."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Timeouts:
    """Limits the time of many operations, counted only while not paused."""

    def __init__(self) -> None:
        self._remaining_seconds: dict[asyncio.Timeout, float] = {}
        """Seconds that remained to each operation under way when it began or was last paused."""
        self._paused = False
        self._paused_at = 0.0
        self._paused_seconds = 0.0

    def now(self) -> float:
        """Seconds on the clock of the running event loop, pauses left out."""
        now = self._paused_at if self._paused else asyncio.get_running_loop().time()
        return now - self._paused_seconds

    @asynccontextmanager
    async def limit(self, seconds: float | None) -> AsyncIterator[None]:
        """Cancels what runs inside when its time is up.

        Args:
            seconds: None for no limit.

        Raises:
            TimeoutError: the time was up.
        """
        if seconds is None:
            yield
            return
        async with asyncio.timeout(None if self._paused else seconds) as timeout:
            self._remaining_seconds[timeout] = seconds
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
        if not self._paused:
            self._paused_at = now
        self._paused = True

    def resume(self) -> None:
        """Lets the clocks run on."""
        now = asyncio.get_running_loop().time()
        for timeout, seconds in self._remaining_seconds.items():
            if timeout.when() is None:
                timeout.reschedule(now + seconds)
        if self._paused:
            self._paused_seconds += now - self._paused_at
        self._paused = False
