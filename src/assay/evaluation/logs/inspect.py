"""Logs of inspect-ai: `.eval` files (a zip of JSON, Zstandard inside) and JSON files.

Scores are read from the samples, never from the log's results, which leave out what failed: a run in which every sample
failed is a "success" without results, and a task whose repeats all failed is missing from the mean. A sample without a
score is not measured here, with its error.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from assay.environments.values import parse_json
from assay.errors import DataError
from assay.evaluation.logs.log import Log, LoggedSample
from assay.evaluation.logs.zipped import read_member
from assay.evaluation.table import is_missing, number

KIND = "inspect-ai"
FILES = "*.eval"
VERSIONS = (1, 2)
_LETTERS = {"c": 1.0, "i": 0.0, "p": 0.5, "n": 0.0, "yes": 1.0, "no": 0.0}
"""CORRECT, INCORRECT, PARTIAL and NOANSWER, with the values that inspect-ai's `value_to_float` gives them."""
_SHOWN = 60


def is_inspect(data: Any) -> bool:
    """Return True for the content of a JSON log."""
    return isinstance(data, Mapping) and "eval" in data and "status" in data and "version" in data


def read_inspect(paths: Iterable[Path], source: str) -> Log:
    """The samples of logs, one log a benchmark.

    Raises:
        DataError: a file that is no log, one of an unknown version, or two runs of one benchmark.
    """
    samples: list[LoggedSample] = []
    notes: list[str] = []
    seen: dict[str, Path] = {}
    for path in paths:
        header, rows = _eval(path) if zipfile.is_zipfile(path) else _json(path)
        if (version := header.get("version")) not in VERSIONS:
            known = " and ".join(map(str, VERSIONS))
            raise DataError(f"{path} is a log of version {version!r} of {KIND}; versions {known} are known")
        about = header.get("eval") or {}
        benchmark = str(about.get("task") or path.stem)
        if benchmark in seen:
            raise DataError(
                f"{source} has two runs of {benchmark}, {seen[benchmark].name} and {path.name}; give one of them"
            )
        seen[benchmark] = path
        if (status := header.get("status")) != "success":
            notes.append(f"{path.name}: the run did not end well ({status}): its tasks may not be all there")
        own = [_sample(benchmark, row, about, f"{path}, a sample") for row in rows]
        samples += own
        wanted = ((about.get("config") or {}).get("epochs") or 1) * len({sample.task for sample in own})
        if own and wanted > len(own):
            notes.append(f"{path.name}: {wanted - len(own)} of {wanted} samples are not in the log")
        if not own:
            notes.append(f"{path.name}: there is no sample in it")
    return Log(source, KIND, tuple(samples), tuple(notes))


def _eval(path: Path) -> tuple[Mapping[str, Any], Iterator[Mapping[str, Any]]]:
    """The header and the samples of a `.eval` file; samples one by one, since each may be large."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{path} cannot be opened as a zip file: {error}") from None
    # A sample that was run again stands in it twice, and counts as it was last.
    members = {member.filename: member for member in archive.infolist()}
    head = next((name for name in ("header.json", "_journal/start.json") if name in members), None)
    if head is None:
        raise DataError(f"{path} is no log of {KIND}: it has neither header.json nor _journal/start.json")
    header = dict(_object(read_member(archive, members[head]), f"{path}, {head}"))
    header.setdefault("status", "started")

    def samples() -> Iterator[Mapping[str, Any]]:
        with archive:
            for name, member in members.items():
                if name.startswith("samples/") and name.endswith(".json"):
                    yield _object(read_member(archive, member), f"{path}, {name}")

    return header, samples()


def _json(path: Path) -> tuple[Mapping[str, Any], Iterator[Mapping[str, Any]]]:
    data = _object(path.read_bytes(), str(path))
    if not is_inspect(data):
        raise DataError(f"{path} is no log of {KIND}: an object with version, status and eval is expected")
    return data, iter([row for row in data.get("samples") or [] if isinstance(row, Mapping)])


def _object(content: bytes, place: str) -> Mapping[str, Any]:
    try:
        data = parse_json(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place} is not JSON that can be read: {error}") from None
    if not isinstance(data, Mapping):
        raise DataError(f"{place} holds {type(data).__name__}, not an object")
    return data


def _sample(benchmark: str, row: Mapping[str, Any], about: Mapping[str, Any], place: str) -> LoggedSample:
    if "id" not in row:
        raise DataError(f"{place} has no id; of which version of {KIND} is the log?")
    scores: dict[str, float | None] = {}
    why = ""
    for name, score in (row.get("scores") or {}).items():
        for measure, value in _parts(str(name), score.get("value") if isinstance(score, Mapping) else None):
            scores[measure] = _value(value)
            if scores[measure] is None:
                why = "no value" if is_missing(value) else f"the value {str(value)[:_SHOWN]!r} is no number"
    error = row.get("error")
    if error:
        why = str(error.get("message") if isinstance(error, Mapping) else error)[:200]
    elif not scores:
        why = "no score"
    if row.get("invalidation"):
        scores, why = dict.fromkeys(scores), "the sample was declared invalid"
    columns = {
        "id": row["id"],
        "epoch": row.get("epoch"),
        "model": about.get("model"),
        "target": row.get("target"),
        "metadata": row.get("metadata") or {},
        "total_time": row.get("total_time"),
    }
    return LoggedSample(benchmark, _task(row), scores, why, columns)


def _task(row: Mapping[str, Any]) -> str:
    """The id, with a hash of the input: where a data set has no ids of its own they are places in it."""
    shown = row.get("input")
    if isinstance(shown, list):
        # Messages have ids of their own, made at random.
        shown = [[each.get("role"), each.get("content")] for each in shown if isinstance(each, Mapping)]
    return f"{row['id']}:{hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:8]}"


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A score as measures: a dict is one for each of its keys."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield f"{name}.{key}", part
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield f"{name}.{place}", part
    else:
        yield name, value


def _value(value: Any) -> float | None:
    """A value as a number; None where it is none."""
    if is_missing(value) and not (isinstance(value, str) and value.strip().lower() == "n"):
        return None
    if isinstance(value, str) and (letter := _LETTERS.get(value.strip().lower())) is not None:
        return letter
    try:
        return number(value)
    except ValueError:
        return None
