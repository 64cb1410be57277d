"""The Docker and Podman backend: a fresh container for each run. For hosts where bubblewrap cannot isolate.

A container takes a good part of a second to start, and CPU time is held for each process, not for the tree. There is no
channel beside the three streams: the job comes first on standard input, and while functions are called standard output
carries the replies, so that what the program prints is read as standard error.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from typing import Literal

from assay.errors import SandboxUnavailableError
from assay.sandbox.inside import BOOTSTRAP, bundle, job_frame
from assay.sandbox.limits import Limits
from assay.sandbox.space import Ended, Job, Kind, Worker

IMAGES = {"python": "python:3.11-slim", "tools": "python:3.11"}
"""The larger one has g++."""
ENGINE_FAILED = (125, 126, 127)
"""Exit codes of the engine itself; a program may use them too, and then the engine has named its container."""
KILL_SECONDS = 5.0
KILLED = 137
_numbers = itertools.count()


class ContainerBackend:
    """Runs programs in containers.

    Raises:
        SandboxUnavailableError: the engine is not installed.
    """

    def __init__(self, name: Literal["docker", "podman"]) -> None:
        self.name = name
        executable = shutil.which(name)
        if executable is None:
            raise SandboxUnavailableError(
                f"{name} is not installed, or not on the PATH; backend='bubblewrap' needs neither"
            )
        self._executable = executable

    def worker(self, kind: Kind) -> Worker:
        return ContainerWorker(self._executable)

    def close(self) -> None:
        pass


class ContainerWorker:
    """Starts a container for each run."""

    def __init__(self, executable: str) -> None:
        self._executable = executable

    @property
    def is_usable(self) -> bool:
        return True

    def start(self, job: Job, limits: Limits) -> ContainerSpace:
        return ContainerSpace(self._executable, job, limits)

    def close(self) -> None:
        pass


def container_command(executable: str, name: str, number_file: str, job: Job, limits: Limits) -> list[str]:
    """The command that runs a job from its standard input in a container of that name.

    Args:
        number_file: where the engine writes the container's number once there is one.
    """
    folder_bytes = (
        len(job.stdin or b"") + limits.file_bytes + sum(map(len, job.files.values())) + 4 * len(job.source) + (1 << 16)
    )
    options = {
        "--name": name,
        "--cidfile": number_file,
        "--network": "none",
        "--ipc": "none",
        "--cap-drop": "ALL",
        "--security-opt": "no-new-privileges",
        "--user": "65534:65534",
        "--memory": str(limits.memory_bytes + (32 << 20)),
        "--memory-swap": str(limits.memory_bytes + (32 << 20)),
        "--pids-limit": str(limits.processes + 1),
        "--tmpfs": f"/tmp:rw,exec,nosuid,nodev,size={folder_bytes},mode=1777",
        "--workdir": "/tmp",
        "--env": "HOME=/tmp",
        "--pull": "missing",
    }
    words = [word for option in options.items() for word in option]
    flags = ["--rm", "--interactive", "--init", "--read-only"]
    python = ["python3", "-I", "-S", "-c", BOOTSTRAP.format(descriptor=0)]
    return [executable, "run", *flags, *words, IMAGES[job.kind], *python]


class ContainerSpace:
    """One container."""

    check_seconds: float | None = None
    # Most containers have no channel to tell it on.
    tells_beginning: bool = False

    def __init__(self, executable: str, job: Job, limits: Limits) -> None:
        self._executable, self._name = executable, f"assay-{os.getpid()}-{next(_numbers)}"
        self._was_killed = False
        self._folder = tempfile.mkdtemp(prefix="assay-container-")
        self._number_file = os.path.join(self._folder, "container")
        ours, theirs = socket.socketpair()
        joins = job.mode in ("serve", "check")
        unused_in, unused_out = os.pipe()
        with theirs:
            self._process = subprocess.Popen(
                container_command(executable, self._name, self._number_file, job, limits),
                stdin=theirs.fileno() if joins else subprocess.PIPE,
                stdout=theirs.fileno() if joins else subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        process = self._process
        assert process.stderr is not None
        self.stderr = os.dup(process.stderr.fileno())
        self.channel = ours.detach()
        if process.stdin is None or process.stdout is None:
            self.stdin, self.stdout = unused_out, unused_in
        else:
            self.stdin, self.stdout = os.dup(process.stdin.fileno()), os.dup(process.stdout.fileno())
            os.close(unused_in)
            os.close(unused_out)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        self.opens_on_stdin = not joins
        text = bundle("values", "guest", "alone", arguments={"channel": None})
        self.opening = text + job_frame(job, limits, address_bytes=0, tasks=0) + (job.stdin or b"")
        self.ended, self._end = os.pipe()
        threading.Thread(target=self._wait, daemon=True).start()

    def cpu_seconds(self) -> float | None:
        return None

    def exceeded(self) -> str:
        return ""

    def close_stdin(self) -> None:
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def kill(self) -> None:
        self._was_killed = True
        self._tell_engine("kill", self._name)
        # The engine's client, where there is no container yet or the engine hangs.
        with contextlib.suppress(OSError):
            self._process.kill()

    def finish(self) -> Ended:
        code = self._process.poll()
        if code is None:
            return Ended(None, None, 0.0, None, failure="the container could not be ended")
        failed = code in ENGINE_FAILED and not self._was_killed and not self._has_begun()
        # The engine adds 128 to the signal that ended the program; a negative code is its own client's.
        signal = -code if code < 0 else code - 128 if code > 128 else None
        return Ended(
            exit_code=code if signal is None else None,
            signal=signal,
            cpu_seconds=0.0,
            peak_memory_bytes=None,
            # The engine says no more than that something killed it, and nothing inside can.
            out_of_memory=code == KILLED and not self._was_killed,
            failure="the engine could not run the container" if failed else "",
        )

    def close(self) -> None:
        self.close_stdin()
        for descriptor in (self.stdout, self.stderr, self.channel, self.ended):
            os.close(descriptor)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _has_begun(self) -> bool:
        with contextlib.suppress(OSError):
            return os.path.getsize(self._number_file) > 0
        return False

    def _tell_engine(self, *words: str) -> None:
        """Has the engine do something, and waits for it, though not for ever."""
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                [self._executable, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=KILL_SECONDS,
            )

    def _wait(self) -> None:
        self._process.wait()
        if self._was_killed:
            # Without its client nobody removes a container that was made meanwhile.
            self._tell_engine("rm", "-f", self._name)
        os.close(self._end)
