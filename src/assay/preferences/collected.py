"""The file that `assay prefer collect` appends to: judgements as Assay's own pairs, skips, and what was taken back.

One JSON object a line. A line with `judgement`, an id, and no `event` is a pair in Assay's own form. A line with the
event "skip" says that an annotator would not judge a pair, one with the event "undo" that the judgement (or skip) of
that id is taken back. Lines are added and never changed, each on the disk before the page goes on.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.errors import DataError
from assay.preferences.pair import Pair, record

Key = tuple[str, str, str]
SKIP, UNDO = "skip", "undo"
_BEGINNINGS = (b'{"prompt": ', b'{"judgement": ')
"""How each line begins that this file has."""
_NO_JUDGEMENT = "this is no judgement of assay prefer collect; give another --output"


def standing_rows(
    rows: Iterable[tuple[str, dict[str, Any]]], notes: list[str] | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Leave out of the rows of a file what is no judgement that stands: skips, and judgements that were taken back.
    Rows without an id go through as they are; those with one come last, each id once.

    Args:
        notes: gains a sentence on what was left out.
    """
    held: dict[str, tuple[str, dict[str, Any]]] = {}
    left_out = {SKIP: 0, UNDO: 0}
    for place, row in rows:
        name = row.get("judgement")
        if not isinstance(name, str):
            yield place, row
        elif row.get("event") == UNDO:
            taken = held.pop(name, None)
            left_out[SKIP] -= taken is not None and taken[1].get("event") == SKIP
            left_out[UNDO] += 1
        else:
            left_out[SKIP] += row.get("event") == SKIP
            held[name] = (place, row)
    if notes is not None and any(left_out.values()):
        notes.append(f"not counted: {left_out[SKIP]} pairs skipped, {left_out[UNDO]} judgements or skips taken back")
    yield from (each for each in held.values() if each[1].get("event") != SKIP)


@dataclass(frozen=True)
class Collected:
    """A judgement, or a skip, that stands."""

    name: str
    """The id of the judgement."""
    annotator: str
    key: Key
    """The `Pair.key` of what was shown."""
    shown_in_key_order: bool
    """True where the first response of the key was shown on the left."""
    pair: Pair | None
    """The judgement; None for a skip."""


class CollectionFile:
    """What was collected so far, and the one place where more is added. Held locked while it is open: two pages that
    append to one file would each count without the other.

    Args:
        path: a .jsonl file; made where it does not exist. A last line that a kill cut short was never answered for, and
            is taken off.

    Raises:
        DataError: the file is no .jsonl, holds something else, or another process has it open.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.suffix.lower() not in (".jsonl", ".ndjson"):
            raise DataError(f"{path}: judgements are kept as JSON lines; name a file that ends in .jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without a buffer: what could not be written is not written later, when it has been judged again.
        self._file = path.open("a+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise DataError(
                f"{path} is open in another assay prefer collect; use that page, or stop it, or give another --output"
            ) from None
        try:
            self.standing = self._read()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def add_judgement(self, name: str, pair: Pair) -> None:
        """Keep a judgement; it is on the disk when this returns."""
        annotator = pair.annotator
        assert annotator is not None
        self._append({**record(pair), "judgement": name})
        self.standing[name] = Collected(name, annotator, pair.key, pair.is_in_key_order, pair)

    def add_skip(self, name: str, annotator: str, shown: Pair, at: str) -> None:
        """Keep that an annotator would not judge a pair."""
        skip = {
            "judgement": name,
            "event": SKIP,
            "annotator": annotator,
            "judged_at": at,
            "key": list(shown.key),
            "shown_in_key_order": shown.is_in_key_order,
        }
        self._append(skip)
        self.standing[name] = Collected(name, annotator, shown.key, shown.is_in_key_order, None)

    def take_back(self, name: str, at: str) -> Collected:
        """Keep that a judgement, or a skip, is taken back; return it."""
        taken = self.standing[name]
        self._append({"judgement": name, "event": UNDO, "annotator": taken.annotator, "judged_at": at})
        del self.standing[name]
        return taken

    def _append(self, row: Mapping[str, Any]) -> None:
        # ASCII, as in `write_lines`.
        line = json.dumps(row).encode() + b"\n"
        before = os.fstat(self._file.fileno()).st_size
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.fsync(self._file.fileno())
        except OSError:
            # Nothing of it stands: it will be judged again.
            self._file.truncate(before)
            raise

    def _read(self) -> dict[str, Collected]:
        """What stands, by id, in the order of the judgements."""
        found: dict[str, Collected] = {}
        whole = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                place = f"{self.path}, line {number}"
                try:
                    row = json.loads(line)
                except ValueError:
                    if line.endswith(b"\n"):
                        raise DataError(f"{place}: this is no JSON; mend the line or take it out") from None
                    if not whole and not any(line.startswith(own) or own.startswith(line) for own in _BEGINNINGS):
                        raise DataError(f"{place}: {_NO_JUDGEMENT}") from None
                    self._file.truncate(whole)
                    break
                whole += len(line)
                _apply(found, row, place)
                if not line.endswith(b"\n"):
                    self._file.write(b"\n")
        return found


def _apply(found: dict[str, Collected], row: Any, place: str) -> None:
    """Adds what a line says to what stands."""
    from assay.preferences.read import judged_in

    name = row.get("judgement") if isinstance(row, dict) else None
    if not isinstance(name, str):
        raise DataError(f"{place}: {_NO_JUDGEMENT}")
    event, annotator = row.get("event"), str(row.get("annotator"))
    if event == UNDO:
        found.pop(name, None)
        return
    try:
        if event == SKIP:
            first, second, third = row["key"]
            key = (str(first), str(second), str(third))
            found[name] = Collected(name, annotator, key, bool(row["shown_in_key_order"]), None)
            return
        (pair,) = judged_in(row)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{place}: this judgement cannot be read ({error}); mend the line or take it out") from None
    assert isinstance(pair, Pair)
    found[name] = Collected(name, annotator, pair.key, pair.is_in_key_order, pair)
