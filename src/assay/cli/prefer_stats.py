"""`assay prefer stats FILE`: what comparisons say of themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.common_options import keep_sources, output_file
from assay.cli.tables import tables_console
from assay.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

    from assay.preferences.stats import Annotator, PairStats
    from assay.statistics import Interval
    from assay.statistics.profile import Estimate

_MOST_ANNOTATORS = 20
"""Annotators that are shown one by one; the JSON has all."""


def stats(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="A file of comparisons, of any form that assay prefer import reads."),
    ],
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="OUT", callback=output_file, help="Write all of it to this file.", show_default=False
        ),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave rows out that cannot be read, and count them.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the agreement's bootstrap.")] = 0,
) -> None:
    """Count comparisons, and show their biases: ties, length, position, repeats, contradictions, agreement between and
    within annotators, time. Every share and coefficient has its 95 % interval, over prompts."""
    from assay.cli.progress import counted
    from assay.observe.folder import write_json
    from assay.preferences import read_preferences
    from assay.preferences.stats import pair_stats

    console = tables_console()
    keep_sources((json_file,), file)
    found = read_preferences(file, skip_bad=skip_bad, on_row=counted("rows read"))
    for line in found.told():
        console.print(line, markup=False, soft_wrap=True)
    if not found.pairs:
        raise DataError(
            f"{file} holds no pair, but {len(found.labelled)} labelled responses: there is nothing to compare"
        )
    result = pair_stats(found.pairs, seed)
    if json_file is not None:
        left_out = dict(found.left_out)
        write_json(json_file, {**result.to_dict(), "left_out": left_out, "num_labelled": len(found.labelled)})
    _print(result, console)
    if found.labelled:
        good = sum(each.label for each in found.labelled)
        console.print(
            f"beside the pairs: {len(found.labelled):,} labelled responses, {good:,} of them good", markup=False
        )
    if json_file is not None:
        console.print(f"written: {json_file}", soft_wrap=True, markup=False)


def _print(found: PairStats, console: Console) -> None:
    from assay.preferences.stats_text import stats_lines

    lines = stats_lines(found)
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        console.print(f"{name:<{width}}  {text}", markup=False, soft_wrap=True)
    if found.annotators:
        _print_annotators(found.annotators, console)


def _print_annotators(annotators: dict[str, Annotator], console: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    from assay.observe.visible import visible

    table = Table(title="annotators, with the most judgements first")
    for heading in ("annotator", "pairs", "ties", "longer %", "second %", "alike on repeats %", "right %", "seconds"):
        table.add_column(heading, justify="left" if heading == "annotator" else "right", overflow="fold")
    for name, each in list(annotators.items())[:_MOST_ANNOTATORS]:
        right = None if each.reliability is None else each.reliability.share
        shares = (_percent(share) for share in (each.longer, each.second, each.repeats.same, right))
        seconds = "" if each.seconds.value is None else f"{each.seconds.value:.1f}"
        table.add_row(*map(escape, (visible(name), f"{each.num:,}", f"{each.num_ties:,}", *shares, seconds)))
    console.print(table)
    if len(annotators) > _MOST_ANNOTATORS:
        console.print(f"and {len(annotators) - _MOST_ANNOTATORS:,} more: --json has all", markup=False)


def _percent(found: Interval | Estimate | None) -> str:
    if found is None or found.value is None or found.low is None or found.high is None:
        return ""
    return f"{100 * found.value:.0f} [{100 * found.low:.0f}, {100 * found.high:.0f}]"
