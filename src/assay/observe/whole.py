"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def written_whole(path: Path) -> Iterator[IO[str]]:
    """Open a text file that is there, under its name, once all of it is: written aside, synced, and renamed. A link
    stays a link, to what is new. What is no plain file, such as /dev/stdout or a pipe, is written to as it stands: a
    rename would put a file in its place.

    Half a surrogate pair, which is no UTF-8, is written as its escape in JSON.
    """
    path = path if path.exists() and not path.is_file() else Path(os.path.realpath(path))
    is_plain = path.is_file() or not path.exists()
    aside = path.with_name(f".{path.name}.tmp") if is_plain else path
    with aside.open("w", encoding="utf-8", errors="backslashreplace") as file:
        yield file
        file.flush()
        if is_plain:
            os.fsync(file.fileno())
    if is_plain:
        aside.replace(path)
