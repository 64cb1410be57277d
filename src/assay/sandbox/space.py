"""The space of a run, seen from outside: its pipes, its end, what it used. Each backend has one.

A backend makes workers; a worker holds one run at a time in a `Space` of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from assay.sandbox.limits import Limits

Mode = Literal["run", "check", "serve", "execute"]
Kind = Literal["python", "tools"]
"""The view of a space: "python" the interpreter, "tools" the programs installed under /usr as well."""


@dataclass(frozen=True, slots=True)
class Job:
    """The job that the first process of a run is told to do. It holds nothing that the program may not see."""

    mode: Mode
    """"run" the source as a Python program, "check" its syntax, "serve" calls of its functions, "execute" `command`."""
    source: str
    files: Mapping[str, bytes]
    command: tuple[str, ...] = ()
    kind: Kind = "python"
    stdin: bytes | None = b""
    """All that it reads, given as a file where the backend can; None where it comes through a pipe, by and by."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a run's tree of processes, as those who held it saw it."""

    exit_code: int | None
    signal: int | None
    cpu_seconds: float
    peak_memory_bytes: int | None
    out_of_memory: bool = False
    """True where something in the tree was refused memory beyond the limit and killed."""
    failure: str = ""
    """Not empty: the space broke, and says nothing about the program."""


class Space(Protocol):
    """One run under way. Its descriptors belong to it and are closed by `close`."""

    stdin: int
    """Write end; -1 where the program has its input already."""
    stdout: int
    """Read end, as `stderr`."""
    stderr: int
    channel: int
    """Both ways: takes the job, then calls; gives replies. What is read from it is hostile."""
    ended: int
    """Readable once no process of the run is left."""

    check_seconds: float | None
    """The seconds between two questions of `exceeded`; None where the kernel holds those limits, and CPU time alone is
    looked at."""
    opening: bytes
    """The bytes that go first on the channel: the job."""
    opens_on_stdin: bool
    """True where it goes before the program's input instead."""

    tells_beginning: bool
    """True where ("begun",) comes on the channel before the program's first step."""

    def cpu_seconds(self) -> float | None:
        """Used so far by the whole tree; None where it cannot be told before the end."""
        ...

    def waited_seconds(self) -> float:
        """Return how long the tree has been ready to go on and had no processor, up to now; 0 where nobody can tell."""
        ...

    def exceeded(self) -> str:
        """Return the limit that the tree has passed that only the parent holds ("memory", "processes"), or ""."""
        ...

    def close_stdin(self) -> None:
        """The program reads its end of input."""
        ...

    def kill(self) -> None:
        """Ends the whole tree at once. May be called from any thread, and again."""
        ...

    def finish(self) -> Ended:
        """Return how the run ended; called once `ended` is readable, or is not in spite of `kill`."""
        ...

    def close(self) -> None:
        """Gives back the descriptors."""
        ...


class Worker(Protocol):
    """Holds one run at a time."""

    @property
    def is_usable(self) -> bool:
        """Return True where another run may be started here."""
        ...

    def start(self, job: Job, limits: Limits) -> Space:
        """Begins a run.

        Raises:
            OSError: the worker is gone or the machine is short of something; another worker may do.
        """
        ...

    def close(self) -> None:
        """Ends the worker and whatever it holds."""
        ...


class Backend(Protocol):
    """Makes workers."""

    name: str

    def worker(self, kind: Kind) -> Worker:
        """A worker that is ready.

        Raises:
            SandboxUnavailableError: this host cannot isolate; the message says what to do.
            OSError: it could not be started this time.
        """
        ...

    def close(self) -> None:
        """Ends what its workers share."""
        ...
