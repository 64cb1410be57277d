"""Progress of long work, as a bar or as lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PLAIN_LINES = 10
"""Lines of progress where there is no terminal, beside those that are due by time."""
_SECONDS_BETWEEN = 30.0
"""Time after which a plain line is due, however little was done since the last."""


@contextmanager
def progress(what: str, done: int, total: int, note: Callable[[], str] = str) -> Iterator[Callable[[], None]]:
    """Give the function to call as each item ends: it moves a bar on a terminal, and prints plain lines anywhere else.
    Both go to the error stream.

    Args:
        what: plural, such as "samples".
        done: how many there were before.
        note: what else to say, such as the cost so far.
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

    before, began = done, time.monotonic()
    last = began

    def advance() -> None:
        nonlocal done, last
        done += 1
        now = time.monotonic()
        is_due = done == total or done * _PLAIN_LINES // total > (done - 1) * _PLAIN_LINES // total
        if is_due or now - last >= _SECONDS_BETWEEN:
            last = now
            left = time_left(done - before, total - done, now - began)
            print(", ".join(filter(None, (f"{done} of {total} {what}", left, note()))), file=sys.stderr, flush=True)

    yield advance


def time_left(done: int, left: int, seconds: float) -> str:
    """ "about 3m20s left", at the pace of what was done in these seconds; empty where there is no pace or no end to
    come."""
    from assay.observe.console import duration

    return f"about {duration(seconds / done * left)} left" if done and left else ""
