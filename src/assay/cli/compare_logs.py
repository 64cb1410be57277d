"""`assay compare A B` of logs that others wrote: every benchmark and measure in pairs, with Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.common_options import keep_sources
from assay.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from assay.evaluation.logs import Log, LogComparison
    from assay.evaluation.logs.compare import Side


@dataclass(frozen=True)
class LogOptions:
    """What to read of logs and tables."""

    task: Annotated[
        str | None,
        typer.Option(help="Of a table: the column that names the task; pairs are made by it.", show_default=False),
    ] = None
    score: Annotated[
        list[str] | None,
        typer.Option(help="Of a table: a column of scores; may be given again.", show_default=False),
    ] = None
    benchmark: Annotated[
        str | None,
        typer.Option(help="Of a table: the column that parts its rows into benchmarks.", show_default=False),
    ] = None
    measure: Annotated[
        list[str] | None,
        typer.Option(
            help="Of a log of another package: a measure to compare, such as exact_match,strict-match; may be given "
            "again. Default: all that both have.",
            show_default=False,
        ),
    ] = None

    @property
    def any(self) -> bool:
        return any((self.task, self.score, self.benchmark, self.measure))


def compare_logs(before: Path, after: Path, options: LogOptions, output: Path | None, console: Console) -> None:
    """Compare two logs, print what there is to see, and write it to a file."""
    from assay.evaluation import logs
    from assay.observe.folder import write_json

    keep_sources((output,), before, after)
    columns = None
    if options.task or options.score or options.benchmark:
        if not (options.task and options.score):
            raise ConfigError("a table needs both --task COLUMN and --score COLUMN; logs of packages need neither")
        columns = logs.TableColumns(options.task, tuple(options.score), options.benchmark)
    first, second = (logs.open_log(str(place), columns) for place in (before, after))
    found, said = logs.compare_logs(first, second, options.measure or ())
    if output is not None:
        write_json(
            output, {"comparisons": [each.to_dict() for each in found], "notes": _notes(first, second, found, said)}
        )
    _print(first, second, found, said, console)
    if output is not None:
        console.print(f"written: {output}", soft_wrap=True, markup=False)


def _print(first: Log, second: Log, found: Sequence[LogComparison], said: Sequence[str], console: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    from assay.observe.visible import visible

    table = Table(title="paired by task, 95 % intervals over tasks")
    many = len(found) > 1
    for heading in ("benchmark", "measure", "tasks", "before", "after", "gain", "better, worse", "p"):
        table.add_column(heading, justify="left" if heading in ("benchmark", "measure") else "right", overflow="fold")
    if many:
        table.add_column(f"p, Holm of {len(found)}", justify="right", overflow="fold")
    for each in found:
        gain = each.difference
        is_share = (
            min(each.before.mean.low, each.after.mean.low) >= 0
            and max(each.before.mean.high, each.after.mean.high) <= 1
        )
        means = [side.mean.as_percent() if is_share else str(side.mean) for side in (each.before, each.after)]
        ends = [100 * end if is_share else end for end in (gain.value, gain.low, gain.high)]
        difference = (
            "{:+.3g} [{:+.3g}, {:+.3g}]".format(*ends) if not is_share else "{:+.1f} [{:+.1f}, {:+.1f}]".format(*ends)
        )
        cells = [each.benchmark, each.measure, str(gain.num_tasks), *means, difference]
        cells += [f"{gain.num_improved}, {gain.num_worsened}", f"{gain.p_value:.2g}"]
        table.add_row(*(escape(visible(cell)) for cell in cells), *([f"{each.adjusted_p:.2g}"] if many else []))
    console.print(table)
    for line in _notes(first, second, found, said):
        console.print(visible(line), markup=False, soft_wrap=True)


def _notes(first: Log, second: Log, found: Sequence[LogComparison], said: Sequence[str]) -> list[str]:
    """What is missing, and what a reader of the differences should know."""
    notes = [f"before: {note}" for note in first.notes] + [f"after: {note}" for note in second.notes] + list(said)
    for each in found:
        for name, side in (("before", each.before), ("after", each.after)):
            notes += [f"{each.benchmark}, {each.measure}, {name}: {line}" for line in _missing(side)]
        if each.noise_floor is not None and 0 < abs(each.difference.value) <= each.noise_floor:
            notes.append(
                f"{each.benchmark}, {each.measure}: the gain is within the noise floor, ±{100 * each.noise_floor:.1f} "
                "points: two evaluations of the model before differ by as much"
            )
    return notes


def _missing(side: Side) -> list[str]:
    lines = []
    if side.only_here:
        lines.append(f"{side.only_here} of {side.num_tasks} tasks are not in the other log, and left out")
    if side.num_samples_not_measured:
        why = ", ".join(f"{count}: {cause}" for cause, count in sorted(side.why.items(), key=lambda item: -item[1])[:3])
        whole = f", {side.num_not_measured} tasks with all of theirs" if side.num_not_measured else ""
        lines.append(
            f"{side.num_samples_not_measured} samples were not measured{whole} ({why}): the mean of all "
            f"{side.num_tasks} tasks would be {100 * side.as_failed:.1f} % had they failed, {100 * side.as_solved:.1f} "
            "% had they been solved"
        )
    return lines
