"""`assay prefer rate FILE`: models rated by comparisons, with intervals, and win rates at equal lengths."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.common_options import keep_sources, output_file
from assay.cli.tables import tables_console

if TYPE_CHECKING:
    from rich.console import Console

    from assay.preferences.rate import Rates
    from assay.statistics import Interval


class RatingScale(StrEnum):
    LOG_ODDS = "log-odds"
    ELO = "elo"


def rate(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A table (.jsonl, .json, .csv, each also with .gz, .parquet) of comparisons: model_a, model_b, and "
            "preference (for b, from 0 to 1) or winner (model_a, model_b or tie); length_a, length_b, annotator and "
            "difficulty where they are known. Or pairs that say which models wrote their responses.",
        ),
    ],
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="OUT",
            callback=output_file,
            help="Write rating, low, high, win_rate and length_controlled_win_rate of each model to this file.",
            show_default=False,
        ),
    ] = None,
    scale: Annotated[
        RatingScale,
        typer.Option(help="log-odds: natural. elo: 400 points for odds of ten to one; the mean stays 0."),
    ] = RatingScale.LOG_ODDS,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Win rates against this model alone.", show_default=False),
    ] = None,
) -> None:
    """Rate models by comparisons in pairs: Bradley-Terry ratings with 95 % intervals, win rates, and win rates at equal
    lengths (Dubois et al. 2024, arXiv 2404.04475).

    Ratings have mean 0 in each part of the models that are compared with one another; parts that cannot be compared are
    said to be so. A model that never lost has an open upper end (null in JSON), one that never won an open lower end.
    Ties are half a win of both. With two annotators or more the intervals of ratings allow for them.
    """
    from assay.observe.folder import write_json
    from assay.preferences.rate import rate_models, read_matches

    console = tables_console()
    keep_sources((json_file,), file)
    matches = read_matches(file)
    for reason, count in matches.left_out.most_common():
        console.print(f"left out: {count} rows with {reason}", soft_wrap=True, markup=False)
    rates = rate_models(matches.rows, baseline)
    if json_file is not None:
        write_json(json_file, {name: each.to_dict(scale.value) for name, each in rates.models.items()})
    _print(rates, scale, baseline, len(matches.rows), console)
    if json_file is not None:
        console.print(f"written: {json_file}", soft_wrap=True, markup=False)


def _print(rates: Rates, scale: RatingScale, baseline: str | None, num: int, console: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    from assay.observe.visible import visible
    from assay.preferences.rate import ELO

    factor, form = (ELO, ".0f") if scale is RatingScale.ELO else (1.0, ".2f")
    against = "" if baseline is None else f", win rates against {visible(baseline)}"
    table = Table(title=escape(f"{num:,} comparisons, ratings in {scale.value}{against}, 95 % intervals"))
    several = ["part"] if rates.num_parts > 1 else []
    for heading in (*several, "model", "num", "rating", "wins %", "wins % at equal length"):
        table.add_column(heading, justify="left" if heading == "model" else "right", overflow="fold")
    for name, each in rates.models.items():
        ends = (each.rating.value, each.rating.low, each.rating.high)
        value, low, high = ("open" if end is None else format(end * factor, form) for end in ends)
        cells = [visible(name), f"{each.num:,}", f"{value} [{low}, {high}]"]
        cells += [_percent(each.win_rate), _percent(each.length_controlled)]
        table.add_row(*map(escape, ([str(each.part + 1)] if several else []) + cells))
    console.print(table)
    notes: dict[str, list[str]] = {}
    for name, each in rates.models.items():
        for note in each.notes:
            notes.setdefault(note, []).append(visible(name))
    for note, names in notes.items():
        console.print(f"{', '.join(names)}: {note}", soft_wrap=True, markup=False)
    for note in rates.notes:
        console.print(visible(note), soft_wrap=True, markup=False)
    if rates.num_annotators:
        console.print(f"the intervals of ratings allow for {rates.num_annotators} annotators", markup=False)


def _percent(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return f"{100 * interval.value:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
