"""`assay trajectories RUN...`: when runs learned what, side by side."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.common_options import keep_sources, output_file
from assay.cli.groups import with_groups
from assay.cli.tables import tables_console
from assay.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from assay.evaluation.trajectories import Compared, People, SeedRuns


MOST_KINDS = 4
"""Kinds of errors of a skill that are shown, the commonest; the JSON file has all."""


@dataclass(frozen=True)
class PeopleOptions:
    """Options for people beside the runs."""

    people: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="A table of people's trials (CSV, JSON lines, Parquet), a row a trial. May be given again.",
            show_default=False,
        ),
    ] = None
    person: Annotated[str, typer.Option(help="Its column of who made the trial.")] = "person"
    solved: Annotated[
        str, typer.Option(help="Column of what came of it: 0 to 1, or true and false; with --solved-at any number.")
    ] = "solved"
    skill: Annotated[
        str | None, typer.Option(help="Column of what it was a trial of, such as a level.", show_default=False)
    ] = None
    trial: Annotated[
        str | None,
        typer.Option(help="Column that orders a person's trials. Default: the table's order.", show_default=False),
    ] = None
    seconds: Annotated[
        str | None,
        typer.Option(help="Column of the seconds that it took: gives them --axis seconds.", show_default=False),
    ] = None
    solved_at: Annotated[
        float | None, typer.Option(help="Number, such as a rating, from which on it is solved.", show_default=False)
    ] = None
    error: Annotated[
        str | None,
        typer.Option(help="Column that names the kind of error of a failed trial.", show_default=False),
    ] = None
    people_block: Annotated[int, typer.Option(help="Trials of a person that make one probe.", min=1)] = 10

    def read(self) -> list[People]:
        """Return the people of each table."""
        from assay.evaluation.logs import log_rows
        from assay.evaluation.trajectories import PeopleColumns, read_people

        columns = PeopleColumns(
            self.person,
            self.solved,
            self.skill,
            self.trial,
            self.seconds,
            self.solved_at,
            self.people_block,
            self.error,
        )
        return [read_people(log_rows(file), columns, Path(file).name) for file in self.people or []]


@with_groups
def trajectories(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN...]",
            help="Runs, each a folder or a name; seeds of one setting are joined by commas: A1,A2,A3.",
        ),
    ] = None,
    *,
    beside: PeopleOptions,
    axis: Annotated[
        str, typer.Option(help="What training is measured in: sampled_tokens, trained_tokens, updates, seconds, steps.")
    ] = "sampled_tokens",
    threshold: Annotated[float, typer.Option(help="Solved share at which a level counts as reached.")] = 0.5,
    fit: Annotated[
        bool, typer.Option("--fit", help="Fit the saturating law, judged by its second half from its first.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(callback=output_file, help="Draw the curves into this file, .png or .svg.", show_default=False),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", callback=output_file, help="Write all numbers to this JSON file.", show_default=False),
    ] = None,
) -> None:
    """Show when runs learned what, on the held-out tasks that each measured as it went: tokens to a threshold, the area
    under the curve, plateaus, what was forgotten and relearned, the order of skills, and paired differences.

    With --people also when people learned what, by the same measures: trials to a threshold, and the order of skills,
    person by person. Intervals are over people then.
    """
    from assay.evaluation.trajectories import (
        SeedRuns,
        compare_trajectories,
        describe,
        describe_people,
        read_trajectory,
    )
    from assay.home import assay_home
    from assay.observe.folder import find_run, write_json

    if not 0.0 < threshold <= 1.0:
        raise ConfigError(f"--threshold {threshold:g} is no solved share; it is above 0 and at most 1")
    if plot is not None and plot.suffix.lower() not in (".png", ".svg"):
        raise ConfigError(f"--plot {plot}: pictures are .png or .svg")
    keep_sources((plot, json_file), *(beside.people or ()))
    sides = [
        SeedRuns(
            each, tuple(read_trajectory(find_run(name, assay_home() / "runs")) for name in each.split(",") if name)
        )
        for each in runs or []
    ]
    if empty := [side.name for side in sides if not side.runs]:
        raise ConfigError(f"{empty[0]!r} names no run")
    people = beside.read()
    if not sides and not people:
        raise ConfigError("name a run, or people's trials with --people FILE")
    console = tables_console()
    described = [describe(side, axis, threshold, fit=fit) for side in sides]
    for side in described:
        _show(console, side)
    # People know trials and seconds; of what a model's training is measured in beside, they have trials.
    of_people = "seconds" if axis == "seconds" else "trials"
    for each in people:
        described.append(describe_people(each, of_people, threshold, fit=fit))
        _show(console, described[-1])
    compared = {side.name: compare_trajectories(sides[0], side, axis) for side in sides[1:]}
    if len(sides) > 1:
        _show_differences(console, sides, compared)
    if plot is not None:
        _draw(plot, described)
        console.print(f"written: {plot}", soft_wrap=True)
    if json_file is not None:
        differences = {name: [each.to_dict() for each in found] for name, found in compared.items()}
        write_json(json_file, {"sides": described, "differences": differences})
        console.print(f"written: {json_file}", soft_wrap=True)


def _show(console: Console, side: dict[str, Any]) -> None:
    from rich.table import Table

    from assay.observe.visible import visible

    axis, threshold = side["axis"].replace("_", " "), f"{side['threshold']:.0%}"
    counted, of, drawn = ("people", "people", "trials") if "num_people" in side else ("tasks", "runs", "tasks")
    for run in side["runs"]:
        title = f"{visible(run['name'])}: {run['axes'][side['axis']][-1]:,.0f} {axis}, {len(run['steps'])} probes"
        table = Table(title=title, title_justify="left")
        for name in ("level", counted, "first", "last", f"{axis} to {threshold}", "area", "forgotten", "relearned"):
            table.add_column(name, justify="left" if name == "level" else "right", overflow="fold")
        for name, skill in run["skills"].items():
            became = skill["turnover"] or {}
            table.add_row(
                visible(name),
                str(skill["num_tasks"]),
                *(_percent(skill["solved"][index]) for index in (0, -1)),
                _reached(skill["reached"]),
                *(_percent(each) for each in (skill["area"], became.get("forgotten"), became.get("relearned"))),
            )
        console.print(table)
        for line in _notes(run, axis, of_people="num_people" in side):
            console.print(visible(line), markup=False)
    if len(side["order"]) > 1 and side["pairs"]:
        console.print(
            visible(f"order over {side.get('num_people', len(side['runs']))} {of}: {', then '.join(side['order'])}"),
            markup=False,
        )
        for pair in side["pairs"]:
            share = pair["share"]
            console.print(
                visible(
                    f"  {pair['first']} before {pair['second']}: {share['value']:.0%} of {pair['num_runs']} {of} "
                    f"[{share['low']:.0%}, {share['high']:.0%}]; {pair['probability']:.0%} over their {drawn} too"
                ),
                markup=False,
            )


def _notes(run: dict[str, Any], axis: str, *, of_people: bool) -> list[str]:
    lines: list[str] = []
    for name, skill in run["skills"].items():
        for kind, points in list(skill["errors"].items())[:MOST_KINDS]:
            known = [point for point in points if point is not None]
            lines.append(f"{name}: failed by {kind!r}, first {_percent(known[0])}, last {_percent(known[-1])}")
        for plateau in skill["plateaus"]:
            span = f"{plateau['start']:,.0f} to {plateau['end']:,.0f} {axis}"
            lines.append(f"{name}: plateau at {plateau['share']:.0%}, {span}")
        for k, points in skill["pass_at_k"].items():
            known = [point for point in points if point is not None]
            if known:
                lines.append(
                    f"{name}: pass@{k} at temperature 1, first {_percent(known[0])}, last {_percent(known[-1])}"
                )
        if sharper := skill["sharpening"]:
            one, many = (_change(sharper[key]) for key in ("pass_at_1", "pass_at_k"))
            lines.append(f"{name}: pass@1 {one}, pass@{sharper['k']} {many} points: {sharper['verdict']}")
        if law := skill.get("law"):
            of = law["law"]
            lines.append(
                f"{name}: law tends to {_percent(law['ceiling'])}, half of the gain at {of['midpoint']:,.0f} {axis}, "
                f"sharpness {of['sharpness']:.2f}; {law['verdict']}"
            )
        elif "law" in skill:
            lines.append(f"{name}: too few probes to fit a law")
    lengths = [length for length in run["skills"]["all"]["response_tokens"] if length is not None]
    if lengths:
        lines.append(f"response length, greedy: first {lengths[0]:.1f}, last {lengths[-1]:.1f} tokens")
    if run["entropy"]:
        lines.append(
            f"entropy in training: first {run['entropy'][0][1]:.3f}, last {run['entropy'][-1][1]:.3f} nats a token"
        )
    if not run["skills"]["all"]["pass_at_k"] and not of_people:
        lines.append("pass@k was not measured: evaluation.probe_samples")
    return lines


def _show_differences(console: Console, sides: list[SeedRuns], compared: dict[str, list[Compared]]) -> None:
    from rich.table import Table

    from assay.observe.visible import visible

    for name, found in compared.items():
        title = f"{visible(name)} minus {visible(sides[0].name)}, points, 95 % intervals"
        if not found:
            console.print(f"{title}: the probes have no two tasks in common", markup=False)
            continue
        table = Table(title=title, title_justify="left")
        for column in ("level", "area", "last probe", "tasks", "interval covers"):
            table.add_column(column, justify="left" if column == "level" else "right", overflow="fold")
        for skill in dict.fromkeys(each.skill for each in found):
            own = {each.measure: each for each in found if each.skill == skill}
            any_of = next(iter(own.values()))
            cells = [_points(own[measure]) if measure in own else "-" for measure in ("area", "last")]
            covers = "seeds and tasks" if any_of.covers_seeds else "tasks only"
            table.add_row(visible(skill), *cells, str(any_of.num_tasks), covers)
        console.print(table)


def _draw(path: Path, described: list[dict[str, Any]]) -> None:
    from assay.observe.plots import plot_trajectories

    axes = {side["axis"] for side in described}
    series: dict[str, dict[str, list[list[tuple[float, float, float, float]]]]] = {}
    alone = Counter(side["runs"][0]["name"] for side in described if len(side["runs"]) == 1)
    for side in described:
        first, *others = side["runs"]
        # A run is called by its folder, of which sides may have one of the same name.
        name = side["name"] if others or alone[first["name"]] > 1 else first["name"]
        for run in side["runs"]:
            # Tokens and trials have no common unit: each curve then runs over its own length.
            axis = [x / (run["axes"][side["axis"]][-1] if len(axes) > 1 else 1.0) for x in run["axes"][side["axis"]]]
            for skill, found in run["skills"].items():
                curve = [
                    (x, point["value"], point["low"], point["high"])
                    for x, point in zip(axis, found["solved"], strict=True)
                    if point is not None
                ]
                series.setdefault(skill, {}).setdefault(name, []).append(curve)
    label = f"share of all {' or '.join(sorted(axes))}" if len(axes) > 1 else described[0]["axis"]
    plot_trajectories(path, label.replace("_", " "), series)


def _reached(found: dict[str, Any]) -> str:
    ends = ["not reached" if found[key] is None else f"{found[key]:,.0f}" for key in ("value", "low", "high")]
    return ends[0] if set(ends) == {"not reached"} else f"{ends[0]} [{ends[1]}, {ends[2]}]"


def _percent(found: dict[str, float] | None) -> str:
    return (
        "-" if found is None else f"{100 * found['value']:.0f} % [{100 * found['low']:.0f}, {100 * found['high']:.0f}]"
    )


def _points(found: Compared) -> str:
    return _change(found.difference.to_dict())


def _change(of: dict[str, float]) -> str:
    return f"{100 * of['value']:+.1f} [{100 * of['low']:+.1f}, {100 * of['high']:+.1f}]"
