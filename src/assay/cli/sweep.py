"""`assay sweep SPEC`: recipe x settings x seeds, and one table with intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.task_options import numbers


def sweep(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="A TOML file: recipe, seeds, cells, what to tabulate.")],
    output: Annotated[
        Path | None, typer.Option(help="Folder of the sweep. Default: ~/.assay/sweeps/NAME.", show_default=False)
    ] = None,
    jobs: Annotated[int, typer.Option(help="Runs at once; each is a process of its own.", min=1)] = 1,
    only_cells: Annotated[
        str | None,
        typer.Option("--cells", help="Run these cells, such as grpo,rloo; the table has all.", show_default=False),
    ] = None,
    only_seeds: Annotated[
        str | None, typer.Option("--seeds", help="Run these seeds, such as 1,2.", show_default=False)
    ] = None,
    report_only: Annotated[bool, typer.Option("--report-only", help="Run nothing; make the table again.")] = False,
    publish_to: Annotated[
        Path | None,
        typer.Option(
            "--publish",
            help="Write what a results page shows to this folder: table, curves over seeds, every answer.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run every cell of a sweep at every seed, and tabulate them.

    The same command continues a sweep: what has finished is skipped, what was interrupted is resumed, what failed is
    tried again. Each run's raw results are kept as it ends.
    """
    from assay.evaluation.sweep import Sweep, publish, run_sweep, write_table
    from assay.home import assay_home

    cells = Sweep.load(spec)
    seeds = None if only_seeds is None else [int(seed) for seed in numbers("--seeds", only_seeds)]
    chosen = cells.choose(None if only_cells is None else [name.strip() for name in only_cells.split(",")], seeds)
    folder = (output or assay_home() / "sweeps" / cells.settings.name).absolute()
    finished = True
    try:
        if not report_only:
            typer.echo(f"sweep folder: {folder}")
            finished = run_sweep(cells, folder, chosen, num_jobs=jobs, say=typer.echo)
    finally:
        table = write_table(cells, folder) if folder.is_dir() or report_only else None
        if table is not None:
            typer.echo(table.read_text(encoding="utf-8"))
            typer.echo(f"table: {table}")
    if publish_to is not None:
        typer.echo(f"published to: {publish(cells, folder, publish_to)}")
    if not finished:
        typer.echo(f"some runs failed; see {folder / 'runs'}. The same command tries them again.", err=True)
        raise typer.Exit(1)
