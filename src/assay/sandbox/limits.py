"""The limits of one run of a program."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one run, each for the whole tree of its processes together.

    Raises:
        ValueError: a bound that is not above 0.
    """

    cpu_seconds: float = 4.0
    """Time on processors, summed over processes and threads."""
    wall_seconds: float = 8.0
    """Time on the clock of whoever runs the program, less what it waited for a processor while others kept them busy
    (at most ten times as long all the same). In a session: while it loads or answers."""
    memory_bytes: int = 256 << 20
    """Resident memory, files in the working folder included; what the warm interpreter had before is not counted."""
    processes: int = 16
    """Processes and threads alive at one time."""
    file_bytes: int = 16 << 20
    """All files in the working folder together; also the largest single file."""
    output_bytes: int = 1 << 20
    """Standard output and standard error together; and what one call of a function returns."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ValueError(f"Limits.{field.name}={getattr(self, field.name)} must be above 0")


COMPILE_LIMITS = Limits(
    cpu_seconds=20.0,
    wall_seconds=30.0,
    memory_bytes=1 << 30,
    processes=32,
    file_bytes=64 << 20,
    output_bytes=64 << 20,
)
"""Enough for g++ on one file. The program that comes out counts as output."""
