"""What this process is doing while it says nothing: long work is named where it is done, and whoever watches says so.

A console watches while it is open. Where none does, a line goes to the error stream.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SILENT_SECONDS = 8.0
"""Time without a word after which somebody who waits is told what is under way."""
LOOK_SECONDS = 1.0
"""Between two looks at whether it is time for that."""

_under_way: list[tuple[str, float]] = []
_watchers: list[Callable[[], None]] = []


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Name the work of the block, such as "compiling kernels", for those who wait for it. Blocks may be nested: the
    innermost is told."""
    entry = (what, time.monotonic())
    _under_way.append(entry)
    try:
        if len(_under_way) > 1 or _watchers:
            yield
        else:
            with watching(_teller()):
                yield
    finally:
        _under_way.remove(entry)


def under_way() -> str:
    """Return the innermost work that was named; empty where none is under way."""
    innermost = _under_way[-1:]  # one look: another thread may end it at any moment
    return innermost[0][0] if innermost else ""


@contextmanager
def watching(look: Callable[[], None]) -> Iterator[None]:
    """Call a function every second or so, from a thread of its own, until the block ends."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(LOOK_SECONDS):
            look()

    thread = threading.Thread(target=watch, name="activity", daemon=True)
    _watchers.append(look)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        _watchers.remove(look)
        thread.join()


def _teller() -> Callable[[], None]:
    """Return what prints a line after each silence."""
    began = last = time.monotonic()

    def look() -> None:
        nonlocal last
        now, what = time.monotonic(), under_way()
        if what and now - last >= SILENT_SECONDS:
            last = now
            print(f"{what}, for {now - began:.0f}s so far", file=sys.stderr, flush=True)

    return look
