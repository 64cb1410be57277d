"""The program that is run, as its author wrote it, or the same made ready."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

Language = Literal["python", "cpp", "command"]
MAX_FILES = 256


@dataclass(frozen=True, slots=True)
class Program:
    """A program nobody trusts.

    Raises:
        ValueError: an unknown language; a command for a language that has none, or none for "command"; a file whose
            name leaves the working folder.
    """

    source: str
    """Its text. In Python it is run as `main.py`; for a command it is left in the working folder as `program`."""
    language: Language = "python"
    command: tuple[str, ...] = ()
    """For language "command": what is executed in the working folder, first the name or path of the executable."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Files put in the working folder beforehand: relative path to content."""

    def __post_init__(self) -> None:
        if self.language not in ("python", "cpp", "command"):
            raise ValueError(f"language={self.language!r} is none of python, cpp, command")
        if (self.language == "command") != bool(self.command):
            raise ValueError(f"{self.command=} goes with language='command' and with no other")
        if len(self.files) > MAX_FILES:
            raise ValueError(f"{len(self.files)} files are more than the {MAX_FILES} that one program may have")
        for name in self.files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or path.name == "" or "\0" in name:
                raise ValueError(f"the file {name!r} is not inside the working folder")


@dataclass(frozen=True, slots=True)
class Compiled:
    """A program that its language accepts, ready to be run any number of times."""

    program: Program
    binary: bytes | None
    """The executable that the compiler wrote; None for a language without one. As little trusted as its source."""
