"""Logs of lm-evaluation-harness: the `samples_TASK_DATE.jsonl` files that `--log_samples` writes.

A row is a document *and a filter* (strict-match, flexible-extract): rows of one document are one sample, and what a
filter made of it is a measure of its own, "exact_match,strict-match", named as the package's tables do. Log-likelihoods
stand in it as text; scores are read from the metrics that a row names, never from them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from assay.environments.data_files import read_rows
from assay.errors import DataError
from assay.evaluation.logs.log import Log, LoggedSample
from assay.evaluation.table import is_missing, number

KIND = "lm-evaluation-harness"
FILES = "samples_*.jsonl"
_FILE = re.compile(r"samples_(?P<task>.+)_\d{4}-\d{2}-\d{2}T[^/]*\.jsonl")
_NOT_METRICS = frozenset(
    [
        "doc_id",
        "doc",
        "target",
        "arguments",
        "resps",
        "filtered_resps",
        "filter",
        "metrics",
        "doc_hash",
        "prompt_hash",
        "target_hash",
    ]
)


def is_lm_eval(row: Mapping[str, Any]) -> bool:
    """Return True for a row as `--log_samples` writes them."""
    return {"doc_id", "filtered_resps", "target"} <= row.keys()


def read_lm_eval(paths: Iterable[Path], source: str) -> Log:
    """The samples of files, one file a benchmark.

    Raises:
        DataError: a row that is none of this package's, or two runs of one benchmark.
    """
    samples: list[LoggedSample] = []
    seen: dict[str, Path] = {}
    unread: Counter[str] = Counter()
    for path in paths:
        named = _FILE.fullmatch(path.name)
        benchmark = named["task"] if named else path.stem
        if benchmark in seen:
            raise DataError(
                f"{source} has two runs of {benchmark}, {seen[benchmark].name} and {path.name}; give one of them"
            )
        seen[benchmark] = path
        by_document: dict[str, dict[str, Any]] = {}
        for place, row in read_rows(str(path)):
            if not is_lm_eval(row):
                raise DataError(
                    f"{place} is no row of {KIND} (doc_id, target, filtered_resps); of which version is it?"
                )
            # Documents that changed under their number are other documents.
            task = f"{row['doc_id']}:{str(row.get('doc_hash') or '')[:8]}".rstrip(":")
            own = by_document.setdefault(task, {"columns": {}, "scores": {}})
            own["columns"] |= {"doc_id": row["doc_id"], "doc": row.get("doc"), "target": row.get("target")}
            for name, value in _metrics(row):
                measure = f"{name},{row.get('filter') or 'none'}"
                if measure in own["scores"]:
                    raise DataError(
                        f"{place}: document {row['doc_id']} has {measure!r} twice; are there two runs in it?"
                    )
                try:
                    own["scores"][measure] = None if is_missing(value) else number(value)
                except ValueError:
                    # Perplexities, F1 and the like are of all documents together: a row has only their parts.
                    unread[measure] += 1
        samples += [
            LoggedSample(
                benchmark, task, own["scores"], "no metric in its row" if not own["scores"] else "", own["columns"]
            )
            for task, own in by_document.items()
        ]
    notes = [f"{measure} is no score of a single document, and left out" for measure in unread]
    return Log(source, KIND, tuple(samples), tuple(notes))


def _metrics(row: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    named = row.get("metrics")
    names = named if isinstance(named, list) else [key for key in row if key not in _NOT_METRICS]
    return ((str(name), row[name]) for name in names if name in row)
