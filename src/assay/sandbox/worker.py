"""The parent's side of a bubblewrap worker: a warm zygote, its control group, and the run it holds."""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from assay.sandbox import zygote
from assay.sandbox.cgroup import Cgroup
from assay.sandbox.input_file import input_file
from assay.sandbox.limits import Limits
from assay.sandbox.shipment import START, job_frame
from assay.sandbox.space import Ended, Job
from assay.sandbox.supervisor import Supervisor, number_of, shared_bytes_of
from assay.sandbox.waiting import Waiting

START_SECONDS = 30.0
ANSWER_SECONDS = 10.0
RUNS_PER_ZYGOTE = (400, 600)
"""After so many runs another zygote takes over, with a hash seed of its own; drawn, so that not all do it at once."""
RUNS_BEFORE_TAKING_OVER = 50
"""The next zygote is started this many runs before it is needed."""
SECONDS_BETWEEN_LOOKS = 0.05
NUM_FILES = 4096
MACHINE_FULL = "the machine or a control group above ran out of memory"
EXTRA_TASKS = 2
"""The processes of a run beside the program's: its holder, and the one that a fork makes before it is refused."""


@dataclass(frozen=True, slots=True)
class ZygotePlan:
    """The plan by which a zygote is started."""

    command: list[str]
    shown: dict[str, str]
    """Token in the command to the path it stands for."""
    stage: str
    user: int | None
    """The user that root becomes; None where this process is not root."""
    text: Callable[[int], bytes]
    """The text that the zygote executes, given the descriptor of its socket."""
    cgroup: Cgroup | None
    bounds_user_tasks: bool
    """True where RLIMIT_NPROC counts this worker's processes alone."""


class StartError(OSError):
    """A zygote that did not start; its message is what bubblewrap or the interpreter said."""


class Zygote:
    """One warm interpreter in its space.

    Raises:
        StartError: it did not become ready.
    """

    def __init__(self, plan: ZygotePlan) -> None:
        self.plan, self.cgroup = plan, plan.cgroup
        self.num_runs = 0
        self.max_runs = random.SystemRandom().randint(*RUNS_PER_ZYGOTE)
        self._memory_limit = self._task_limit = 0
        self._control, theirs = socket.socketpair()
        self._control.settimeout(START_SECONDS)
        start = input_file(START.encode())
        with theirs:
            places = {"{control}": str(theirs.fileno()), "{start}": str(start)}
            entry = {
                "cgroups": self.cgroup.member_files if self.cgroup else [],
                "user": plan.user,
                "stage": plan.stage,
                "shown": plan.shown,
                "command": [places.get(word, word) for word in plan.command],
            }
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", Path(__file__).with_name("enter.py"), json.dumps(entry)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno(), start],
                cwd="/",
                env={},
            )
            os.close(start)
            text = plan.text(theirs.fileno())
        try:
            self._control.sendall(text)
            ready = self._control.recv(len(zygote.READY))
        except OSError as error:
            ready, problem = b"", f" ({error})"
        else:
            problem = ""
        if ready != zygote.READY:
            raise StartError(self._last_words() + problem)
        self._control.settimeout(ANSWER_SECONDS)
        self._base_memory = self.cgroup.memory_bytes() if self.cgroup and self.cgroup.has("memory") else 0
        self._base_tasks = self.cgroup.num_processes() if self.cgroup and self.cgroup.has("pids") else 3

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def start(self, job: Job, limits: Limits) -> BubblewrapSpace:
        """Begins a run. Raises OSError where the zygote is gone or refuses."""
        self.num_runs += 1
        self._bound(limits)
        return BubblewrapSpace(self, job, limits, self._base_tasks)

    def ask(self, num_bytes: int, num_files: int, descriptors: list[int]) -> int:
        """A descriptor of the holder of a new run. Raises OSError where the zygote is gone, refuses, or babbles."""
        if is_ready(self._control.fileno()):
            raise OSError("the worker is gone, or spoke before it was asked")
        # Drawn, not counted: nobody knows it who did not get this request.
        number = secrets.randbits(64)
        socket.send_fds(self._control, [zygote.REQUEST.pack(number, num_bytes, num_files)], descriptors)
        answer, received, _, _ = socket.recv_fds(self._control, 256, 1)
        if answer == zygote.NUMBER.pack(number) + zygote.READY and received:
            return received[0]
        for descriptor in received:
            os.close(descriptor)
        said = answer[zygote.NUMBER.size :].decode("utf-8", "replace")
        raise OSError(f"the worker could not begin a run: {said or 'it is gone'}")

    def answers(self) -> bool:
        """Return True where the zygote serves; asked of itself, since its first process may end a moment later."""
        with contextlib.suppress(OSError):
            if not is_ready(self._control.fileno()):
                number = secrets.randbits(64)
                self._control.sendall(zygote.REQUEST.pack(number, 0, 0))
                return self._control.recv(256) == zygote.NUMBER.pack(number) + zygote.READY
        return False

    def peak_memory_bytes(self) -> int | None:
        """Return the peak memory of the run in bytes, above what the zygote has."""
        peak = self.cgroup.peak_memory_bytes() if self.cgroup and self.cgroup.has("memory") else None
        return None if peak is None else max(0, peak - self._base_memory)

    def close(self) -> None:
        """Ends the zygote and all below it."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        self._control.close()
        if self._process.stderr:
            self._process.stderr.close()
        if self.cgroup:
            self.cgroup.close()
            # The kernel ends the rest of the tree in its own time.
            deadline = time.monotonic() + 2.0
            while not self.cgroup.remove() and time.monotonic() < deadline:
                time.sleep(0.005)

    def _bound(self, limits: Limits) -> None:
        """Sets the bounds of the group where they differ from the last run's."""
        if self.cgroup is None:
            return
        memory, tasks = self._base_memory + limits.memory_bytes, self._base_tasks + limits.processes + EXTRA_TASKS - 1
        if self.cgroup.has("memory"):
            if memory != self._memory_limit:
                self.cgroup.limit_memory(memory)
                self._memory_limit = memory
            self.cgroup.reset_peak()
        if self.cgroup.has("pids") and tasks != self._task_limit:
            self.cgroup.limit_processes(tasks)
            self._task_limit = tasks

    def _last_words(self) -> str:
        assert self._process.stderr is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        self._process.kill()
        said = self._process.stderr.read().decode("utf-8", "replace").strip()
        self.close()
        return said[-500:] or "it ended without a word"


class BubblewrapWorker:
    """Holds one run at a time; keeps a zygote warm, and has the next one ready when its runs are used up.

    Args:
        start: makes a zygote.
        later: does so elsewhere, meanwhile.
    """

    def __init__(self, start: Callable[[], Zygote], later: Callable[[], Future[Zygote]]) -> None:
        self._later = later
        self._zygote = start()
        self._next: Future[Zygote] | None = None
        self._broken = False

    @property
    def is_usable(self) -> bool:
        return not self._broken and self._zygote.is_alive

    def start(self, job: Job, limits: Limits) -> BubblewrapSpace:
        self._take_over()
        try:
            return self._zygote.start(job, limits)
        except OSError:
            self._broken = True
            raise

    def close(self) -> None:
        self._broken = True
        self._zygote.close()
        if self._next is not None:
            self._next.add_done_callback(_close_started)

    def _take_over(self) -> None:
        runs_left = self._zygote.max_runs - self._zygote.num_runs
        if self._next is None and runs_left <= RUNS_BEFORE_TAKING_OVER:
            self._next = self._later()
        if runs_left <= 0 and self._next is not None and self._next.done():
            # One that failed to start is tried again; meanwhile the old one serves.
            with contextlib.suppress(OSError):
                fresh = self._next.result()
                self._zygote.close()
                self._zygote = fresh
            self._next = None


class BubblewrapSpace:
    """One run under way in a zygote's space."""

    opens_on_stdin: bool = False
    tells_beginning: bool = False

    def __init__(self, owner: Zygote, job: Job, limits: Limits, base_tasks: int) -> None:
        self._zygote, self._cgroup, self._limits = owner, owner.cgroup, limits
        self._counts = self._cgroup is not None and self._cgroup.has("cpuacct")
        self._cpu_before = self._cgroup.cpu_seconds() if self._counts and self._cgroup else 0.0
        self._has_memory = self._cgroup is not None and self._cgroup.has("memory")
        self._memory_before = self._memory_events()
        self._lock = threading.Lock()
        self._closed = self._killed = False
        self._supervisor: Supervisor | None = None
        self._waiting: Waiting | None = None
        num_bytes = limits.file_bytes + sum(map(len, job.files.values())) + len(job.source) * 4 + (1 << 16)
        tasks = base_tasks + limits.processes + EXTRA_TASKS if owner.plan.bounds_user_tasks else 0
        # First: what cannot be told begins nothing.
        self.opening = job_frame(job, limits, address_bytes=self._address_bytes(), tasks=tasks)
        ends: list[int] = []
        try:
            if job.stdin is None:
                stdin, self.stdin = ends_of_pipe(ends)
            else:
                stdin, self.stdin = input_file(job.stdin), -1
                ends.append(stdin)
            self.stdout, stdout = ends_of_pipe(ends)
            self.stderr, stderr = ends_of_pipe(ends)
            for descriptor in (stdout, stderr) if job.stdin is not None else (stdin, stdout, stderr):
                # The program may be another user, and opens it anew as /dev/stdout.
                os.fchmod(descriptor, 0o666)
            self._end, end = ends_of_pipe(ends)
            ours, channel = socket.socketpair()
            self.channel = ours.detach()
            ends.append(self.channel)
            with channel:
                theirs = [stdin, stdout, stderr, channel.fileno(), end]
                self.ended = owner.ask(num_bytes, NUM_FILES, theirs)
        except OSError:
            for descriptor in ends:
                os.close(descriptor)
            raise
        for descriptor in (stdin, stdout, stderr, end):
            os.close(descriptor)
        # Whoever holds the other end: `finish` never waits for it.
        os.set_blocking(self._end, False)
        self._has_pids = self._cgroup is not None and self._cgroup.has("pids")
        if not (self._counts and self._has_memory and self._has_pids):
            number = number_of(self.ended)
            # A command replaces the interpreter, and has nothing of it.
            shared = shared_bytes_of(number) if number and job.mode != "execute" else 0
            self._supervisor = Supervisor(number, shared) if number else None
        self.check_seconds: float | None = SECONDS_BETWEEN_LOOKS if self._supervisor else None

    def cpu_seconds(self) -> float | None:
        if self._counts and self._cgroup:
            return self._cgroup.cpu_seconds() - self._cpu_before
        return self._supervisor.cpu_seconds if self._supervisor else None

    def waited_seconds(self) -> float:
        if self._waiting is None and (number := number_of(self.ended)):
            self._waiting = Waiting(number)
        return self._waiting.look() if self._waiting else 0.0

    def exceeded(self) -> str:
        if self._supervisor is None:
            return ""
        self._supervisor.look()
        if not self._has_memory and self._supervisor.memory_bytes > self._limits.memory_bytes:
            return "memory"
        too_many = not self._has_pids and self._supervisor.num_processes > self._limits.processes
        return "processes" if too_many else ""

    def close_stdin(self) -> None:
        os.close(self.stdin)
        self.stdin = -1

    def kill(self) -> None:
        with self._lock:
            if not self._closed:
                self._killed = True
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self.ended, signal.SIGKILL)

    def finish(self) -> Ended:
        if not is_ready(self.ended):
            return Ended(None, None, 0.0, None, failure="the processes of the run could not be ended")
        killed, refused = (now > then for now, then in zip(self._memory_events(), self._memory_before, strict=True))
        told = self._told()
        status, microseconds, _, failed = zygote.END.unpack(told) if told else (signal.SIGKILL, 0, 0, False)
        cpu_seconds = self.cpu_seconds()
        ended = Ended(
            exit_code=os.WEXITSTATUS(status) if told and os.WIFEXITED(status) else None,
            signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            cpu_seconds=max(microseconds / 1e6, cpu_seconds or 0.0),
            peak_memory_bytes=self._peak(),
            out_of_memory=killed and refused,
            failure=MACHINE_FULL if killed and not refused else self._failure(bool(told), failed, status),
        )
        return ended

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for descriptor in (self.stdin, self.stdout, self.stderr, self.channel, self._end, self.ended):
            if descriptor >= 0:
                os.close(descriptor)

    def _memory_events(self) -> tuple[int, int]:
        """Processes killed for want of memory, and times that the group came up against its limit."""
        if self._has_memory and self._cgroup:
            return self._cgroup.num_killed(), self._cgroup.num_refused()
        return 0, 0

    def _told(self) -> bytes:
        """Return what the holder said of the end; empty where it did not."""
        try:
            told = os.read(self._end, zygote.END.size)
        except BlockingIOError:
            return b""
        return told if len(told) == zygote.END.size else b""

    def _failure(self, was_told: bool, failed: bool, status: int) -> str:
        if failed:
            return f"the space could not be made ready: {os.strerror(status)}"
        if not was_told and not self._killed and not self._zygote.answers():
            return "the worker was ended from outside"
        # Where the zygote serves on, the holder's end is the program's doing: it would be tried again otherwise.
        return ""

    def _peak(self) -> int | None:
        if self._has_memory:
            return self._zygote.peak_memory_bytes()
        return self._supervisor.peak_memory_bytes if self._supervisor else None

    def _address_bytes(self) -> int:
        """RLIMIT_AS. Where the group holds the tree's memory, only what no program reserves is refused."""
        if self._has_memory:
            return 2 * self._limits.memory_bytes + (1 << 30)
        return self._limits.memory_bytes + (128 << 20)


def is_ready(descriptor: int) -> bool:
    """Return True where there is something to read, or the other end is closed. Of any number, which `select` is
    not."""
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(0))


def ends_of_pipe(opened: list[int]) -> tuple[int, int]:
    """A pipe's read and write end, noted."""
    ends = os.pipe()
    opened.extend(ends)
    return ends


def _close_started(future: Future[Zygote]) -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().close()
