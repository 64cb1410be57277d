"""A check that the published numbers of a sweep follow from the answers that are kept of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from assay.errors import RunFolderError
from assay.evaluation.sweep.kept import KeptRun, read_runs
from assay.evaluation.sweep.table import markdown, number, tabulate

TESTED = ("before", "after", "gain", "reward_gain", "readings")
"""Keys of a summary that hold the closing test."""
TOLERANCE = 1e-9
SIDES = {"before", "after"}


def recompute_table(folder: Path, runs: Sequence[KeptRun] | None = None) -> dict[str, Any]:
    """The table of a published sweep, from the summaries of its runs, which are read unless they are given.

    Raises:
        RunFolderError: the folder holds no published sweep, or its table cannot be read.
    """
    try:
        said = json.loads((folder / "table.json").read_text(encoding="utf-8"))
        runs = runs or read_runs(folder)
        summaries = {(run.cell, run.seed): run.summary for run in runs}
        tests = {(run.cell, run.seed): run.test for run in runs if {side for side, _ in run.answers} >= SIDES}
        listed = [
            {
                **run,
                "values": {key: number(summaries.get((run["cell"], run["seed"]), {}), key) for key in said["tabulate"]},
            }
            for run in said["runs"]
        ]
        return tabulate(said["name"], said["tabulate"], said["cells"], listed, tests)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{folder / 'table.json'} is no table of a sweep: {error!r}") from None


def differences(folder: Path, runs: Sequence[KeptRun] | None = None) -> list[str]:
    """Return the differences between a published sweep and what its kept answers and summaries give, with both numbers;
    empty where all is as it should be. Its runs are read unless they are given.

    Raises:
        RunFolderError: the folder holds no published sweep.
    """
    runs = runs or read_runs(folder)
    found = [difference for run in runs for difference in _of_run(run)]
    table = recompute_table(folder, runs)
    said = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    found += [f"table.json: {difference}" for difference in _between("", said, table)]
    if not found and (folder / "table.md").read_text(encoding="utf-8") != markdown(table):
        found.append("table.md is not the table of table.json")
    return found


def _of_run(run: KeptRun) -> Iterator[str]:
    if run.answers:
        recomputed = run.test.to_dict()
        for key in TESTED:
            if key in run.summary:
                for difference in _between(key, run.summary[key], recomputed.get(key)):
                    yield f"{run.cell} seed {run.seed}: {difference}"


def _between(name: str, said: Any, recomputed: Any) -> Iterator[str]:
    """Yield the differences between two values that JSON can hold; numbers may differ by rounding."""
    if isinstance(said, dict) and isinstance(recomputed, dict):
        # What a summary of an earlier version does not say yet is no difference.
        for key in said:
            # How long answers were was not kept of every run.
            if key != "mean_tokens" or recomputed.get(key):
                yield from _between(f"{name}.{key}".lstrip("."), said.get(key), recomputed.get(key))
    elif isinstance(said, list) and isinstance(recomputed, list) and len(said) == len(recomputed):
        for index, (one, other) in enumerate(zip(said, recomputed, strict=True)):
            yield from _between(f"{name}[{index}]", one, other)
    elif isinstance(said, float) and isinstance(recomputed, float):
        if not math.isclose(said, recomputed, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield f"{name} is {said}, recomputed {recomputed}"
    elif said != recomputed:
        yield f"{name} is {said!r}, recomputed {recomputed!r}"
