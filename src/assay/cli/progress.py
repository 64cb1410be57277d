"""Progress of long work, as a bar or as lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PLAIN_LINES = 10
"""Lines of progress where there is no terminal."""


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

    def advance() -> None:
        nonlocal done
        done += 1
        if done == total or done * _PLAIN_LINES // total > (done - 1) * _PLAIN_LINES // total:
            print(", ".join(filter(None, (f"{done} of {total} {what}", note()))), file=sys.stderr, flush=True)

    yield advance
