"""Steps of a coroutine that give nobody else a turn, such as a regular expression that goes back over a long response
for hours: no timeout of asyncio ends them, and everything waits."""

from __future__ import annotations

import signal
import threading
import types
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


class StalledError(BaseException):
    """Raised inside a step that took too long. No `Exception`: what stalls may well catch those."""


@types.coroutine
def without_stalls(coroutine: Coroutine[Any, Any, ResultT], seconds: float) -> Generator[Any, Any, ResultT]:
    """Await a coroutine none of whose steps may take longer than so many seconds. By a signal, and so in the main
    thread only; elsewhere it is awaited as it is.

    Raises:
        StalledError: a step took longer.
    """
    sent: Any = None
    thrown: BaseException | None = None
    while True:
        with _alarm(seconds):
            try:
                waits_for = coroutine.send(sent) if thrown is None else coroutine.throw(thrown)
            except StopIteration as done:
                return done.value
        sent = thrown = None
        try:
            sent = yield waits_for
        except BaseException as error:
            thrown = error


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: Any) -> None:
        raise StalledError

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
