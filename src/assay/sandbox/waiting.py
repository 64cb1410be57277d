"""Time that processes waited for a processor, as the kernel counts it: what a busy machine adds to the clock."""

from __future__ import annotations

import contextlib
import os

from assay.sandbox.supervisor import tree_of

MAX_STRETCH = 10.0
"""The longest that a limit on the clock is stretched for processors that were busy, as a multiple of it: a program may
give itself the lowest priority, and must not hold its place for ever."""
_NANOSECONDS = 1e9


class Waiting:
    """The seconds that a tree of processes was ready to go on and had no processor, added up look by look.

    A look adds what the thread that waited longest has waited since the look before: never more than has passed since.
    0 where the kernel does not count it.

    Args:
        root: the first process, as this process numbers it.
        is_new: False for one that has waited before it is looked at for the first time.
    """

    def __init__(self, root: int, *, is_new: bool = True) -> None:
        self.seconds = 0.0
        self._root = root
        self._before = {} if is_new else self._waited()

    def look(self) -> float:
        """Add what was waited since the last look, and return the sum."""
        before, self._before = self._before, self._waited()
        grown = [waited - before.get(thread, 0) for thread, waited in self._before.items()]
        self.seconds += max(0, *grown) / _NANOSECONDS if grown else 0.0
        return self.seconds

    def _waited(self) -> dict[str, int]:
        """Thread to the nanoseconds that it has waited since it began."""
        found = {}
        for number in tree_of(self._root):
            with contextlib.suppress(OSError):
                for thread in os.listdir(f"/proc/{number}/task"):
                    # Run, waited, time slices; missing where the kernel was built without.
                    with (
                        contextlib.suppress(OSError, ValueError, IndexError),
                        open(f"/proc/{number}/task/{thread}/schedstat") as file,
                    ):
                        found[thread] = int(file.read().split()[1])
        return found
