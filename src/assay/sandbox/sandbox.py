"""The sandbox: programs nobody trusts, run apart and judged from outside.

Sandbox --slots--> Worker (warm, one run at a time) --start--> Space <--Watch-- thread of the sandbox
"""

from __future__ import annotations

import asyncio
import atexit
import dataclasses
import os
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from assay.errors import SandboxError, SandboxUnavailableError
from assay.sandbox.bubblewrap import BubblewrapBackend
from assay.sandbox.limits import COMPILE_LIMITS, Limits
from assay.sandbox.program import Compiled, Program
from assay.sandbox.run import ProgramRun, RunStatus
from assay.sandbox.session import Session
from assay.sandbox.slots import Slot, Slots
from assay.sandbox.space import Backend, Job, Kind, Space
from assay.sandbox.unsafe import UnsafeBackend
from assay.sandbox.watch import Watch, drive

BackendName = Literal["auto", "bubblewrap", "unsafe"]
BINARY = "main"
COMPILER = ("g++", "-std=c++20", "-O2", "-DONLINE_JUDGE", "-pipe", "-o", BINARY, "main.cpp")
# The executable comes out as output: nothing outside ever opens a file that a program has made.
_COMPILE = ("/bin/sh", "-c", f"{' '.join(COMPILER)} && cat {BINARY}")
NUM_TRIES = 2
NOT_FOUND = 127
"""Exit code of a shell that does not find its command."""


class Sandbox:
    """Runs programs apart from this machine and from each other. Safe from any thread and event loop.

    Use as a context manager, plain or async, or call `close`.

    Args:
        backend: "auto" is bubblewrap, or an error that says what is missing; never less isolation than asked for.
            "unsafe" isolates nothing, and must be asked for by name.
        num_workers: runs at one time; None for one a core.
        interpreter: the Python that programs run on; None for this one without its installed packages. One that is
            named shows its packages.

    Raises:
        SandboxUnavailableError: this host cannot do it; the message says what to do.
    """

    def __init__(
        self, backend: BackendName = "auto", num_workers: int | None = None, interpreter: Path | None = None
    ) -> None:
        if num_workers is not None and num_workers < 1:
            raise ValueError(f"{num_workers=} must be at least 1")
        if interpreter is not None and not os.access(interpreter, os.X_OK):
            raise SandboxUnavailableError(f"the interpreter {interpreter} cannot be executed; name one that can")
        self._backend = _open_backend(backend, interpreter)
        self.num_workers = num_workers or _num_cores()
        self._slots = Slots(self.num_workers, self._backend.worker)
        # A thread is asked for by a run that has its slot already, so that none waits for another.
        self._threads = ThreadPoolExecutor(self.num_workers, thread_name_prefix="sandbox")
        self._closed = False
        atexit.register(self.close)

    @property
    def backend(self) -> str:
        """Return the backend's name: the name that every `ProgramRun` bears."""
        return self._backend.name

    def close(self) -> None:
        """Ends every worker and run. Safe to call again."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self._slots.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._backend.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Sandbox:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    async def run(self, program: Program | Compiled, *, stdin: bytes = b"", limits: Limits | None = None) -> ProgramRun:
        """A whole program, from standard input to standard output.

        C++ that is not compiled yet is compiled first; see `compile` for more runs than one.

        Raises:
            SandboxUnavailableError: there is no compiler, or no isolation.
        """
        if isinstance(program, Program) and program.language == "cpp":
            compiled = await self.compile(program)
            if isinstance(compiled, ProgramRun):
                return compiled
            program = compiled
        return await self._run_job(_run_job(program), stdin, limits or Limits())

    async def compile(self, program: Program, *, limits: Limits | None = None) -> Compiled | ProgramRun:
        """Makes a program ready for many runs; what its language refuses is a ProgramRun with COMPILE_ERROR.

        C++ goes through g++ in a space of its own; Python is read for its syntax in one; a command is left as it is.

        Raises:
            SandboxUnavailableError: g++ is not installed, or no isolation.
        """
        if program.language == "command":
            return Compiled(program, binary=None)
        if program.language == "python":
            run = await self._run_job(Job("check", program.source, {}), b"", limits or Limits())
            return Compiled(program, binary=None) if run.status is RunStatus.FINISHED else run
        _require_compiler(self.backend)
        files = {**program.files, "main.cpp": program.source.encode("utf-8", "surrogatepass")}
        run = await self._run_job(Job("execute", "", files, _COMPILE, "tools"), b"", limits or COMPILE_LIMITS)
        if run.status is RunStatus.FINISHED:
            return Compiled(program, run.stdout)
        if run.exit_code == NOT_FOUND:
            raise SandboxUnavailableError(f"the space has no g++ that runs: {_first_error(run.stderr)}")
        status = RunStatus.COMPILE_ERROR if run.status is RunStatus.RUNTIME_ERROR else run.status
        reason = _first_error(run.stderr) if status is RunStatus.COMPILE_ERROR else run.reason
        return dataclasses.replace(run, status=status, reason=reason, stdout=b"")

    @asynccontextmanager
    async def open(self, program: Program, *, limits: Limits | None = None) -> AsyncIterator[Session]:
        """Loads a Python program so that its functions can be called: `async with sandbox.open(program) as session`.

        Its `__name__` is "program": a block under `if __name__ == "__main__"` does not run. A program that fails to
        load gives a session whose first call is "ended".

        Raises:
            SandboxUnavailableError: no isolation.
            SandboxError: the sandbox failed twice to start it.
            ValueError: the program is not in Python.
        """
        if program.language != "python":
            raise ValueError(f"functions are called in Python programs, not in language={program.language!r}")
        slot = await self._slots.acquire()
        future = self._threads.submit(self._open, slot, Job("serve", program.source, program.files), limits or Limits())
        try:
            session = await asyncio.shield(asyncio.wrap_future(future))
        except asyncio.CancelledError:
            future.add_done_callback(_abandon)
            raise
        try:
            yield session
        finally:
            await session.finish()

    async def connect(
        self,
        program: Program | Compiled,
        interactor: Program | Compiled,
        *,
        stdin: bytes = b"",
        limits: Limits | None = None,
        interactor_limits: Limits | None = None,
    ) -> tuple[ProgramRun, ProgramRun]:
        """Two programs in spaces of their own; each one's standard output is the other's standard input.

        Args:
            stdin: what the interactor reads before the first output of the program. The program never sees it.

        Returns:
            The run of the program and that of the interactor. When either ends, the other reads the end of its input.
        """
        jobs = []
        for one in (program, interactor):
            compiled = await self.compile(one) if isinstance(one, Program) and one.language == "cpp" else one
            if isinstance(compiled, ProgramRun):
                raise ValueError(f"compile the program first: it is refused ({compiled.reason})")
            jobs.append(_run_job(compiled))
        bounds = (limits or Limits(), interactor_limits or limits or Limits())
        return await self._held(self._connect, jobs, bounds, stdin)

    async def _run_job(self, job: Job, stdin: bytes, limits: Limits) -> ProgramRun:
        return await self._held(self._run, job, stdin, limits)

    async def _held(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls the function in a thread with a slot, which is free again when the function is done: not before, even
        if nobody waits for it any more."""
        slot = await self._slots.acquire()
        spaces: list[Space] = []

        def held() -> Any:
            try:
                return function(slot, spaces, *arguments)
            finally:
                self._slots.release(slot)

        try:
            future = self._threads.submit(held)
        except RuntimeError:
            self._slots.release(slot)
            raise
        try:
            return await asyncio.shield(asyncio.wrap_future(future))
        except asyncio.CancelledError:
            for space in list(spaces):
                space.kill()
            raise

    def _run(self, slot: Slot, spaces: list[Space], job: Job, stdin: bytes, limits: Limits) -> ProgramRun:
        def attempt(begun: list[Watch]) -> list[ProgramRun]:
            watch = self._watch(begun, slot, 0, dataclasses.replace(job, stdin=stdin), limits)
            spaces.append(watch.space)
            return [watch.run()]

        return self._tried(slot, [job.kind], attempt)[0]

    def _connect(
        self, slot: Slot, spaces: list[Space], jobs: list[Job], bounds: tuple[Limits, Limits], stdin: bytes
    ) -> tuple[ProgramRun, ProgramRun]:
        def attempt(watches: list[Watch]) -> list[ProgramRun]:
            talks = [dataclasses.replace(job, stdin=None) for job in jobs]
            first = self._watch(
                watches, slot, 0, talks[0], bounds[0], holds_stdin=True, on_output=lambda part: watches[1].feed(part)
            )
            second = self._watch(
                watches, slot, 1, talks[1], bounds[1], stdin=stdin, holds_stdin=True, on_output=first.feed
            )
            spaces.extend(watch.space for watch in watches)
            drive(watches, lambda: first.has_ended or second.has_ended)
            for watch in watches:
                watch.end_input()
            drive(watches, lambda: first.has_ended and second.has_ended)
            return [watch.run() for watch in watches]

        first, second = self._tried(slot, [job.kind for job in jobs], attempt)
        return first, second

    def _open(self, slot: Slot, job: Job, limits: Limits) -> Session:
        sessions: list[Session] = []

        def release(run: ProgramRun) -> None:
            if run.status is RunStatus.SANDBOX_FAILURE:
                slot.discard(job.kind)
            self._slots.release(slot)

        def attempt(begun: list[Watch]) -> list[ProgramRun]:
            watch = self._watch(begun, slot, 0, job, limits)
            drive([watch], lambda: watch.has_reply or watch.has_ended)
            if watch.next_reply() != ("ready",) and not watch.has_ended:
                watch.kill(RunStatus.RUNTIME_ERROR, "wrote on the channel of its replies")
            sessions.append(Session(watch, self._threads, release))
            return [watch.run()] if watch.has_ended else []

        try:
            failed = self._tried(slot, [job.kind], attempt)
            if not sessions:
                raise SandboxError(f"the sandbox could not start the program: {failed[0].reason}")
        except BaseException:
            self._slots.release(slot)
            raise
        return sessions[-1]

    def _watch(self, begun: list[Watch], slot: Slot, part: int, job: Job, limits: Limits, **options: Any) -> Watch:
        """A run, noted among those that were begun."""
        space = slot.worker(job.kind, part).start(job, limits)
        try:
            watch = Watch(space, limits, self.backend, **options)
        except BaseException:
            space.kill()
            space.close()
            raise
        begun.append(watch)
        return watch

    def _tried(
        self, slot: Slot, kinds: list[Kind], attempt: Callable[[list[Watch]], list[ProgramRun]]
    ) -> list[ProgramRun]:
        """Return what the attempt gives; where the sandbox failed, what it gives on fresh workers. Nothing that was
        begun outlives an exception."""
        for try_number in range(NUM_TRIES):
            begun: list[Watch] = []
            try:
                runs = attempt(begun)
            except BaseException as error:
                for watch in begun:
                    watch.abandon()
                if not isinstance(error, OSError):
                    raise
                runs = [_failed(f"{type(error).__name__}: {error}", self.backend) for _ in kinds]
            if all(run.status is not RunStatus.SANDBOX_FAILURE for run in runs):
                break
            for part, kind in enumerate(kinds):
                slot.discard(kind, part)
            if self._closed or try_number == NUM_TRIES - 1:
                break
        return runs


def _open_backend(name: BackendName, interpreter: Path | None) -> Backend:
    if name == "unsafe":
        return UnsafeBackend(interpreter)
    if name in ("auto", "bubblewrap"):
        return BubblewrapBackend(interpreter)
    raise SandboxUnavailableError(f"backend={name!r} is none of auto, bubblewrap, unsafe")


def _run_job(program: Program | Compiled) -> Job:
    binary = program.binary if isinstance(program, Compiled) else None
    source = program.program if isinstance(program, Compiled) else program
    if source.language == "python":
        return Job("run", source.source, source.files)
    if source.language == "command":
        return Job("execute", source.source, source.files, source.command, "tools")
    assert binary is not None
    return Job("execute", "", {**source.files, BINARY: binary}, (f"./{BINARY}",))


def _failed(reason: str, backend: str) -> ProgramRun:
    return ProgramRun(RunStatus.SANDBOX_FAILURE, None, None, b"", b"", 0.0, 0.0, None, reason, backend)


def _require_compiler(backend: str) -> None:
    import shutil

    # A space has the programs of the system alone, whatever else is on the path outside.
    missing = {
        "bubblewrap": lambda: shutil.which("g++", path="/usr/bin:/bin") is None,
        "unsafe": lambda: shutil.which("g++") is None,
    }
    if backend in missing and missing[backend]():
        raise SandboxUnavailableError(
            "C++ programs need g++, which is not installed: apt install g++ (or dnf install gcc-c++)"
        )


def _first_error(stderr: bytes) -> str:
    lines = stderr.decode("utf-8", "replace").splitlines()
    return next((line for line in lines if "error" in line), lines[0] if lines else "the compiler refuses it")[:300]


def _abandon(future: Any) -> None:
    """Ends a session that nobody waited for any more."""
    if not future.cancelled() and future.exception() is None:
        future.result().abandon()


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
