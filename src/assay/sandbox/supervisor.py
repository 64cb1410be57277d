"""The use of resources by a tree of processes, summed from /proc: for hosts whose control groups cannot be written.

A look now and then sees less than the kernel's account: what lives only between two looks is not seen, and a tree can
pass its memory for as long as one look takes to come. RLIMIT_AS bounds how far.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Supervisor:
    """Sums the tree below one process.

    Args:
        root: its first process, as this process numbers it.
        shared_bytes: resident memory that each process has from the interpreter it was forked from.
    """

    root: int
    shared_bytes: int = 0
    cpu_seconds: float = 0.0
    """The most seen so far."""
    memory_bytes: int = 0
    """At the last look."""
    peak_memory_bytes: int = 0
    num_processes: int = 0
    """Processes and threads at the last look, without the first process."""
    _cpu: dict[int, tuple[float, float]] = field(default_factory=dict)
    _lost_seconds: float = 0.0

    def look(self) -> None:
        """Sums once more."""
        tree = list(tree_of(self.root))
        memory = tasks = 0
        before, self._cpu = self._cpu, {}
        for number in tree:
            with contextlib.suppress(OSError, ValueError, IndexError):
                own, waited, threads = _times(number)
                self._cpu[number] = own, waited
                if number != self.root:
                    tasks += threads
                    memory += max(0, _private_bytes(number) - self.shared_bytes)
        self.num_processes, self.memory_bytes = tasks, memory
        self.peak_memory_bytes = max(self.peak_memory_bytes, memory)
        # A child that was waited for is in its parent's time; one that vanished otherwise is in nobody's.
        gone = sum(sum(times) for number, times in before.items() if number not in self._cpu)
        grown = sum(waited - before[number][1] for number, (_, waited) in self._cpu.items() if number in before)
        self._lost_seconds += max(0.0, gone - grown)
        self.cpu_seconds = max(self.cpu_seconds, self._lost_seconds + sum(map(sum, self._cpu.values())))


def number_of(pidfd: int) -> int | None:
    """The number of the process that a descriptor stands for; None once it is gone."""
    with contextlib.suppress(OSError), open(f"/proc/self/fdinfo/{pidfd}") as file:
        for line in file:
            if line.startswith("Pid:"):
                number = int(line.split()[1])
                return number if number > 0 else None
    return None


def tree_of(root: int):
    """The process and all below it: in a process namespace of its own an orphan falls to the first process."""
    waiting = [root]
    while waiting:
        number = waiting.pop()
        yield number
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{number}/task"):
                with contextlib.suppress(OSError), open(f"/proc/{number}/task/{thread}/children") as file:
                    waiting += map(int, file.read().split())


def _times(number: int) -> tuple[float, float, int]:
    """CPU seconds of a process, of the children it waited for, and its threads."""
    with open(f"/proc/{number}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    own, waited = sum(map(int, fields[11:13])), sum(map(int, fields[13:15]))
    return own / _TICKS, waited / _TICKS, int(fields[17])


def shared_bytes_of(number: int) -> int:
    """Return the bytes that a process has now, which each that it forks begins with; 0 where it is gone."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return _private_bytes(number)
    return 0


def _private_bytes(number: int) -> int:
    total = 0
    with open(f"/proc/{number}/status") as file:
        for line in file:
            if line.startswith(("RssAnon:", "RssShmem:")):
                total += int(line.split()[1]) * 1024
    return total
