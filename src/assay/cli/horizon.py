"""`assay horizon FILE`: the difficulty at which models succeed half of the time, from anybody's table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.common_options import keep_sources, output_file, seed_option
from assay.cli.groups import with_groups
from assay.cli.tables import tables_console
from assay.errors import ConfigError, DataError

if TYPE_CHECKING:
    from rich.console import Console

    from assay.statistics import Horizon, HorizonRows

ALL = "all"
"""The name of the one horizon where there is no --by."""
_SLOW_NUMBERS = 50_000_000
"""Rows times bootstraps from which on progress is shown: some seconds."""
_PICTURES = (".png", ".svg", ".pdf")


class DifficultyScale(StrEnum):
    AMOUNT = "amount"
    RATING = "rating"


@dataclass(frozen=True)
class TableOptions:
    """Which columns of the table say what."""

    success: Annotated[str, typer.Option(help="Column of what came of an attempt: from 0 to 1, or true and false.")]
    difficulty: Annotated[
        str, typer.Option(help="Column of the task's difficulty, such as the minutes that people take.")
    ]
    weight: Annotated[
        str | None, typer.Option(help="Column of weights, used as given. Default: 1 for each row.", show_default=False)
    ] = None
    group: Annotated[
        list[str] | None,
        typer.Option(
            help="Column of what the bootstrap draws whole, such as the family of a task, then the task. Give it again "
            "for each level, outermost first; rows are innermost.",
            show_default=False,
        ),
    ] = None
    by: Annotated[
        str | None,
        typer.Option(help="Column whose values have a horizon each, such as the model.", show_default=False),
    ] = None
    difficulty_scale: Annotated[
        DifficultyScale,
        typer.Option(
            help="amount: minutes, tokens or steps, of which the logarithm to base 2 is taken. rating: a logarithm "
            "already, such as a contest problem's rating or the logit of people's solve rate.",
        ),
    ] = DifficultyScale.AMOUNT

    @property
    def is_rating(self) -> bool:
        return self.difficulty_scale is DifficultyScale.RATING


@dataclass(frozen=True)
class FitOptions:
    """How the horizon is fitted."""

    bootstrap: Annotated[int, typer.Option(min=0, help="Bootstrap samples of the interval; 0 for none.")] = 1000
    regularization: Annotated[
        float,
        typer.Option(
            "--regularization",
            "--lambda",
            min=0.0,
            help="Ridge on the slope: lambda, scikit-learn's 1 / C. It stands beside the sum of the weights.",
        ),
    ] = 0.1
    seed: Annotated[int, seed_option("Seed of the bootstrap.")] = 0


@with_groups
def horizon(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A table (.csv, .jsonl, .json, .parquet), or a log of inspect-ai or lm-evaluation-harness.",
        ),
    ],
    table: TableOptions,
    fit: FitOptions,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="OUT",
            callback=output_file,
            help="Write p50, low, high, p80, num and the fit of each value of --by to this file.",
            show_default=False,
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT", callback=output_file, help="Draw the fits to this .png, .svg or .pdf.", show_default=False
        ),
    ] = None,
) -> None:
    """Fit success against difficulty, and say at which difficulty it is 50 % and 80 %, with a 95 % interval.

    A weighted logistic regression of success on log2(difficulty) for each value of --by, as METR's time horizons (arXiv
    2503.14499): p50 is the horizon; its interval is of a bootstrap nested over the groups. An example:

        assay horizon runs.jsonl --success score --difficulty human_minutes --by model --group family --group task

    Rows may be single runs or shares of runs that succeeded. Rows without a value are left out and counted. Where the
    rows leave the horizon open (all succeeded, all failed, nothing failed below what succeeded) this is said, with what
    they do allow.
    """
    from assay.observe.folder import write_json
    from assay.statistics import fit_horizons

    if plot is not None and plot.suffix.lower() not in _PICTURES:
        raise ConfigError(f"--plot {plot}: a picture is one of {', '.join(_PICTURES)}")
    keep_sources((json_file, plot), file)
    console = tables_console()
    rows = _read(file, table, console)
    with _told(len(rows.by), fit.bootstrap) as on_draws:
        found = fit_horizons(rows, ridge=fit.regularization, num_draws=fit.bootstrap, seed=fit.seed, on_draws=on_draws)
    if json_file is not None:
        write_json(json_file, {name: each.to_dict() for name, each in found.items()})
    _print(found, rows, table.difficulty, fit, console)
    if json_file is not None:
        console.print(f"written: {json_file}", soft_wrap=True, markup=False)
    if plot is not None:
        from assay.observe.plots import plot_horizons

        plot_horizons(plot, found, table.difficulty, is_rating=rows.is_rating)
        console.print(f"drawn: {plot}", soft_wrap=True, markup=False)
    if all(each.p50 is None for each in found.values()):
        raise DataError(f"{file} tells no horizon; what is above says why")


def _read(file: str, table: TableOptions, console: Console) -> HorizonRows:
    """The columns of the table that were named, as arrays."""
    import numpy as np

    from assay.evaluation.logs import log_rows
    from assay.evaluation.table import Column, name, not_negative, number, positive, read_columns, share
    from assay.statistics import HorizonRows

    groups = table.group or []
    if len(set(groups)) < len(groups):
        raise ConfigError(f"--group {' --group '.join(groups)}: each level once, outermost first")
    wanted = [
        Column(table.success, share, "--success"),
        Column(table.difficulty, number if table.is_rating else positive, "--difficulty"),
        *([Column(table.weight, not_negative, "--weight")] if table.weight else []),
        *([Column(table.by, name, "--by")] if table.by else []),
        *(Column(each, name, f"--group {each}") for each in groups),
    ]
    columns = read_columns(log_rows(file), wanted, file)
    if told := columns.told():
        console.print(told, markup=False, soft_wrap=True)
    values = columns.values
    return HorizonRows(
        success=np.array(values["--success"]),
        difficulty=np.array(values["--difficulty"]),
        weight=np.array(values.get("--weight", [1.0] * columns.num)),
        by=np.array(values.get("--by", [ALL] * columns.num)),
        groups=tuple(np.array(values[f"--group {each}"]) for each in groups),
        is_rating=table.is_rating,
    )


@contextmanager
def _told(num_rows: int, num_draws: int) -> Iterator[Callable[[int], None] | None]:
    """Progress of a long bootstrap."""
    from assay.cli.progress import progress

    if num_rows * num_draws < _SLOW_NUMBERS:
        yield None
        return
    with progress("bootstrap samples", 0, num_draws) as advance:
        shown = 0

        def on_draws(done: int) -> None:
            nonlocal shown
            for _ in range(done - shown):
                advance()
            shown = done

        yield on_draws


def _print(found: Mapping[str, Horizon], rows: HorizonRows, unit: str, fit: FitOptions, console: Console) -> None:
    """A table of the horizons, and beneath it what is to be known of them."""
    from rich.markup import escape
    from rich.table import Table

    from assay.observe.visible import visible

    drawn = f"95 % intervals of {fit.bootstrap} bootstrap samples" if fit.bootstrap else "no bootstrap, no intervals"
    table = Table(title=escape(f"horizons in {visible(unit)}, {drawn}"))
    for heading in ("", "rows", "50 %", "95 % interval", "80 %", "slope", "log loss", "of a constant"):
        table.add_column(heading, justify="right" if heading else "left", overflow="fold")
    for name, each in found.items():
        # Without bootstrap samples a fit has no interval; where rows are separated the tasks give one without a model.
        has_ends = each.p50 is not None and (fit.bootstrap or each.kind != "fitted")
        ends = f"[{_number(each.low, 'open')}, {_number(each.high, 'open')}]" if has_ends else ""
        numbers = (each.p80, each.slope, each.log_loss, each.log_loss_constant)
        cells = (visible(name), str(each.num), _number(each.p50), ends, *map(_number, numbers))
        table.add_row(*map(escape, cells))
    console.print(table)
    of_note: dict[str, list[str]] = {}
    for name, each in found.items():
        for note in each.notes:
            of_note.setdefault(note, []).append(visible(name))
    for note, names in of_note.items():
        console.print(f"{', '.join(names)}: {note}", markup=False, soft_wrap=True)
    totals = {name: float(rows.weight[rows.by == name].sum()) for name in found}
    least, most = min(totals.values()), max(totals.values())
    sums = f"{least:.4g}" if least == most else f"{least:.4g} to {most:.4g}"
    console.print(f"regularisation {fit.regularization:g} on the slope, beside weights that sum to {sums}")
    for name, each in found.items():
        # scikit-learn's ridge is beside the sum of the weights, whatever the number of rows.
        if fit.regularization and 0 < totals[name] < each.num / 2:
            times = each.num / totals[name]
            console.print(
                f"caution: the {each.num} rows of {visible(name)} weigh {totals[name]:.3g} together, so that the "
                f"regularisation pulls {times:.3g} times as much as beside rows of weight 1",
                markup=False,
                soft_wrap=True,
            )
            break


def _number(value: float | None, missing: str = "") -> str:
    return missing if value is None else f"{value:.4g}"
