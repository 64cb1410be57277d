"""Worker processes that can be killed: a function is called with a hard limit on the wall clock.

A library that works out what a model wrote can hang where no signal reaches it (9 ** 9 ** 9 is one call into C), so it
runs in a process of its own. A worker that passes the limit is killed and replaced; the others go on. The call is tried
once more, on a fresh worker that has just said that it is ready: then the cause was the input, not the machine. Time
that a worker waits for a processor does not count.

    parent                           worker (python -m assay.verifiers.worker MODULE:FUNCTION)
    {"text": ...}\\n   ------------>   function(**arguments)
    {"result": ...}\\n <------------   or {"error": ...}

Safe to call from any thread and from any event loop.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import queue
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from assay.errors import VerifierError
from assay.sandbox.waiting import MAX_STRETCH, Waiting

START_SECONDS = 60.0
"""A worker that has not said by then that it is ready cannot be used."""
MAX_REPLY_BYTES = 1_000_000
CLOSED = "the pool of verifier workers was closed"


class LimitExceededError(Exception):
    """The call passed its limit, or took its worker down, twice: the second time on a fresh one."""


class WorkerPool:
    """Calls one function in worker processes.

    Args:
        function: "module:name"; takes keyword arguments and returns what JSON can hold. Its module is imported, and its
            `warm_up()`, where it has one, called, before the worker is ready.
        num_workers: processes; None for one a core.
        limit_seconds: of each try.
        environment: variables that the workers have beside those of this process.
    """

    def __init__(
        self,
        function: str,
        *,
        num_workers: int | None = None,
        limit_seconds: float = 1.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if limit_seconds <= 0 or (num_workers is not None and num_workers < 1):
            raise ValueError(f"{limit_seconds=} must be above 0 and {num_workers=} at least 1")
        self.function = function
        self.num_workers = num_workers or len(os.sched_getaffinity(0))
        self.limit_seconds = limit_seconds
        self.environment = dict(environment or {})
        self.num_killed = 0
        """Workers that had to be killed, or died, since the pool was made."""
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(self.num_workers):
            self._idle.put(None)
        self._calls: queue.SimpleQueue[tuple[Future[Any], Mapping[str, Any]] | None] = queue.SimpleQueue()
        self._has_threads = False
        self._lock = threading.Lock()
        self._workers: set[_Worker] = set()
        """All workers that are alive, idle or not."""
        self._closed = False
        atexit.register(self.close)

    def submit(self, arguments: Mapping[str, Any]) -> Future[Any]:
        """A future of the function's result; its exception is that of `call`.

        Raises:
            VerifierError: the pool was closed.
        """
        future: Future[Any] = Future()
        with self._lock:
            if self._closed:
                raise VerifierError(CLOSED)
            self._calls.put((future, arguments))
            if not self._has_threads:
                self._has_threads = True
                for number in range(self.num_workers):
                    # One a worker, whose pipe is all that it waits for. Daemons, since the interpreter waits for other
                    # threads before it closes the pool, and these may wait as long as the limit.
                    threading.Thread(target=self._serve, name=f"verifier-{number}", daemon=True).start()
        return future

    def call(self, arguments: Mapping[str, Any]) -> Any:
        """The function's result; waits for a worker, and for the worker.

        Raises:
            LimitExceededError: the input passed the limit twice.
            VerifierError: the function raised, or no worker could be started.
        """
        return self.submit(arguments).result()

    async def acall(self, arguments: Mapping[str, Any]) -> Any:
        """Call like `call`, without blocking the event loop."""
        return await asyncio.wrap_future(self.submit(arguments))

    def close(self) -> None:
        """Kills every worker; calls under way fail."""
        with self._lock:
            self._closed = True
            workers = list(self._workers)
        for _ in range(self.num_workers):
            self._calls.put(None)
        for worker in workers:
            worker.kill()
        atexit.unregister(self.close)

    def _serve(self) -> None:
        """Takes calls until the pool is closed."""
        while (call := self._calls.get()) is not None:
            future, arguments = call
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(self._call(arguments))
            except BaseException as error:
                future.set_exception(error)

    def _call(self, arguments: Mapping[str, Any]) -> Any:
        worker = self._idle.get()
        try:
            for _ in range(2):
                if worker is None or not worker.is_alive:
                    worker = self._start()
                try:
                    return worker.ask(arguments, self.limit_seconds)
                except VerifierError:
                    # The function's own error: its worker is in order.
                    raise
                except (TimeoutError, EOFError, OSError, ValueError):
                    # Killed, so that the second try is on a fresh one.
                    worker = self._end(worker)
            raise LimitExceededError(f"passed {self.limit_seconds:g} s twice")
        finally:
            self._idle.put(worker)

    def _start(self) -> _Worker:
        if self._closed:
            raise VerifierError(CLOSED)
        worker = _Worker(self.function, self.environment)
        with self._lock:
            self._workers.add(worker)
            closed = self._closed
        if closed:
            self._end(worker)
            raise VerifierError(CLOSED)
        return worker

    def _end(self, worker: _Worker) -> None:
        worker.kill()
        with self._lock:
            self._workers.discard(worker)
            self.num_killed += 1


class _Worker:
    """One process, ready once it is made."""

    def __init__(self, function: str, environment: Mapping[str, str]) -> None:
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "assay.verifiers.worker", function, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env={**os.environ, **environment},
            )
        except OSError as error:
            raise VerifierError(f"a verifier's worker for {function} could not be started: {error}") from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout.fileno()
        try:
            self._read_line(START_SECONDS)
        except (TimeoutError, EOFError, OSError):
            self._process.kill()
            assert self._process.stderr is not None
            said = self._process.stderr.read().decode("utf-8", "replace").strip().splitlines()[-1:]
            self.kill()
            raise VerifierError(f"a verifier's worker for {function} did not start: {' '.join(said)}") from None

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, arguments: Mapping[str, Any], limit_seconds: float) -> Any:
        """Raises TimeoutError past the limit, EOFError or OSError where the process died: then it must be killed."""
        self._to.write(json.dumps(arguments).encode() + b"\n")
        self._to.flush()
        reply = json.loads(self._read_line(limit_seconds))
        if "error" in reply:
            raise VerifierError(reply["error"])
        return reply["result"]

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()

    def _read_line(self, seconds: float) -> bytes:
        waiting, start = Waiting(self._process.pid, is_new=False), time.monotonic()
        deadline, parts = start + seconds, b""
        while not parts.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._from], [], [], left)[0]:
                stretched = min(start + seconds + waiting.look(), start + MAX_STRETCH * seconds)
                if stretched <= time.monotonic():
                    raise TimeoutError
                deadline = stretched
                continue
            part = os.read(self._from, 65536)
            if not part or len(parts) > MAX_REPLY_BYTES:
                raise EOFError
            parts += part
        return parts
