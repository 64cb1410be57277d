"""`assay compare BEFORE AFTER`: two kept evaluations of the same tasks, in pairs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.common_options import output_file
from assay.cli.compare_logs import LogOptions, compare_logs
from assay.cli.groups import with_groups
from assay.cli.tables import tables_console
from assay.errors import DataError, RunFolderError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from assay.evaluation import Evaluation

MEASURES = {"pass@k": "pass_at_k", "pass^k": "pass_hat_k", "majority@k": "majority_at_k"}
"""Measures of several samples, with their keys in the JSON."""


@with_groups
def compare(
    before: Annotated[
        Path, typer.Argument(help="Folder of an evaluation, as `assay eval` prints it, or a log of another package.")
    ],
    after: Annotated[Path, typer.Argument(help="Another one, of the same tasks.")],
    logs: LogOptions,
    output: Annotated[
        Path | None,
        typer.Option(callback=output_file, help="Write the differences to this JSON file too.", show_default=False),
    ] = None,
) -> None:
    """Compare two evaluations of the same tasks, task by task: gains with 95 % intervals and a paired test.

    Two models, one model with two prompts or temperatures, or a checkpoint before and after training. The gain that
    may be claimed is the smallest over the readings.

    Logs of inspect-ai (.eval, .json) and of lm-evaluation-harness (samples_*.jsonl, from --log_samples), folders of
    them, and tables are compared alike, every benchmark and measure, with Holm's correction for their number:

        assay compare before/ after/ --measure exact_match,strict-match
        assay compare before.jsonl after.jsonl --task question_id --score correct
    """
    console = tables_console()
    if logs.any or not all(_is_ours(place) for place in (before, after)):
        compare_logs(before, after, logs, output, console)
        return
    first, second = read_evaluation(before), read_evaluation(after)
    _check_same(before, first, after, second)
    _compare(first, second, output, console)


def _compare(first: Evaluation, second: Evaluation, output: Path | None, console: Console) -> None:
    """Print the differences, and write them to a file."""
    from assay.evaluation import cautions, smallest_gains
    from assay.evaluation.of_k import gains_of_k
    from assay.observe.folder import write_json
    from assay.observe.visible import visible

    readings = [reading for reading in first.readings if reading in second.readings]
    table, found = _by_level(first, second, readings)
    console.print(table)
    of_k = {reading: gains_of_k(first, second, reading) for reading in readings}
    for reading, each in ((reading, each) for reading, of_reading in of_k.items() for each in of_reading):
        shown = f"{each.name}, {reading}: before {each.before.as_percent()}, after {each.after.as_percent()}"
        line = f"{shown}, gain {each.gain.as_text()}, p = {each.gain.p_value:.2g}"
        console.print(line, markup=False, soft_wrap=True)
    for line in _differences(first, second):
        console.print(visible(line), markup=False)
    claims = smallest_gains({("", reading): (first, second) for reading in readings})
    for unit, claim in claims.items():
        what, points = ("gain", " points") if unit == "share" else ("gain in mean reward", "")
        console.print(f"{what}: {claim.difference.as_text()}{points}, the smallest of the readings ({claim.reading})")
    claimed = next(iter(claims.values()))
    if "share" in claims:
        _print_noise_floor(first, second, claimed.reading, claimed.difference.value, console)
    notes = cautions(second, claimed.reading)
    for note in notes:
        console.print(f"caution, after: {note}", markup=False)
    if output is not None:
        measures: dict[str, dict[str, dict[int, Any]]] = {key: {} for key in MEASURES.values()}
        for reading, of_reading in of_k.items():
            for each in of_reading:
                measures[MEASURES[each.measure]].setdefault(reading, {})[each.k] = each.to_dict()
        claim = {unit: {**each.difference.to_dict(), "reading": each.reading} for unit, each in claims.items()}
        rewards = {"reward_gain": claim["reward"]} if "reward" in claim else {}
        first_claim = next(iter(claim.values()))
        write_json(output, {"levels": found, **measures, "claimed": first_claim, **rewards, "cautions": notes})
        console.print(f"written: {output}", soft_wrap=True)


def _by_level(
    first: Evaluation, second: Evaluation, readings: Sequence[str]
) -> tuple[Table, dict[str, dict[str, Any]]]:
    """A table of the gain in each of the evaluations' `parts`, and over all, under each reading; the same as data."""
    from rich.table import Table

    from assay.evaluation import compare as compare_evaluations

    table = Table(title=f"{first.num_tasks} tasks, 95 % intervals over tasks")
    unit = "gain" if any(first.lacks_verdicts(reading) for reading in readings) else "gain, points"
    for name in ("level", "reading", "before", "after", unit, "better, worse", "p"):
        table.add_column(name, justify="left" if name in ("level", "reading") else "right", overflow="fold")
    others = second.parts()
    levels = {name: (part, others[name]) for name, part in first.parts().items() if name in others}
    if len(levels) > 1:
        levels["all"] = (first, second)
    found: dict[str, dict[str, Any]] = {}
    for level, (old, new) in levels.items():
        for reading in readings:
            gain = compare_evaluations(old, new, reading)
            found.setdefault(level, {})[reading] = gain.to_dict()
            scores = [part.as_text(reading) for part in (old, new)]
            changes = f"{gain.num_improved}, {gain.num_worsened}"
            table.add_row(level, reading, *scores, gain.as_text(), changes, f"{gain.p_value:.2g}")
    return table, found


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
    """The scaffold that was put around the model; the plain one is not recorded."""
    return {
        "environment": settings.get("environment") or {},
        "scaffold": settings.get("scaffold") or {"name": "plain"},
    }


def _print_noise_floor(first: Evaluation, second: Evaluation, reading: str, gain: float, console: Console) -> None:
    """Print how far two evaluations of the model before would be apart, beside a gain that is no more than twice that;
    or that it is not known, beside a gain that may be nothing else."""
    from assay.statistics import noise_floor

    counts = [[count for count in part.counts(reading).values() if count[0]] for part in (first, second)]
    sizes = [sum(measured for measured, _ in side) / max(len(side), 1) for side in counts]
    floor = noise_floor(counts[0], (max(round(sizes[0]), 1), max(round(sizes[1]), 1)))
    if floor is not None and abs(gain) <= 2 * floor:
        within = "the gain is within it" if abs(gain) <= floor else "the gain is above it"
        console.print(
            f"noise floor: two evaluations of the model before differ by up to ±{100 * floor:.1f} points, 95 times in "
            f"100 ({reading}); {within}",
            soft_wrap=True,
        )
    temperature = (first.settings.get("sampling") or {}).get("temperature")
    if floor is None and temperature and abs(gain) < 0.05:
        console.print(
            "noise floor: not known from one sample a task; --samples 2 or more tells how far two evaluations of one "
            "model differ",
            soft_wrap=True,
        )


def _is_ours(place: Path) -> bool:
    """Return True for a folder of `assay eval`, finished or not, and for one that is not there or has nothing."""
    return not place.is_file() and ((place / "settings.json").is_file() or not any(place.glob("*")))


def read_evaluation(folder: Path) -> Evaluation:
    """The evaluation in a folder, which has ended.

    Raises:
        RunFolderError: there is none, or not all of it.
    """
    from assay.evaluation import Evaluation
    from assay.evaluation.folder import read_whole
    from assay.observe.folder import read_json

    if not (folder / "scores.json").is_file():
        raise RunFolderError(
            f"{folder} holds no finished evaluation (no scores.json); give a folder that `assay eval` printed, or run "
            "its command again to finish it"
        )
    settings = read_json(folder / "settings.json").get("settings")
    if not isinstance(settings, dict):
        raise RunFolderError(f"{folder / 'settings.json'} cannot be read: copy it once more, or run its command again")
    return Evaluation(tuple(read_whole(folder)), settings)


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
