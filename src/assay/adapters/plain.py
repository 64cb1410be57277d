"""Functions that workers of adapters share: values as text, texts that are bounded, functions of a file. Standard
library alone, since it runs in the adapters' own interpreters."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

MAX_TEXT = 20_000
"""Characters of one observation."""


class RefusedError(Exception):
    """Error that a person must mend: no failure of the package, and no retry mends it."""


def canonical(value: Any, depth: int = 0) -> str:
    """Return a value as text that is equal for equal values in every process; what it will draw is no part of it."""
    if depth > 12:
        return "..."
    if isinstance(value, dict):
        pairs = sorted((canonical(key, depth + 1), canonical(item, depth + 1)) for key, item in value.items())
        return "{" + ",".join(f"{key}:{item}" for key, item in pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(canonical(item, depth + 1) for item in value) + "]"
    if isinstance(value, set | frozenset):
        return "{" + ",".join(sorted(canonical(item, depth + 1) for item in value)) + "}"
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return repr(value)
    if callable(value) or isinstance(value, random.Random) or type(value).__module__.startswith("numpy.random"):
        return ""
    if hasattr(value, "tolist"):
        return canonical(value.tolist(), depth + 1)
    name = getattr(value, "name", None)
    if not hasattr(value, "__dict__") or (isinstance(name, str) and type(value).__mro__[-2].__name__ == "Enum"):
        return f"{type(value).__name__}.{name}" if name else re.sub(r" at 0x[0-9a-f]+", "", repr(value))
    return f"{type(value).__name__}{canonical(vars(value), depth + 1)}"


def digest(text: str) -> str:
    """Return a short name of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def cut(text: str) -> str:
    """Return a text of at most about `MAX_TEXT` characters: its beginning and its end."""
    if len(text) <= MAX_TEXT:
        return text
    return f"{text[: MAX_TEXT // 2]}\n[... {len(text) - MAX_TEXT} characters left out ...]\n{text[-MAX_TEXT // 2 :]}"


def shared_memory(group: int) -> set[Path]:
    """Return the blocks of shared memory and the semaphores that Python made for the processes of a group; who ends
    them removes these."""
    inodes: set[int] = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if int((process / "stat").read_text().rpartition(")")[2].split()[2]) == group:
                # Not by name: a semaphore is mapped under one that it has lost.
                lines = (process / "maps").read_text().splitlines()
                inodes |= {int(line.split()[4]) for line in lines if "/dev/shm/" in line}
        except (OSError, IndexError):
            continue
    found: set[Path] = set()
    for block in (*Path("/dev/shm").glob("psm_*"), *Path("/dev/shm").glob("sem.mp-*")):
        with contextlib.suppress(OSError):
            if block.stat().st_ino in inodes:
                found.add(block)
    return found


def function_of(option: str, reference: str) -> Callable[..., Any]:
    """Return the function that "path.py:name" stands for.

    Raises:
        RefusedError: there is no such file or function.
    """
    path, _, name = reference.rpartition(":")
    spec = importlib.util.spec_from_file_location("assay_own", path)
    if not os.path.isfile(path) or spec is None or spec.loader is None:
        raise RefusedError(f"{option}={reference!r}: there is no Python file {path!r}; write it as path.py:function")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(getattr(module, name, None)):
        raise RefusedError(f"{option}={reference!r}: {path} has no function {name!r}")
    return getattr(module, name)
