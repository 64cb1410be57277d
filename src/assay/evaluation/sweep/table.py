"""The table of a sweep, from its kept results alone: each cell with intervals, then each run.

What a closing test measured has an interval over seeds and tasks; everything else one over seeds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.evaluation.before_after import BeforeAfter
from assay.evaluation.over_seeds import accuracy_over_seeds, gain_over_seeds
from assay.evaluation.sweep.kept import closing_answers, closing_test
from assay.evaluation.sweep.runner import read_state
from assay.evaluation.sweep.spec import Sweep, SweepRun
from assay.observe.folder import write_json
from assay.observe.store import STORE_NAME, RunStore
from assay.statistics import Interval, detectable_difference, t_interval

SUMMARY = "summary.json"
Tests = Mapping[tuple[str, int], BeforeAfter]
"""(cell, seed) to its closing test."""
_ABSENT = "-"


def write_table(sweep: Sweep, output: Path) -> Path:
    """Writes table.md and table.json from results/, however much of the sweep there is yet.

    A run that has not finished, or whose summary lacks a key, is counted and left out of that mean; never taken as 0.

    Returns:
        The path of table.md.
    """
    runs = [_result(sweep, run, output) for run in sweep.runs()]
    cells = [{"name": c.name, "recipe": str(c.recipe), "overrides": list(c.overrides)} for c in sweep.cells]
    tests = {(run.cell.name, run.seed): test for run in sweep.runs() if (test := _test(output / "results" / run.path))}
    data = tabulate(sweep.settings.name, sweep.settings.tabulate, cells, runs, tests)
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "table.json", data)
    path = output / "table.md"
    path.write_text(markdown(data), encoding="utf-8")
    return path


def _test(results: Path) -> BeforeAfter | None:
    """The closing test that a run's results hold."""
    if not (results / STORE_NAME).is_file():
        return None
    with RunStore.open_readonly(results) as store:
        return closing_test(closing_answers(store))


def tabulate(
    name: str,
    keys: Sequence[str],
    cells: Sequence[Mapping[str, Any]],
    runs: Sequence[Mapping[str, Any]],
    tests: Tests,
) -> dict[str, Any]:
    """The table as JSON.

    Args:
        keys: the columns.
        cells: each with `name`, `recipe` and `overrides`.
        runs: each with `cell`, `seed`, `state` and `values`, a number or None by key.
        tests: what is there of them; without, every interval is over seeds alone.
    """
    return {
        "name": name,
        "tabulate": list(keys),
        "cells": [_cell(cell, keys, runs, tests) for cell in cells],
        "detectable_difference": {key: _detectable(cells, key, runs) for key in keys},
        "runs": list(runs),
    }


def _result(sweep: Sweep, run: SweepRun, output: Path) -> dict[str, Any]:
    state = read_state(run, output)
    summary: Any = {}
    if state.get("state") == "finished":
        try:
            summary = json.loads((output / "results" / run.path / SUMMARY).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            summary = {}
    return {
        "cell": run.cell.name,
        "seed": run.seed,
        "state": state.get("state", "not started"),
        "values": {key: number(summary, key) for key in sweep.settings.tabulate},
    }


def number(summary: Any, key: str) -> float | None:
    """The finite number under a dotted key, or its "value" where an interval stands there; None where there is none."""
    value = summary
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, dict):
        value = value.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def _cell(
    cell: Mapping[str, Any], keys: Sequence[str], runs: Sequence[Mapping[str, Any]], tests: Tests
) -> dict[str, Any]:
    own = [run for run in runs if run["cell"] == cell["name"]]
    columns: dict[str, Any] = {}
    for key in keys:
        valued = [run for run in own if run["values"][key] is not None]
        values = [run["values"][key] for run in valued]
        columns[key] = {"num_seeds": len(values), "mean": math.fsum(values) / len(values) if values else None}
        if len(values) > 1:
            interval = t_interval(values)
            columns[key] |= {"low": interval.low, "high": interval.high, "over": "seeds"}
            if both := _over_both(key, [tests.get((run["cell"], run["seed"])) for run in valued]):
                # About the mean of the runs' own numbers, which may be of more tasks than all of them measured.
                low, high = interval.value - (both.value - both.low), interval.value + (both.high - both.value)
                columns[key] |= {"low": low, "high": high, "over": "seeds and tasks"}
    return {
        "name": cell["name"],
        "recipe": cell["recipe"],
        "overrides": list(cell["overrides"]),
        "num_seeds": len(own),
        "num_finished": sum(run["state"] == "finished" for run in own),
        "columns": columns,
    }


def _over_both(key: str, found: Sequence[BeforeAfter | None]) -> Interval | None:
    """Interval over seeds and tasks of what the runs claim; None where the key is nothing that tasks have, or the tests
    of all runs, on the same tasks, are not there."""
    tests = [test for test in found if test is not None]
    side, _, horizon = key.partition(".by_horizon.")
    side, _, environment = side.partition(".by_environment.")
    wanted = f"{side}.accuracy" if horizon or environment else key
    if len(tests) < len(found) or wanted not in ("before.accuracy", "after.accuracy", "gain.value"):
        return None
    readings = [test.claimed.reading for test in tests]
    before, after = (
        [side[test.claimed.decoding] for side, test in zip(sides, tests, strict=True)]
        for sides in ([test.before for test in tests], [test.after for test in tests])
    )
    if key == "gain.value":
        return gain_over_seeds(before, after, readings)
    sampled = before if wanted == "before.accuracy" else after
    if horizon or environment:
        parts = [
            evaluation.by_horizon().get(horizon) if horizon else evaluation.by_environment().get(environment)
            for evaluation in sampled
        ]
        sampled = [part for part in parts if part is not None]
        if len(sampled) < len(parts):
            return None
    return accuracy_over_seeds(sampled, readings)


def _detectable(cells: Sequence[Mapping[str, Any]], key: str, runs: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the smallest difference that a comparison of two cells could have found; None where there is nothing to
    compare."""
    by_cell = [[run["values"][key] for run in runs if run["cell"] == cell["name"]] for cell in cells]
    return detectable_difference([[value for value in values if value is not None] for values in by_cell])


def markdown(data: dict[str, Any]) -> str:
    keys = data["tabulate"]
    lines = [
        f"# {data['name']}",
        "",
        "Mean over seeds, with its 95 % interval: over seeds and tasks for what the closing test measured, where its",
        "answers are kept, and else Student's over seeds. A single seed has no interval.",
        "",
        *_head(["cell", "seeds", *keys]),
    ]
    for cell in data["cells"]:
        shown = [_mean(cell["columns"][key], cell["num_seeds"]) for key in keys]
        lines.append(_line([cell["name"], f"{cell['num_finished']} of {cell['num_seeds']}", *shown]))
    detectable = data["detectable_difference"]
    if any(value is not None for value in detectable.values()):
        shown = [_ABSENT if detectable[key] is None else f"{detectable[key]:.3g}" for key in keys]
        lines += [
            _line(["smallest detectable difference", "", *shown]),
            "",
            "The last row: the smallest true difference between two cells that a t test at 5 % would have found four",
            "times in five, its spread pooled over all cells. Smaller ones may be there and were not seen.",
        ]
    lines += ["", "## Runs", "", *_head(["cell", "seed", "state", *keys])]
    for run in data["runs"]:
        shown = [_ABSENT if run["values"][key] is None else f"{run['values'][key]:.4g}" for key in keys]
        lines.append(_line([run["cell"], str(run["seed"]), run["state"], *shown]))
    return "\n".join(lines) + "\n"


def _mean(column: dict[str, Any], num_seeds: int) -> str:
    if column["mean"] is None:
        return _ABSENT
    text = f"{column['mean']:.4g}"
    if "low" in column:
        text += f" [{column['low']:.4g}, {column['high']:.4g}]"
    return text if column["num_seeds"] == num_seeds else f"{text} ({column['num_seeds']} of {num_seeds} seeds)"


def _head(names: Sequence[str]) -> list[str]:
    return [_line(names), "|" + " --- |" * len(names)]


def _line(texts: Sequence[str]) -> str:
    return "| " + " | ".join(texts) + " |"
