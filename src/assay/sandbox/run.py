"""The result of a run: its status, output and use of resources."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class RunStatus(enum.StrEnum):
    """The status of a run that has ended. Decided outside the space, never from what the program says of itself."""

    FINISHED = "finished"
    """It came to its end with exit code 0, within all limits. Whether its output is right is another question."""
    RUNTIME_ERROR = "runtime_error"
    """It exited with another code, was ended by a signal, or left while it was asked for a value."""
    TIME_LIMIT = "time_limit"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"
    COMPILE_ERROR = "compile_error"
    """Its language refuses the source."""
    SANDBOX_FAILURE = "sandbox_failure"
    """The sandbox failed, twice. Never the program's fault and never evidence about it."""


@dataclass(frozen=True, slots=True)
class ProgramRun:
    """One run of a program."""

    status: RunStatus
    exit_code: int | None
    """None where a signal or the sandbox ended it."""
    signal: int | None
    """The signal that ended it; None where it exited, or where the sandbox ended it."""
    stdout: bytes
    """As written, up to the limit."""
    stderr: bytes
    wall_seconds: float
    """On the clock of the parent, less what the program waited for a processor."""
    cpu_seconds: float
    """The CPU time of the whole tree of processes."""
    peak_memory_bytes: int | None
    """The peak memory of the whole tree, above what the warm interpreter had before; None where the host does not
    say."""
    reason: str
    """One line for a person; empty where it finished."""
    backend: str
    """The backend that held it: "bubblewrap", or "unsafe" where nothing did."""
