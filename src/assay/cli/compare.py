"""`assay compare BEFORE AFTER`: two kept evaluations of the same tasks, in pairs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.errors import DataError, RunFolderError

if TYPE_CHECKING:
    from assay.evaluation import Evaluation
    from assay.statistics import Interval, PairedDifference


def compare(
    before: Annotated[Path, typer.Argument(help="Folder of an evaluation, as `assay eval` prints it.")],
    after: Annotated[Path, typer.Argument(help="Folder of another one, of the same tasks.")],
    output: Annotated[
        Path | None, typer.Option(help="Write the differences to this JSON file too.", show_default=False)
    ] = None,
) -> None:
    """Compare two evaluations of the same tasks, task by task: gains with 95 % intervals and a paired test.

    Two models, one model with two prompts or temperatures, or a checkpoint before and after training. The gain that
    may be claimed is the smallest over the readings.
    """
    from rich.console import Console
    from rich.table import Table

    from assay.evaluation import cautions, smallest_gain
    from assay.evaluation import compare as compare_evaluations
    from assay.observe.folder import write_json
    from assay.observe.visible import visible

    first, second = read_evaluation(before), read_evaluation(after)
    _check_same(before, first, after, second)
    readings = [reading for reading in first.readings if reading in second.readings]
    console = Console(highlight=False)
    table = Table(title=f"{first.num_tasks} tasks, 95 % intervals over tasks")
    for name in ("level", "reading", "before", "after", "gain, points", "better, worse", "p"):
        table.add_column(name, justify="left" if name in ("level", "reading") else "right")
    levels = {level: (part, second.by_level()[level]) for level, part in first.by_level().items()}
    horizons = first.by_horizon()
    if 1 < len(horizons) < len(levels):
        levels |= {horizon: (part, second.by_horizon()[horizon]) for horizon, part in horizons.items()}
    if len(first.by_level()) > 1:
        levels["all"] = (first, second)
    found: dict[str, dict[str, Any]] = {}
    for level, (old, new) in levels.items():
        for reading in readings:
            gain = compare_evaluations(old, new, reading)
            found.setdefault(level, {})[reading] = gain.to_dict()
            accuracies = [part.accuracy(reading).as_percent() for part in (old, new)]
            changes = f"{gain.num_improved}, {gain.num_worsened}"
            table.add_row(level, reading, *accuracies, _points(gain), changes, f"{gain.p_value:.2g}")
    console.print(table)
    chances = {reading: _pass_at_k(first, second, reading) for reading in readings}
    for reading, by_k in chances.items():
        for k, (old, new) in by_k.items():
            console.print(f"pass@{k}, {reading}: before {old.as_percent()}, after {new.as_percent()}", markup=False)
    for line in _differences(first, second):
        console.print(visible(line), markup=False)
    claimed = smallest_gain({("", reading): (first, second) for reading in readings})
    console.print(f"gain: {_points(claimed.difference)} points, the smallest of the readings ({claimed.reading})")
    notes = cautions(second, claimed.reading)
    for note in notes:
        console.print(f"caution, after: {note}", markup=False)
    if output is not None:
        claim = {**claimed.difference.to_dict(), "reading": claimed.reading}
        pass_at_k = {
            reading: {k: {"before": old.to_dict(), "after": new.to_dict()} for k, (old, new) in by_k.items()}
            for reading, by_k in chances.items()
        }
        write_json(output, {"levels": found, "pass_at_k": pass_at_k, "claimed": claim, "cautions": notes})
        console.print(f"written: {output}", soft_wrap=True)


def _differences(first: Evaluation, second: Evaluation) -> list[str]:
    """Return sentences about what differs beside the answers: settings of the environment, the scaffold, and turns."""
    from assay.evaluation.folder import flatten, shown

    old, new = (flatten(_world(part.settings)) for part in (first, second))
    lines = [
        f"{key}: {shown(old, key)} before, {shown(new, key)} after"
        for key in sorted(old.keys() | new.keys())
        if shown(old, key) != shown(new, key)
    ]
    if first.takes_turns or second.takes_turns:
        for side, part in (("before", first), ("after", second)):
            turns = "turns not counted" if part.mean_turns is None else f"{part.mean_turns:.1f} turns on average"
            ended = ", ".join(f"{how} {count}" for how, count in part.ended().items())
            lines.append(f"{side}: {turns}; ended: {ended}")
    return lines


def _world(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What was put around the model; the plain scaffold is not recorded."""
    return {
        "environment": settings.get("environment") or {},
        "scaffold": settings.get("scaffold") or {"name": "plain"},
    }


def _pass_at_k(first: Evaluation, second: Evaluation, reading: str) -> dict[int, tuple[Interval, Interval]]:
    """pass@k before and after, for the powers of two of which each task has as many measured samples on both sides."""
    fewest = min(measured for side in (first, second) for measured, _ in side.counts(reading).values())
    ks = [2**power for power in range(1, 17) if 2**power <= fewest]
    return {k: (first.pass_at_k(reading, k), second.pass_at_k(reading, k)) for k in ks}


def _points(gain: PairedDifference) -> str:
    return f"{100 * gain.value:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"


def read_evaluation(folder: Path) -> Evaluation:
    """The evaluation in a folder, which has ended.

    Raises:
        RunFolderError: there is none.
    """
    from assay.evaluation import Evaluation
    from assay.evaluation.folder import read_rows

    if not (folder / "scores.json").is_file():
        raise RunFolderError(
            f"{folder} holds no finished evaluation (no scores.json); give a folder that `assay eval` printed, or run "
            "its command again to finish it"
        )
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))["settings"]
    return Evaluation(tuple(read_rows(folder / "rows.jsonl")), settings)


def _check_same(before: Path, first: Evaluation, after: Path, second: Evaluation) -> None:
    if set(first.task_ids) != set(second.task_ids):
        shared = len(set(first.task_ids) & set(second.task_ids))
        raise DataError(
            f"{before} has {first.num_tasks} tasks and {after} {second.num_tasks}, {shared} of them the same; evaluate "
            "both on the same tasks: the same environment, options, levels, --num-tasks and --seed"
        )
    if not set(first.readings) & set(second.readings):
        raise DataError(
            f"{before} was read by {', '.join(first.readings)} and {after} by {', '.join(second.readings)}: no reading "
            "to compare; give both the same --verifier"
        )
    for reading in set(first.readings) & set(second.readings):
        one, other = (_verifier(evaluation.settings, reading) for evaluation in (first, second))
        if one != other:
            raise DataError(
                f"{reading} is {json.dumps(one)} in {before} and {json.dumps(other)} in {after}; give both the same "
                "--verifier or --recipe"
            )


def _verifier(settings: Mapping[str, Any], reading: str) -> Any:
    return settings.get("verifiers", {}).get(reading)
