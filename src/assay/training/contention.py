"""Looks at how far others want the cores that this process computes on, as the kernel's scheduler counts it."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from pathlib import Path

BUSY_WAITING_SHARE = 0.15
"""Share of the time in which threads had work and no core, from which on cores are shared. Alone it is about 0.01;
beside one busy process on two cores, each thread waits a quarter of its time or more."""

BUSY_SWITCHES_PER_SECOND = 100.0
"""Involuntary context switches a second that stand for it where the system does not count waiting."""

_TASKS = Path("/proc/self/task")


@dataclass(frozen=True)
class Shared:
    """How much a process had to share its cores over some time."""

    waiting_share: float | None
    """Share of its threads' time, computing or ready to compute, in which they waited for a core; None where the system
    does not say."""
    switches_per_second: float
    """Times a second that a thread was taken off a core while it had work: involuntary context switches."""

    @property
    def is_busy(self) -> bool:
        """True where the cores were shared with others."""
        if self.waiting_share is None:
            return self.switches_per_second > BUSY_SWITCHES_PER_SECOND
        return self.waiting_share > BUSY_WAITING_SHARE


class Contention:
    """Looks at how much this process has to share its cores, from one look to the next.

    Args:
        tasks: folder with a folder for each thread of the process.
    """

    def __init__(self, tasks: Path = _TASKS) -> None:
        self._tasks = tasks
        self._times, self._switches, self._then = self._read(), _switches(), time.monotonic()

    def look(self) -> Shared:
        """What happened since the last look, or since this was made."""
        times, switches, now = self._read(), _switches(), time.monotonic()
        ran = waited = 0
        for thread, (runs, waits) in times.items():
            runs_before, waits_before = self._times.get(thread, (0, 0))
            # A number is used again for a new thread once its own has ended.
            ran += max(0, runs - runs_before)
            waited += max(0, waits - waits_before)
        share = waited / (ran + waited) if ran + waited else None
        found = Shared(share, (switches - self._switches) / max(now - self._then, 1e-9))
        self._times, self._switches, self._then = times, switches, now
        return found

    def _read(self) -> dict[str, tuple[int, int]]:
        """Nanoseconds that each thread has run, and has waited for a core while it was ready to run."""
        times: dict[str, tuple[int, int]] = {}
        try:
            for folder in self._tasks.iterdir():
                runs, waits, *_ = (folder / "schedstat").read_text().split()
                times[folder.name] = int(runs), int(waits)
        except (OSError, ValueError):
            return times  # No such counts, or a thread ended while it was read.
        return times


def _switches() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
