"""The small files behind a sweep's results page: the table, each cell's curve over seeds, every answer.

FOLDER/table.md, table.json       as in the sweep's folder
FOLDER/gains.png                  every cell's gain, its seeds and their interval, where gains are tabulated
FOLDER/CELL/curve.csv, curve.png  held-out accuracy over training: mean over seeds, with its interval over seeds
FOLDER/summaries.json             what each run says of itself
FOLDER/rows.jsonl.xz              every answer to a test task, before and after; what runs share is written once
FOLDER/steps.csv.xz               every metric of every step
"""

from __future__ import annotations

import csv
import math
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.errors import RunFolderError
from assay.evaluation.sweep.kept import (
    ROWS,
    STEPS,
    SUMMARIES,
    closing_answers,
    write_rows,
    write_steps,
    write_summaries,
)
from assay.evaluation.sweep.spec import Sweep
from assay.evaluation.sweep.table import write_table
from assay.observe.curves import natural_key
from assay.observe.folder import read_json, write_json
from assay.observe.plots import plot_cells, plot_evaluations
from assay.observe.records import EvaluationRecord
from assay.observe.store import BEFORE_TRAINING, STORE_NAME, RunStore
from assay.statistics import t_interval

PLACES = ("model", "model_folder", "commands")
"""Keys of a summary that say where things lie."""
GAIN = "gain.value"
STRICT = ("validation", "greedy", "strict")
"""Split, decoding and reading of the curve."""


def publish(sweep: Sweep, output: Path, folder: Path) -> Path:
    """Writes the files of a results page from a sweep's kept results, however much of it there is yet.

    Returns:
        The folder.

    Raises:
        RunFolderError: no run of the sweep has finished.
    """
    if folder.resolve() == output.resolve():
        raise RunFolderError(f"{folder} is the sweep's own folder; publish to another one")
    table = write_table(sweep, output)
    runs = [run for run in sweep.runs() if (output / "results" / run.path / "summary.json").is_file()]
    if not runs:
        raise RunFolderError(f"no run of {sweep.settings.name} has finished in {output}; there is nothing to publish")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(table, folder / table.name)
    data = read_json(output / "table.json")
    # Where things lay on the machine that ran them is nobody's business.
    for cell in data["cells"]:
        cell["recipe"] = Path(cell["recipe"]).name
    write_json(folder / "table.json", data)
    draw_gains(folder / "gains.png", data)
    evaluations: dict[str, list[EvaluationRecord]] = defaultdict(list)
    summaries, answers, metrics = {}, {}, {}
    for run in runs:
        results, name = output / "results" / run.path, (run.cell.name, run.seed)
        summary = read_json(results / "summary.json")
        summaries[name] = {key: summary[key] for key in summary if key not in PLACES}
        if (results / STORE_NAME).is_file():
            with RunStore.open_readonly(results) as store:
                evaluations[run.cell.name] += store.evaluations()
                answers[name] = closing_answers(store)
                metrics[name] = store.metrics()
    write_summaries(folder / SUMMARIES, summaries)
    write_rows(folder / ROWS, answers)
    write_steps(folder / STEPS, metrics)
    for name, records in evaluations.items():
        series = curve_over_seeds(records)
        if series:
            (folder / name).mkdir(exist_ok=True)
            _write_curve(folder / name / "curve.csv", series)
            plot_evaluations(folder / name / "curve.png", "Held-out accuracy, mean over seeds", series)
    return folder


def draw_gains(path: Path, table: Mapping[str, Any]) -> None:
    """Draws the gains in a table.json; nothing where it has none."""
    values, intervals = {}, {}
    for cell in table["cells"]:
        runs = [run["values"].get(GAIN) for run in table["runs"] if run["cell"] == cell["name"]]
        if found := [100 * value for value in runs if value is not None]:
            values[cell["name"]] = found
            column = cell["columns"][GAIN]
            if "low" in column:
                intervals[cell["name"]] = (100 * column["low"], 100 * column["high"])
    if values:
        plot_cells(path, "Gain of each seed, with 95 % intervals of the mean", "gain, points", values, intervals)


def curve_over_seeds(records: Iterable[EvaluationRecord]) -> dict[str, list[EvaluationRecord]]:
    """Validation accuracy of several runs, by level: at each step the mean over the runs that reached it, with its
    95 % t interval; None for low and high where one run did. `num_tasks` is the number of runs."""
    values: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        if (record.split, record.decoding, record.reading) == STRICT and record.accuracy is not None:
            values[record.level][record.step].append(record.accuracy)
    return {
        level: [_over_seeds(level, step, values[level][step]) for step in sorted(values[level])]
        for level in sorted(values, key=natural_key)
    }


def _over_seeds(level: str, step: int, accuracies: Sequence[float]) -> EvaluationRecord:
    interval = t_interval(accuracies) if len(accuracies) > 1 else None
    split, decoding, reading = STRICT
    return EvaluationRecord(
        step=step,
        split=split,
        decoding=decoding,
        reading=reading,
        level=level,
        accuracy=math.fsum(accuracies) / len(accuracies),
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        num_tasks=len(accuracies),
        num_not_measured=0,
    )


def _write_curve(path: Path, series: dict[str, list[EvaluationRecord]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["level", "updates", "num_seeds", "accuracy", "low", "high"])
        for level, records in series.items():
            for r in records:
                bounds = ["" if bound is None else f"{bound:.4f}" for bound in (r.low, r.high)]
                writer.writerow([level, r.step - BEFORE_TRAINING, r.num_tasks, f"{r.accuracy:.4f}", *bounds])
