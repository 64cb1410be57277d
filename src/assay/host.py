"""The host: what a run holds open (sandboxes, worker pools, connections), counted, and closed with the run.

Settings are plain data and hold nothing. Whoever needs something that is slow to open asks the host of the run for it:

    pool = current_host().hold(("math workers", 4), lambda: WorkerPool(...), WorkerPool.close)

Equal keys share one. Outside a run, such as in a script that scores one response, there is one host of the whole
process, which is closed when the interpreter ends.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable, Hashable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

HeldT = TypeVar("HeldT")


class Host:
    """Holds what is open, by key, and closes it in reverse order. Used as `async with`, or closed by `close`.

    Inside `async with`, and in every asyncio task that begins there, `current_host()` is this one.
    """

    def __init__(self) -> None:
        self._held: dict[Hashable, tuple[Any, Callable[[Any], Awaitable[None] | None]]] = {}
        self._lock = threading.RLock()
        self._token: contextvars.Token[Host | None] | None = None

    def hold(self, key: Hashable, make: Callable[[], HeldT], close: Callable[[HeldT], Awaitable[None] | None]) -> HeldT:
        """Return what is held under this key; made at the first call, closed with the host.

        Args:
            close: may return an awaitable, which is awaited in the event loop that closes the host.
        """
        with self._lock:
            if key not in self._held:
                self._held[key] = (make(), close)
            return self._held[key][0]

    def held(self, kind: type[HeldT]) -> Iterator[tuple[Hashable, HeldT]]:
        """(key, what is held) of everything of one kind."""
        with self._lock:
            found = [(key, value) for key, (value, _) in self._held.items() if isinstance(value, kind)]
        return iter(found)

    def __len__(self) -> int:
        """Return the number of things that are open."""
        return len(self._held)

    def release(self, key: Hashable) -> Awaitable[None] | None:
        """Closes what is held under this key, where there is something; the next `hold` opens it again."""
        with self._lock:
            value, close = self._held.pop(key, (None, lambda value: None))
        return close(value)

    async def aclose(self) -> None:
        """Closes everything, the last opened first. One that fails to close keeps none of the others open.

        Raises:
            Exception: the first failure, after all have been closed.
        """
        failures: list[BaseException] = []
        while self._held:
            try:
                closing = self.release(next(reversed(self._held)))
                if inspect.isawaitable(closing):
                    await closing
            except Exception as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def close(self) -> None:
        """Close as `aclose` does, where no event loop is running; what must be closed in an event loop gets one of its
        own."""
        if self._held:
            asyncio.run(self.aclose())

    async def __aenter__(self) -> Self:
        self._token = _CURRENT.set(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            with contextlib.suppress(ValueError):  # entered in another asyncio context, which has ended with it
                _CURRENT.reset(self._token)
            self._token = None
        await self.aclose()


_CURRENT: contextvars.ContextVar[Host | None] = contextvars.ContextVar("assay_host", default=None)
_PROCESS = Host()
atexit.register(_PROCESS.close)


def current_host() -> Host:
    """The host of the run that this code is part of; outside a run, the one of the process."""
    host = _CURRENT.get()
    return _PROCESS if host is None else host
