"""One hostile program, and the forms that most of them have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from assay.sandbox.limits import Limits

Area = Literal[
    "verdict", "time", "memory", "processes", "output", "files", "crash", "escape", "network", "kernel", "input"
]
QUICK = Limits(
    cpu_seconds=0.5, wall_seconds=1.0, memory_bytes=96 << 20, processes=16, file_bytes=4 << 20, output_bytes=64 << 10
)
PATIENT = Limits(
    cpu_seconds=8.0, wall_seconds=16.0, memory_bytes=96 << 20, processes=16, file_bytes=4 << 20, output_bytes=64 << 10
)
"""For what must be stopped by another limit than time, on a busy machine too."""
DENIED = b"denied\n"

GUARD = """\
import os
if os.getppid() != 1 or os.path.exists("/proc/1"):
    # Not in a process space of its own: what follows would harm the machine.
    print("reached")
    os._exit(0)
"""
HELPERS = (
    GUARD
    + """\
import sys
def attempt(action):
    try:
        action()
    except Exception:
        return False
    return True
def report(*actions):
    print("reached" if any(attempt(action) for action in actions) else "denied")
def system_call(number, *arguments):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]) == -1:
        raise OSError(ctypes.get_errno(), "denied")
"""
)


@dataclass(frozen=True, slots=True)
class Attack:
    """One hostile program and what must come of it."""

    name: str
    area: Area
    source: str
    expected: tuple[str, ...]
    """Acceptable ends: names of `RunStatus`, or "rejected"."""
    stdout: bytes | None = None
    """The output that a run that finishes must have printed; None for anything."""
    stdin: bytes = b""
    limits: Limits = QUICK
    is_called: bool = False
    sequel: str = ""
    """A program that runs next, on the same worker, and must print "denied"."""
    language: Literal["python", "cpp"] = "python"
    max_seconds: float = 5.0
    """On the clock for all of it: limits must bind soon."""
    machines: tuple[str, ...] = field(default=())
    """Architectures on which it means something; empty for all."""


def cheat(name: str, source: str) -> Attack:
    """A program whose function is called."""
    return Attack(name, "verdict", source, ("rejected",), is_called=True)


def program(area: Area, name: str, source: str, *expected: str, **options) -> Attack:
    """A whole program that ends in one of these ways; none given: it finishes."""
    return Attack(name, area, source, expected or ("finished",), **options)


def denied(area: Area, name: str, source: str, **options) -> Attack:
    """A program that reports whether any of its attempts came through."""
    return Attack(name, area, HELPERS + source, ("finished",), stdout=DENIED, **options)


def call(name: str, x86_64: int, *arguments: str) -> Attack:
    """One system call that must be refused."""
    source = f"report(lambda: system_call({', '.join([str(x86_64), *arguments])}))"
    return denied("kernel", name, source, machines=("x86_64",))
