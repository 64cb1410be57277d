"""The folder an evaluation is kept in: settings, rows as they end, scores. What makes `assay eval` resumable.

settings.json   what decides the result, and where it was made (versions, machine, model folder)
rows.jsonl      one scored sample a line, appended as it ends
scores.json     every score with its interval, once all rows are there
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from assay.errors import RunFolderError
from assay.evaluation.row import EvalRow
from assay.observe.folder import read_json, write_json

SETTINGS = "settings.json"
ROWS = "rows.jsonl"
SCORES = "scores.json"


class EvaluationFolder:
    """An evaluation on disk, open for one process. A context manager.

    Args:
        folder: made if missing.
        settings: what decides the result; an earlier, interrupted evaluation must have had the same.
        provenance: where the numbers come from; recorded, not compared.

    Raises:
        RunFolderError: the folder holds an evaluation with other settings (says which), another process writes to it,
            or its rows cannot be read.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], provenance: Mapping[str, Any]) -> None:
        self.folder = folder
        self._settings = json.loads(json.dumps(settings))
        self._provenance = dict(provenance)
        self._file: IO[bytes] | None = None
        self.rows: list[EvalRow] = []
        """Rows that were there when the folder was opened. A sample that was run again has its latest row only."""

    def __enter__(self) -> EvaluationFolder:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = (self.folder / ROWS).open("a+b")
        try:
            self._lock(self._file)
            self._check_settings()
            self.rows = self._read_rows(self._file)
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()  # and with it the lock

    def append(self, row: EvalRow) -> None:
        """Writes a row; it survives the process from then on."""
        if self._file is None:
            raise RuntimeError("the evaluation folder is not open")
        # ASCII: whatever a model said, a row is one line.
        self._file.write(json.dumps(row.to_dict(), ensure_ascii=True, allow_nan=False).encode() + b"\n")
        self._file.flush()

    def write_scores(self, scores: Mapping[str, Any]) -> Path:
        """Writes scores.json and returns its path."""
        write_json(self.folder / SCORES, {**scores, "provenance": self._provenance})
        return self.folder / SCORES

    def add_scores(self, more: Mapping[str, Any]) -> None:
        """Adds entries to the scores.json that was written."""
        path = self.folder / SCORES
        write_json(path, {**json.loads(path.read_text(encoding="utf-8")), **more})

    def _lock(self, file: IO[bytes]) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"another process is writing to {self.folder}; wait for it, or choose another --output"
            raise RunFolderError(message) from None

    def _check_settings(self) -> None:
        path = self.folder / SETTINGS
        if not path.exists():
            if (self.folder / ROWS).stat().st_size:
                raise RunFolderError(f"{self.folder} has {ROWS} but no {SETTINGS}; choose another folder with --output")
            write_json(path, {"settings": self._settings, "provenance": self._provenance})
            return
        try:
            recorded = flatten(json.loads(path.read_text(encoding="utf-8"))["settings"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunFolderError(f"{path} cannot be read: {error!r}; choose another folder with --output") from None
        wanted = flatten(self._settings)
        changed = [
            f"{key}: {shown(recorded, key)} there, {shown(wanted, key)} now"
            for key in sorted(recorded.keys() | wanted.keys())
            if shown(recorded, key) != shown(wanted, key)
        ]
        if changed:
            raise RunFolderError(
                f"{self.folder} holds an evaluation with other settings ({'; '.join(changed)}); "
                "use the same settings to continue it, or choose another folder with --output"
            )

    def _read_rows(self, file: IO[bytes]) -> list[EvalRow]:
        file.seek(0)
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            file.truncate(whole)  # a line that a killed process left half written: its sample runs again
        return _parsed(content[:whole], self.folder / ROWS)


def read_rows(path: Path) -> list[EvalRow]:
    """The whole rows of a rows.jsonl, in the order of tasks and samples; of a sample that was run again the latest.

    Raises:
        RunFolderError: a line is not a row.
    """
    content = path.read_bytes()
    rows = _parsed(content[: content.rfind(b"\n") + 1], path)
    return sorted(rows, key=lambda row: (row.task_index, row.sample))


def read_whole(folder: Path) -> list[EvalRow]:
    """The rows of an evaluation, as many as its scores are of.

    Raises:
        RunFolderError: there are others, as where a folder was copied while it was written.
    """
    rows = read_rows(folder / ROWS) if (folder / ROWS).is_file() else []
    counted = read_json(folder / SCORES).get("num_samples", len(rows))
    if not rows or len(rows) != counted:
        raise RunFolderError(
            f"{folder / ROWS} has {len(rows):,} samples{f' of {counted:,}' if counted else ''}: copy it once more, or "
            "run its command again"
        )
    return rows


def _parsed(content: bytes, path: Path) -> list[EvalRow]:
    rows: dict[tuple[str, int], EvalRow] = {}
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            row = EvalRow.from_dict(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunFolderError(
                f"line {number} of {path} is not a row of an evaluation ({error!r}); "
                "delete that line to run its sample again"
            ) from None
        rows[row.key] = row
    return list(rows.values())


def flatten(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one mapping, from dotted names to values."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def shown(settings: Mapping[str, Any], key: str) -> str:
    """Return a flat setting as JSON, or "not set"."""
    return json.dumps(settings[key]) if key in settings else "not set"
