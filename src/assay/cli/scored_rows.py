"""The output of `assay verify`: scored rows in the order of the input, each on disk as soon as it is scored.

A row that is scored before its turn, or again, stands in `OUTPUT.part` until its turn comes: a process that is killed
loses no row that it has scored. The next start takes them over; at the end the file is gone.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from assay.cli.code_rows import FIELDS
from assay.errors import RunFolderError

_IDENTITY = ("id", "response", "answer", "finish_reason", "question", *FIELDS)


class ScoredRows:
    """Takes the lines of rows in whatever order they are scored; what an earlier start scored is there already.

    Args:
        source: the file of the rows, for messages.
        output: its `OUTPUT.settings.json` says what it was scored with.
        settings: what decides a verdict.
        rows: all rows of the source.

    Raises:
        RunFolderError: the output is of other rows, or of other settings.
    """

    def __init__(
        self, source: Path, output: Path, settings: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
    ) -> None:
        self._source, self._output, self._rows = source, output, rows
        self._part = output.with_name(f"{output.name}.part")
        self._waiting: dict[int, bytes] = {}
        """Lines before their turn, and those that replace one of the output."""
        self._prepare(settings)
        before = [self._outcome(line, place, output) for place, line in enumerate(_whole_lines(output))]
        for entry in _whole_lines(self._part):
            number, _, line = entry.partition(b" ")
            if self._outcome(line, int(number) if number.isdigit() else -1, self._part) != "not_measured":
                self._waiting[int(number)] = line
        self._next = len(before)
        self._replace()
        self.num_before = len(before) + sum(place >= self._next for place in self._waiting)
        """Rows that were there already, measured or not."""
        unmeasured = [place for place, outcome in enumerate(before) if outcome == "not_measured"]
        self.num_unmeasured = sum(place not in self._waiting for place in unmeasured)
        """Rows of the output that are to be scored again."""
        self.missing = [place for place in (*unmeasured, *range(self._next, len(rows))) if place not in self._waiting]
        """Places of the rows that are to be scored."""
        self._waiting = {place: line for place, line in self._waiting.items() if place >= self._next}
        self._file, self._part_file = output.open("ab"), self._part.open("ab")
        self._take_turns()

    def add(self, place: int, line: str) -> None:
        """The line of the row at a place, its line break included; on disk when this returns."""
        data = line.encode()
        if place == self._next:
            _write(self._file, data)
            self._next += 1
            self._take_turns()
        else:
            self._waiting[place] = data
            _write(self._part_file, b"%d %b" % (place, data))

    def __enter__(self) -> ScoredRows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
        self._part_file.close()
        if kind is None:
            self._replace()
        if kind is None or not self._part.stat().st_size:
            self._part.unlink()

    def _prepare(self, settings: Mapping[str, Any]) -> None:
        """Writes down the settings of a new output; makes sure that one which is there is of the same."""
        record = self._output.with_name(f"{self._output.name}.settings.json")
        if not self._output.exists():
            # Of an output that somebody has removed.
            self._part.unlink(missing_ok=True)
        if not any(path.exists() and path.stat().st_size for path in (self._output, self._part)):
            self._output.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
            return
        try:
            before = json.loads(record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise RunFolderError(
                f"{self._output} exists, and {record.name} does not say what it was scored with; choose another "
                "--output"
            ) from None
        if before != settings:
            changed = [key for key in {**before, **settings} if before.get(key) != settings.get(key)]
            raise RunFolderError(
                f"{self._output} was scored with another {', '.join(sorted(changed))}; choose another --output, or "
                "remove it"
            )

    def _outcome(self, line: bytes, place: int, path: Path) -> Any:
        """The outcome in a line, which must be of the row at that place."""
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict) or not 0 <= place < len(self._rows) or _digest(row) != _digest(self._rows[place]):
            raise RunFolderError(
                f"{path}, line {place + 1}, is not row {place + 1} of {self._source}; choose another --output"
                if path == self._output
                else f"{path} is not of the rows of {self._source}; remove it, or choose another --output"
            )
        return row.get("outcome")

    def _take_turns(self) -> None:
        """Moves to the output what waits for no other row any more."""
        moved = False
        while self._next in self._waiting:
            _write(self._file, self._waiting[self._next])
            del self._waiting[self._next]
            self._next, moved = self._next + 1, True
        if moved and not self._waiting:
            self._part_file.truncate(0)

    def _replace(self) -> None:
        """Puts lines of the output in the place of others, all or none."""
        if not any(place < self._next for place in self._waiting):
            return
        partial = self._output.with_name(f".{self._output.name}.partial")
        with self._output.open("rb") as old, partial.open("wb") as new:
            new.writelines(self._waiting.get(place, line) for place, line in enumerate(old))
        partial.replace(self._output)


def _whole_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, none where there is no file; what was written half, at its end, is cut off."""
    if not path.exists():
        return
    end = 0
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                end += len(line)
                yield line
    os.truncate(path, end)


def _write(file: BinaryIO, data: bytes) -> None:
    file.write(data)
    file.flush()


def _digest(row: Mapping[str, Any]) -> bytes:
    content = json.dumps([row.get(key) for key in _IDENTITY])
    return hashlib.sha256(content.encode()).digest()
