"""No isolation at all: a plain subprocess with limits it can escape. For programs you would run yourself.

Whatever runs here can read your files, use the network and leave processes behind. It is never chosen for you, and
every `ProgramRun` says "unsafe".
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from assay.sandbox.input_file import input_file
from assay.sandbox.limits import Limits
from assay.sandbox.shipment import BOOTSTRAP, bundle, job_frame
from assay.sandbox.space import Ended, Job, Kind, Worker
from assay.sandbox.waiting import Waiting


class UnsafeBackend:
    """Runs programs in subprocesses of the interpreter.

    Args:
        interpreter: the Python that programs run on; None for this one.
    """

    name = "unsafe"

    def __init__(self, interpreter: Path | None = None) -> None:
        # Not that of a virtual environment: programs do not see what is installed there.
        self._interpreter = interpreter or Path(sys._base_executable)  # type: ignore[attr-defined]

    def worker(self, kind: Kind) -> Worker:
        return UnsafeWorker(self._interpreter)

    def close(self) -> None:
        pass


class UnsafeWorker:
    """Starts a process for each run."""

    def __init__(self, interpreter: Path) -> None:
        self._interpreter = interpreter

    @property
    def is_usable(self) -> bool:
        return True

    def start(self, job: Job, limits: Limits) -> UnsafeSpace:
        return UnsafeSpace(self._interpreter, job, limits)

    def close(self) -> None:
        pass


class UnsafeSpace:
    """One subprocess, in a folder and a session of its own."""

    check_seconds: float | None = None
    opens_on_stdin: bool = False
    tells_beginning: bool = True

    def __init__(self, interpreter: Path, job: Job, limits: Limits) -> None:
        self._folder = tempfile.mkdtemp(prefix="assay-unsafe-")
        ours, theirs = socket.socketpair()
        stdin = subprocess.PIPE if job.stdin is None else input_file(job.stdin)
        with theirs:
            self._process = subprocess.Popen(
                [interpreter, "-I", "-S", "-c", BOOTSTRAP.format(descriptor=theirs.fileno())],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self._folder,
                env={"PATH": os.environ.get("PATH", ""), "HOME": self._folder, "LANG": "C.UTF-8"},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
            text = bundle("values", "job_runner", "one_shot", arguments={"channel": theirs.fileno()})
        if stdin != subprocess.PIPE:
            os.close(stdin)
        process = self._process
        streams = (process.stdin, process.stdout, process.stderr)
        # Copies of our own: a stream closes its number once more when it is collected, and it may be another's by then.
        self.stdin, self.stdout, self.stderr = (os.dup(stream.fileno()) if stream else -1 for stream in streams)
        for stream in filter(None, streams):
            stream.close()
        self.channel = ours.detach()
        self.opening = text + job_frame(job, limits, address_bytes=4 * limits.memory_bytes, tasks=0)
        self.ended, self._end = os.pipe()
        self._usage: Ended | None = None
        self._waiting = Waiting(process.pid)
        threading.Thread(target=self._wait, daemon=True).start()

    def cpu_seconds(self) -> float | None:
        return None

    def waited_seconds(self) -> float:
        return self._waiting.look()

    def exceeded(self) -> str:
        return ""

    def close_stdin(self) -> None:
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def finish(self) -> Ended:
        self.kill()
        return self._usage or Ended(None, None, 0.0, None, failure="the process could not be ended")

    def close(self) -> None:
        self.close_stdin()
        for descriptor in (self.stdout, self.stderr, self.channel, self.ended):
            os.close(descriptor)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait(self) -> None:
        _, status, usage = os.wait4(self._process.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        # Popen must not wait for what is gone: its number may be another's by then.
        self._process.returncode = code
        # Kibibytes on Linux, bytes on macOS.
        peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        self._usage = Ended(
            exit_code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            cpu_seconds=usage.ru_utime + usage.ru_stime,
            peak_memory_bytes=peak,
        )
        os.close(self._end)
