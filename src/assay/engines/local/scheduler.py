"""The scheduler: requests wait in order of arrival until a slot of the cache is free."""

from __future__ import annotations

from collections import deque

from assay.engines.local.request import Request


class Scheduler:
    """The requests that wait and those that run. Those that run fill slots 0 .. n-1 without a gap."""

    def __init__(self, num_slots: int) -> None:
        self.num_slots = num_slots
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []
        """running[i] has slot i."""

    @property
    def has_work(self) -> bool:
        return bool(self.waiting or self.running)

    def add(self, request: Request) -> None:
        self.waiting.append(request)

    def find(self, request_id: str) -> Request | None:
        return next((r for r in (*self.running, *self.waiting) if r.request_id == request_id), None)

    def admit(self) -> list[Request]:
        """Gives free slots to those who wait; they run from now on."""
        admitted = []
        while self.waiting and len(self.running) < self.num_slots:
            request = self.waiting.popleft()
            request.slot = len(self.running)
            self.running.append(request)
            admitted.append(request)
        return admitted

    def release(self, request: Request) -> tuple[int, int] | None:
        """Takes a request out. Its slot goes to the last one that runs, so that no gap stays.

        Returns:
            (from, to): which row of the cache has to move; None where none has.
        """
        slot, request.slot = request.slot, None
        if slot is None:
            self.waiting.remove(request)
            return None
        last = self.running.pop()
        if last is request:
            return None
        source, last.slot = last.slot, slot
        self.running[slot] = last
        assert source is not None
        return source, slot

    def clear(self) -> list[Request]:
        """Takes everything out."""
        everything = [*self.running, *self.waiting]
        self.running.clear()
        self.waiting.clear()
        return everything
