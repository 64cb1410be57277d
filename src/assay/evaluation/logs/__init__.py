"""Evaluations that other packages logged, as samples by task: inspect-ai, lm-evaluation-harness, or any table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from assay.environments.data_files import read_rows
from assay.environments.values import parse_json
from assay.errors import DataError
from assay.evaluation.folder import read_whole
from assay.evaluation.logs import inspect, lm_eval
from assay.evaluation.logs.compare import LogComparison, compare_logs
from assay.evaluation.logs.log import Log, LoggedSample
from assay.evaluation.table import Row, is_missing, name, number, value_at


@dataclass(frozen=True)
class TableColumns:
    """The columns of a table of samples."""

    task: str
    scores: tuple[str, ...]
    benchmark: str | None = None
    """The column that parts the rows into benchmarks; None where they are of one."""


def open_log(source: str, columns: TableColumns | None = None) -> Log:
    """The log in a file or folder, whichever package wrote it.

    Args:
        source: a folder that `assay eval` made; a `.eval` or JSON log of inspect-ai; a `samples_*.jsonl` of
            lm-evaluation-harness; a folder of either; or with `columns` a table, a sample in each row.

    Raises:
        DataError: it is none of these, or cannot be read.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return _folder(path)
    if path.suffix == ".eval":
        return inspect.read_inspect([path], source)
    if columns is not None:
        return _table(source, columns)
    if path.suffix == ".json" and path.is_file() and _is_inspect(path):
        return inspect.read_inspect([path], source)
    _, first = next(read_rows(source), ("", {}))
    if lm_eval.is_lm_eval(first):
        return lm_eval.read_lm_eval([path], source)
    raise DataError(
        f"{source} is no log of {inspect.KIND} or {lm_eval.KIND}; if it is a table, say which of its columns names the "
        f"task and which is the score: --task COLUMN --score COLUMN. It has {', '.join(map(repr, first)) or 'no rows'}"
    )


def log_rows(source: str) -> list[Row]:
    """The rows of a table, or of a log as a table: a sample in each, with its scores by measure.

    Raises:
        DataError: it cannot be read, or is a log of which no sample was measured.
    """
    path = Path(source).expanduser()
    if path.is_dir() or path.suffix == ".eval" or (path.suffix == ".json" and path.is_file() and _is_inspect(path)):
        return _measured_rows(open_log(source))
    rows = list(read_rows(source))
    if rows and lm_eval.is_lm_eval(rows[0][1]) and path.is_file():
        return _measured_rows(open_log(source))
    return list(rows)


def _measured_rows(log: Log) -> list[Row]:
    if log.samples and not any(sample.scores for sample in log.samples):
        ((why, count),) = Counter(sample.why or "no score" for sample in log.samples).most_common(1)
        raise DataError(f"no sample of {log.source} was measured; of {len(log.samples)}, {count}: {why}")
    return log.rows()


def _folder(path: Path) -> Log:
    if (path / "rows.jsonl").is_file():
        return of_evaluation(path)
    if found := sorted(path.rglob(inspect.FILES)):
        return inspect.read_inspect(found, str(path))
    if found := sorted(path.rglob(lm_eval.FILES)):
        return lm_eval.read_lm_eval(found, str(path))
    if found := [each for each in sorted(path.glob("*.json")) if _is_inspect(each)]:
        return inspect.read_inspect(found, str(path))
    raise DataError(
        f"{path} holds no evaluation: neither of assay eval (rows.jsonl), nor of {inspect.KIND} ({inspect.FILES}), nor "
        f"of {lm_eval.KIND} ({lm_eval.FILES})"
    )


def _is_inspect(path: Path) -> bool:
    try:
        return inspect.is_inspect(parse_json(path.read_bytes()))
    except (ValueError, RecursionError):
        return False


def of_evaluation(folder: Path) -> Log:
    """A kept evaluation of Assay's own as a log; its readings are the measures."""
    rows = read_whole(folder)
    samples = tuple(
        LoggedSample(
            row.domain,
            row.task_id,
            {reading: score.value for reading, score in row.scores.items()},
            next((score.reason for score in row.scores.values() if not score.measured), ""),
            {"level": row.level, "complexity": row.complexity, "horizon": row.horizon, "sample": row.sample}
            | {"num_tokens": row.num_tokens, "num_turns": row.num_turns},
        )
        for row in rows
    )
    return Log(str(folder), "assay", samples)


def _table(source: str, columns: TableColumns) -> Log:
    samples = []
    rows = list(read_rows(source))
    wanted = [columns.task, *columns.scores, *([columns.benchmark] if columns.benchmark else [])]
    for column in wanted:
        if rows and not any(value_at(row, column) is not None for _, row in rows):
            names = ", ".join(map(repr, rows[0][1]))
            raise DataError(f"{source} has no value in a column {column!r}; it has {names}")
    for place, row in rows:
        if is_missing(task := value_at(row, columns.task)):
            raise DataError(f"{place} names no task in {columns.task!r}: what it would be paired with is not known")
        scores: dict[str, float | None] = {}
        for column in columns.scores:
            value = value_at(row, column)
            try:
                scores[column] = None if is_missing(value) else number(value)
            except ValueError as error:
                raise DataError(f"{place}: {column!r} is {value!r}; {error}") from None
        benchmark = "all" if columns.benchmark is None else name(value_at(row, columns.benchmark))
        samples.append(LoggedSample(benchmark, name(task), scores, columns=row))
    return Log(source, "table", tuple(samples))


__all__ = [
    "Log",
    "LogComparison",
    "LoggedSample",
    "TableColumns",
    "compare_logs",
    "log_rows",
    "of_evaluation",
    "open_log",
]
