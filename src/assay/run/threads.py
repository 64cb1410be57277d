"""The number of threads of a run, which follows what the machine has to give, between steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from assay.observe.metrics import metric
from assay.training.contention import Contention

NUM_THREADS = metric("time/num_threads", "CPU threads that the step was computed on.")
WAITING = metric(
    "time/waiting_share",
    "Share of its threads' time, computing or ready to compute, in which they waited for a core that others used.",
)
_LOOK_SECONDS = 0.2
"""Time that the cores are looked at before the first step."""
_FREE = 0.7
"""Idle cores from which on another thread is tried."""


class RunThreads:
    """Threads meet many times a pass, and one that has no core keeps all others waiting: beside one busy process two
    threads on two cores are many times slower than one. So where they had to wait for cores, the next step is computed
    on as many as there were cores for; where cores are idle again, on one more.

    Args:
        most: threads on a machine that nobody else uses.
        follows: False keeps that number, whatever happens: sums of other numbers of threads have other bits.
        idle_cores: how many cores nobody uses, over some seconds of looking.
    """

    def __init__(
        self,
        most: int,
        *,
        follows: bool,
        idle_cores: Callable[[float], float] | None = None,
        contention: Contention | None = None,
    ) -> None:
        self.most = self.now = most
        self._follows = follows and most > 1
        self._idle_cores = idle_cores or IdleCores().look
        self._contention = contention or Contention()

    def begin(self) -> str:
        """Chooses for the first step, while this process computes nothing; says so where it is fewer than all."""
        if not self._follows:
            return ""
        idle = self._idle_cores(_LOOK_SECONDS)
        self._contention.look()
        return self._set(max(1, min(self.most, int(idle + 1 - _FREE))))

    def step_done(self) -> tuple[dict[str, float], str]:
        """Looks at the step that has just ended, and chooses for the next.

        Returns:
            Metrics of the step by name: its threads, and how long they waited, where the system says; and a sentence
            where the number changes from here on.
        """
        shared, number = self._contention.look(), self.now
        metrics = {NUM_THREADS: float(number)}
        if shared.waiting_share is not None:
            metrics[WAITING] = shared.waiting_share
        if not self._follows:
            return metrics, ""
        idle = self._idle_cores(0.0)
        if shared.is_busy and number > 1:
            had = number * (1 - (shared.waiting_share if shared.waiting_share is not None else 1 / number))
            number = max(1, min(number - 1, int(had + 1 - _FREE)))
        elif number < self.most and idle >= _FREE and not shared.is_busy:
            number += 1
        return metrics, self._set(number)

    def _set(self, number: int) -> str:
        if number == self.now:
            return ""
        why = "others use the cores" if number < self.now else "cores are free again"
        self.now = number
        torch.set_num_threads(number)
        return f"{why}: {number} of {self.most} threads from here on (reproducible=true keeps their number)"


class IdleCores:
    """Counts the cores that nobody used, from one look to the next; 0 where the system does not say."""

    def __init__(self, stat: Path = Path("/proc/stat")) -> None:
        self._stat = stat
        self._idle, self._all, self._cores = self._read()

    def look(self, seconds: float) -> float:
        """The cores that were idle since the last look, or over some seconds from now on."""
        if seconds:
            self._idle, self._all, self._cores = self._read()
            time.sleep(seconds)
        idle, ticks, cores = self._read()
        passed, unused = ticks - self._all, idle - self._idle
        self._idle, self._all, self._cores = idle, ticks, cores
        return cores * unused / passed if passed > 0 else 0.0

    def _read(self) -> tuple[int, int, int]:
        try:
            lines = self._stat.read_text().splitlines()
            fields = [int(field) for field in lines[0].split()[1:9]]
            # Idle, and waiting for a disk.
            return fields[3] + fields[4], sum(fields), sum(line[:3] == "cpu" for line in lines) - 1
        except (OSError, ValueError, IndexError):
            return 0, 0, 0
