"""Watches one run from outside: feeds it, reads it, holds its limits, and says how it ended.

A run ends when its first process has ended and the kernel has ended the rest: never when a pipe closes, which a
grandchild may hold open. All that is read is bounded and hostile.
"""

from __future__ import annotations

import contextlib
import os
import select
import struct
import time
from collections.abc import Callable, Sequence

from assay.sandbox.limits import Limits
from assay.sandbox.run import ProgramRun, RunStatus
from assay.sandbox.space import Ended, Space
from assay.sandbox.values import NotPlainError, decode
from assay.sandbox.waiting import MAX_STRETCH

READ_BYTES = 1 << 16
END_SECONDS = 10.0
"""From the kill to the end of the tree. Past it the worker is given up."""
MIN_CHECK_SECONDS, MAX_CHECK_SECONDS = 0.01, 0.25
MEMORY_ERRORS = (b"MemoryError", b"std::bad_alloc", b"Cannot allocate memory")
_RUNNING = b"Traceback (most recent call last)"
_REFUSALS = ("SyntaxError", "IndentationError", "TabError", "RecursionError", "OverflowError")
_READABLE = select.POLLIN | select.POLLHUP | select.POLLERR
_LENGTH = struct.Struct("<I")


class Watch:
    """One run under way.

    Args:
        stdin: what the program reads first, where its input is a pipe.
        holds_stdin: whether more input follows by `feed`; otherwise its end comes after `stdin`.
        on_output: takes each part of standard output as it comes; None to keep it only.
    """

    def __init__(
        self,
        space: Space,
        limits: Limits,
        backend: str,
        *,
        stdin: bytes = b"",
        holds_stdin: bool = False,
        on_output: Callable[[bytes], None] | None = None,
    ) -> None:
        self.space, self.limits, self.backend = space, limits, backend
        self.stdout, self.stderr = bytearray(), bytearray()
        self.has_ended = False
        self.refused_source = False
        """The program's process says that its language refuses the source. It counts only where the run failed."""
        self._replies: list[tuple] = []
        self._num_written = self._num_replied = 0
        self._channel_in = bytearray()
        if space.opens_on_stdin:
            self._to_channel, self._to_stdin = memoryview(b""), memoryview(space.opening + stdin)
        else:
            self._to_channel, self._to_stdin = memoryview(space.opening), memoryview(stdin)
        self._holds_stdin, self._on_output = holds_stdin, on_output
        self._open = {space.stdin, space.stdout, space.stderr, space.channel} - {-1}
        for descriptor in self._open:
            os.set_blocking(descriptor, False)
        self._killed: tuple[RunStatus, str] | None = None
        self._kill_deadline = 0.0
        self._driven_since = 0.0
        self._driven_before = self._waited = 0.0
        self._deadline = float("inf")
        self._check_seconds = space.check_seconds
        first = space.check_seconds or min(limits.cpu_seconds / _NUM_CORES, MAX_CHECK_SECONDS)
        self._next_check = time.monotonic() + first
        self._run: ProgramRun | None = None
        self._is_closed = False
        self._has_begun = not space.tells_beginning
        self._flush_stdin()
        self._flush_channel()

    @property
    def wall_seconds(self) -> float:
        """While anybody waited for the program, less the time that it waited for a processor until the last check."""
        return max(0.0, self._clock_seconds - self._waited)

    @property
    def _clock_seconds(self) -> float:
        now = time.monotonic() - self._driven_since if self._driven_since else 0.0
        return self._driven_before + now

    def tell(self, data: bytes) -> None:
        """Sends more on the channel; what is replied to it is bounded anew."""
        self._num_replied = 0
        self._to_channel = memoryview(bytes(self._to_channel) + data)
        self._flush_channel()

    def allow(self, seconds: float | None) -> None:
        """Bounds the time on the clock from now on, beside the limit of the whole run; None lifts it."""
        self._deadline = float("inf") if seconds is None else self.wall_seconds + seconds

    def feed(self, data: bytes) -> None:
        """Gives the program more input."""
        self._to_stdin = memoryview(bytes(self._to_stdin) + data)
        self._flush_stdin()

    def end_input(self) -> None:
        """No more input comes."""
        self._holds_stdin = False
        self._flush_stdin()

    @property
    def is_over(self) -> bool:
        """Return True where it has ended, or is about to: one that was killed may still reply for a moment."""
        return self.has_ended or self._killed is not None

    def next_reply(self) -> tuple | None:
        """The oldest reply not yet taken; None where there is none."""
        return self._replies.pop(0) if self._replies else None

    @property
    def has_reply(self) -> bool:
        return bool(self._replies)

    def kill(self, status: RunStatus, reason: str) -> None:
        """Ends the tree; the first reason is kept."""
        if self._killed is None and not self.has_ended:
            self._killed = status, reason
            self._kill_deadline = time.monotonic() + END_SECONDS
            self.space.kill()

    def run(self) -> ProgramRun:
        """Return the result of the run; waits for the end. Closes the space."""
        if self._run is None:
            try:
                self._run = self._judge(self._ended())
            finally:
                self.abandon()
        return self._run

    def _ended(self) -> Ended:
        try:
            drive([self], lambda: self.has_ended)
            return self.space.finish()
        except OSError as error:
            self.space.kill()
            return Ended(None, None, 0.0, None, failure=f"the run could not be watched: {error}")

    def abandon(self) -> None:
        """Ends the tree and closes the space, whatever has happened. Safe to call again."""
        if not self._is_closed:
            self._is_closed = True
            self.has_ended = True
            if self._run is None:
                self.space.kill()
            self.space.close()

    # What `drive` needs.

    def begin(self) -> None:
        self._driven_since = time.monotonic()

    def pause(self) -> None:
        self._driven_before, self._driven_since = self._clock_seconds, 0.0

    def wanted(self) -> list[tuple[int, int]]:
        """Descriptors and the events to wait for."""
        space = self.space
        wanted = [(space.ended, _READABLE)]
        wanted += [(descriptor, _READABLE) for descriptor in (space.stdout, space.stderr) if descriptor in self._open]
        if space.stdin in self._open and self._to_stdin:
            wanted.append((space.stdin, select.POLLOUT))
        if space.channel in self._open:
            wanted.append((space.channel, _READABLE | (select.POLLOUT if self._to_channel else 0)))
        return wanted

    def seconds_left(self) -> float:
        """Until `check` has something to look at."""
        now = time.monotonic()
        if self._killed:
            return max(0.0, self._kill_deadline - now)
        deadline = min(self.limits.wall_seconds, self._deadline)
        return max(0.0, min(deadline - self.wall_seconds, self._next_check - now))

    def ready(self, descriptor: int, events: int) -> None:
        """Deals with one descriptor."""
        space = self.space
        if descriptor == space.ended:
            self._drain()
            self.has_ended = True
        elif descriptor == space.stdin:
            self._flush_stdin()
        elif descriptor == space.channel:
            if events & select.POLLOUT:
                self._flush_channel()
            if events & _READABLE:
                self._read_channel()
        else:
            self._read_output(descriptor)

    def check(self) -> None:
        """Holds the limits on time, and those that only the space can see."""
        now = time.monotonic()
        if self._killed:
            self.has_ended = self.has_ended or now >= self._kill_deadline
            return
        if self.wall_seconds >= min(self.limits.wall_seconds, self._deadline):
            # A right program must not fail for others that keep the machine busy.
            self._waited = self.space.waited_seconds()
        longest = MAX_STRETCH * self.limits.wall_seconds
        if self._clock_seconds >= longest:
            self.kill(RunStatus.TIME_LIMIT, f"passed {longest:g} s on the clock, however busy the machine is")
        elif self.wall_seconds >= self.limits.wall_seconds:
            self.kill(RunStatus.TIME_LIMIT, f"passed {self.limits.wall_seconds:g} s on the clock")
        elif self.wall_seconds >= self._deadline:
            self.kill(RunStatus.TIME_LIMIT, "passed the time allowed for the call")
        elif now >= self._next_check:
            self._check_space(now)

    def _check_space(self, now: float) -> None:
        exceeded = self.space.exceeded()
        if exceeded == "memory":
            self.kill(RunStatus.MEMORY_LIMIT, _memory_reason(self.limits))
        elif exceeded:
            self.kill(RunStatus.RUNTIME_ERROR, f"passed {self.limits.processes} processes")
        used = self.space.cpu_seconds()
        left = self.limits.cpu_seconds - (used or 0.0)
        if left <= 0:
            self.kill(RunStatus.TIME_LIMIT, _cpu_reason(self.limits))
        self._waited = self.space.waited_seconds()
        soonest = min(max(MIN_CHECK_SECONDS, left / _NUM_CORES), MAX_CHECK_SECONDS)
        self._next_check = now + (soonest if self._check_seconds is None else min(soonest, self._check_seconds))

    def _read_output(self, descriptor: int) -> bytes:
        kept = self.stdout if descriptor == self.space.stdout else self.stderr
        part = self._read(descriptor)
        room = self.limits.output_bytes - self._num_written
        kept += part[: max(0, room)]
        self._num_written += len(part)
        if len(part) > room:
            self._kill_for_output()
        elif part and kept is self.stdout and self._on_output:
            self._on_output(part)
        return part

    def _read_channel(self) -> bytes:
        part = self._read(self.space.channel)
        self._num_replied += len(part)
        if self._num_replied > self.limits.output_bytes + READ_BYTES:
            self._kill_for_output()
            return part
        self._channel_in += part
        while len(self._channel_in) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._channel_in)[0]
            if end > self.limits.output_bytes + READ_BYTES:
                self._kill_for_output()
                break
            if len(self._channel_in) < end:
                break
            self._take(bytes(self._channel_in[_LENGTH.size : end]))
            del self._channel_in[:end]
        return part

    def _take(self, payload: bytes) -> None:
        try:
            reply = decode(payload)
        except NotPlainError:
            reply = None
        if reply == ("syntax",):
            self.refused_source = True
        elif reply == ("begun",) and self.space.tells_beginning:
            self._has_begun = True
        elif type(reply) is tuple and reply:
            self._replies.append(reply)
        else:
            self.kill(RunStatus.RUNTIME_ERROR, "wrote on the channel of its replies")

    def _read(self, descriptor: int) -> bytes:
        try:
            part = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError:
            part = b""
        if not part:
            self._open.discard(descriptor)
        return part

    def _drain(self) -> None:
        """Reads what was written before the end."""
        for descriptor in (self.space.stdout, self.space.stderr):
            # Bounded: where nothing isolates, a grandchild may write on for ever.
            while descriptor in self._open and self._num_written <= self.limits.output_bytes:
                if not self._read_output(descriptor):
                    break
        while self.space.channel in self._open and self._killed is None and self._read_channel():
            pass

    def _flush_stdin(self) -> None:
        self._to_stdin = self._write(self.space.stdin, self._to_stdin)
        if not self._to_stdin and not self._holds_stdin and self.space.stdin in self._open:
            self._open.discard(self.space.stdin)
            self.space.close_stdin()

    def _flush_channel(self) -> None:
        self._to_channel = self._write(self.space.channel, self._to_channel)

    def _write(self, descriptor: int, data: memoryview) -> memoryview:
        try:
            while data and descriptor in self._open:
                data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            return data
        except OSError:
            # Nobody reads any more.
            return memoryview(b"")
        return data if descriptor in self._open else memoryview(b"")

    def _kill_for_output(self) -> None:
        self.kill(RunStatus.OUTPUT_LIMIT, f"wrote more than {self.limits.output_bytes} bytes")

    def _judge(self, ended: Ended) -> ProgramRun:
        status, reason = self._status(ended)
        by_sandbox = self._killed is not None
        return ProgramRun(
            status=status,
            exit_code=None if by_sandbox else ended.exit_code,
            signal=None if by_sandbox else ended.signal,
            stdout=bytes(self.stdout),
            stderr=bytes(self.stderr),
            wall_seconds=self.wall_seconds,
            cpu_seconds=ended.cpu_seconds,
            peak_memory_bytes=ended.peak_memory_bytes,
            reason=reason,
            backend=self.backend,
        )

    def _status(self, ended: Ended) -> tuple[RunStatus, str]:
        if ended.out_of_memory:
            return RunStatus.MEMORY_LIMIT, _memory_reason(self.limits)
        if ended.failure:
            return RunStatus.SANDBOX_FAILURE, ended.failure
        if self._killed:
            return self._killed
        if not self._has_begun:
            return RunStatus.SANDBOX_FAILURE, f"the program did not begin: {_last_line(self.stderr)}"
        if ended.cpu_seconds >= self.limits.cpu_seconds:
            return RunStatus.TIME_LIMIT, _cpu_reason(self.limits)
        if ended.exit_code == 0:
            return RunStatus.FINISHED, ""
        if self.refused_source or _is_refusal(bytes(self.stderr)):
            return RunStatus.COMPILE_ERROR, _last_line(self.stderr)
        # The program can write this itself: then it calls one failure by the name of another.
        if any(name in _last_line(self.stderr).encode() for name in MEMORY_ERRORS):
            return RunStatus.MEMORY_LIMIT, _last_line(self.stderr)
        if ended.signal:
            return RunStatus.RUNTIME_ERROR, f"ended by signal {ended.signal}"
        return RunStatus.RUNTIME_ERROR, f"exit code {ended.exit_code}: {_last_line(self.stderr)}".rstrip(": ")


def drive(watches: Sequence[Watch], until: Callable[[], bool]) -> None:
    """Waits for events of all of the runs, and deals with them, until the condition holds."""
    for watch in watches:
        watch.begin()
    try:
        while not until():
            _drive_once([watch for watch in watches if not watch.has_ended])
    finally:
        for watch in watches:
            watch.pause()


def _drive_once(watches: Sequence[Watch]) -> None:
    poller, owners = select.poll(), {}
    for watch in watches:
        for descriptor, events in watch.wanted():
            poller.register(descriptor, events)
            owners[descriptor] = watch
    seconds = min(watch.seconds_left() for watch in watches)
    # The end comes last, so that what was written before it is read as such.
    ready = sorted(poller.poll(seconds * 1000 + 1), key=lambda event: event[0] == owners[event[0]].space.ended)
    for descriptor, events in ready:
        with contextlib.suppress(BrokenPipeError):
            owners[descriptor].ready(descriptor, events)
    for watch in watches:
        watch.check()


def _is_refusal(stderr: bytes) -> bool:
    """Return True where an interpreter says that it cannot read its program: it names an error, and nothing that was
    running.

    A program can say so itself, and then calls one failure by the name of another.
    """
    if _RUNNING in stderr:
        return False
    return _last_line(stderr).partition(":")[0] in _REFUSALS


def _last_line(text: bytes | bytearray) -> str:
    lines = bytes(text[-2000:]).decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:200] if lines else ""


def _memory_reason(limits: Limits) -> str:
    return f"passed {limits.memory_bytes >> 20} MiB of memory"


def _cpu_reason(limits: Limits) -> str:
    return f"passed {limits.cpu_seconds:g} s of CPU time"


_NUM_CORES = os.cpu_count() or 1
