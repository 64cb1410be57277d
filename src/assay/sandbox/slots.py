"""Who may run now: a bounded number of slots, given out in the order in which they were asked for.

Nobody waits in a thread: a session keeps its slot between calls, and threads that waited for slots would leave none for
the calls that free them.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError

from assay.errors import SandboxError
from assay.sandbox.space import Kind, Worker

CLOSED = "the sandbox was closed"
WorkerFactory = Callable[[Kind], Worker]


class Slot:
    """The workers that one run at a time may use: started when first needed, one a kind and part."""

    def __init__(self, make: WorkerFactory) -> None:
        self._make = make
        self._workers: dict[tuple[Kind, int], Worker] = {}
        self._lock = threading.Lock()
        self._closed = False

    def worker(self, kind: Kind, part: int = 0) -> Worker:
        """A usable worker. `part` 1 is the second of two runs that talk to each other."""
        worker = self._workers.get((kind, part))
        if worker is None or not worker.is_usable:
            self.discard(kind, part)
            worker = self._make(kind)
            with self._lock:
                self._workers[kind, part] = worker
                closed = self._closed
            if closed:
                self.discard(kind, part)
                raise OSError("the sandbox was closed")
        return worker

    def discard(self, kind: Kind, part: int = 0) -> None:
        """Ends that worker; the next run gets a fresh one."""
        with self._lock:
            worker = self._workers.pop((kind, part), None)
        if worker is not None:
            worker.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            workers = list(self._workers.values())
            self._workers.clear()
        for worker in workers:
            worker.close()


class Slots:
    """A fixed number of slots.

    Args:
        count: how many.
        make: makes a worker of a kind.
    """

    def __init__(self, count: int, make: WorkerFactory) -> None:
        self._all = [Slot(make) for _ in range(count)]
        self._idle = list(self._all)
        self._waiting: deque[Future[Slot]] = deque()
        self._lock = threading.Lock()
        self._closed = False

    async def acquire(self) -> Slot:
        """The next free slot; from any event loop.

        Raises:
            SandboxError: they were closed, before or meanwhile.
        """
        future: Future[Slot] = Future()
        with self._lock:
            if self._closed:
                raise SandboxError(CLOSED)
            self._waiting.append(future)
        self._give_out()
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            # It may have been given in the same moment.
            if not future.cancel() and not future.cancelled() and future.exception() is None:
                self.release(future.result())
            raise

    def release(self, slot: Slot) -> None:
        """Gives a slot back; from any thread."""
        with self._lock:
            self._idle.append(slot)
        self._give_out()

    def close(self) -> None:
        """Ends the workers, and tells those who wait."""
        with self._lock:
            self._closed = True
            waiting = list(self._waiting)
            self._waiting.clear()
        for future in waiting:
            with contextlib.suppress(InvalidStateError):
                future.set_exception(SandboxError(CLOSED))
        for slot in self._all:
            slot.close()

    def _give_out(self) -> None:
        while True:
            with self._lock:
                if not (self._idle and self._waiting):
                    return
                # The slot used last is the warmest.
                future, slot = self._waiting.popleft(), self._idle.pop()
            with contextlib.suppress(InvalidStateError):
                if future.set_running_or_notify_cancel():
                    future.set_result(slot)
                    continue
            with self._lock:
                self._idle.append(slot)
