"""Progress of long work, as a bar or as lines."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_PLAIN_LINES = 10
"""Lines of progress where there is no terminal, beside those that are due by time."""
_SECONDS_BETWEEN = 30.0
"""Time after which a plain line is due, however little was done since the last."""


@contextmanager
def progress(
    what: str,
    done: int,
    total: int,
    note: Callable[[], str] = str,
    *,
    share: Callable[[], float | None] = lambda: None,
    seconds_between: float = _SECONDS_BETWEEN,
    num_lines: int = _PLAIN_LINES,
) -> Iterator[Callable[[], None]]:
    """Give the function to call as each item ends: it moves a bar on a terminal, and prints plain lines anywhere else.
    Both go to the error stream. A plain line also comes where nothing has ended for a while.

    Args:
        what: plural, such as "samples".
        done: how many there were before.
        note: what else to say, such as the cost so far.
        share: of the work, what is done of it, where items that are under way count too; None where the items that
            ended tell it best.
        seconds_between: time after which a plain line is due.
        num_lines: plain lines beside those.
    """
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn(what),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(what, completed=done, total=total, note=note())
            yield lambda: bar.update(task, advance=1, note=note())
        return

    lines = _Lines(what, done, total, note, share, seconds_between, num_lines)
    with lines.at_times():
        yield lines.advance


@dataclass
class _Lines:
    """Progress in plain lines: as items end, and from a thread of its own where none does."""

    what: str
    done: int
    total: int
    note: Callable[[], str]
    share: Callable[[], float | None]
    seconds_between: float
    num_lines: int

    def __post_init__(self) -> None:
        self._before, self._began = self.done, time.monotonic()
        self._last = self._began
        self._lock = threading.Lock()

    def advance(self) -> None:
        with self._lock:
            self.done += 1
            by_count = self.done * self.num_lines // self.total > (self.done - 1) * self.num_lines // self.total
            if self.done == self.total or by_count or self._is_late():
                self._print()

    @contextmanager
    def at_times(self) -> Iterator[None]:
        """Print a line where none came for a while."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(self.seconds_between / 4):
                with self._lock:
                    if self._is_late() and self.done < self.total:
                        self._print()

        thread = threading.Thread(target=watch, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _is_late(self) -> bool:
        return time.monotonic() - self._last >= self.seconds_between

    def _print(self) -> None:
        self._last = now = time.monotonic()
        share = self.share()
        if share is not None and 0 < share < 1:
            left = time_left(share, 1 - share, now - self._began)
        else:
            left = time_left(self.done - self._before, self.total - self.done, now - self._began)
        print(
            ", ".join(filter(None, (f"{self.done} of {self.total} {self.what}", left, self.note()))),
            file=sys.stderr,
            flush=True,
        )


def time_left(done: float, left: float, seconds: float) -> str:
    """ "about 3m20s left", at the pace of what was done in these seconds; empty where there is no pace or no end to
    come."""
    from assay.observe.console import duration

    return f"about {duration(seconds / done * left)} left" if done and left else ""


def counted(what: str, seconds: float = 10.0) -> Callable[[], None]:
    """Return the function to call for each item where nobody knows how many there will be: it prints a line with their
    number to the error stream, every so many seconds.

    Args:
        what: plural, such as "rows read".
    """
    done, last = 0, time.monotonic()

    def advance() -> None:
        nonlocal done, last
        done += 1
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            print(f"{done:,} {what}", file=sys.stderr, flush=True)

    return advance
