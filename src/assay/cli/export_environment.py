"""`assay adapters export`: an environment of Assay for other packages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.common_options import seed_option, set_option


def export(
    target: Annotated[str, typer.Argument(metavar="PACKAGE", help="inspect or verifiers.")],
    environment: Annotated[str, typer.Argument(metavar="ENVIRONMENT", help="Such as arithmetic, or path.py:Class.")],
    output: Annotated[Path, typer.Argument(help="The folder to write.")],
    settings: Annotated[
        list[str] | None,
        set_option("An option of the environment, such as example=true."),
    ] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    num_tasks: Annotated[int, typer.Option(help="Tasks of that split, the first.", min=1)] = 200,
    seed: Annotated[int, seed_option("Fixes the order of tasks.")] = 0,
) -> None:
    """Write an environment as a task of inspect-ai, or as a taskset of verifiers, that its own tools run.

    The folder holds the tasks and a file for the other package. That package asks its own model, turn for turn, and
    needs nothing of Assay: the file starts this interpreter, which answers the model and scores the episodes.
    """
    from assay.config import parse_overrides
    from assay.environments import make_environment
    from assay.environments.export import export_environment
    from assay.environments.splits import SPLITS
    from assay.errors import ConfigError

    if split not in SPLITS:
        raise ConfigError(f"--split {split}: there are {', '.join(SPLITS)}")
    source = make_environment(environment, parse_overrides(settings or []))
    count = export_environment(
        source,
        target,  # type: ignore[arg-type]
        output,
        split=split,  # type: ignore[arg-type]
        num_tasks=num_tasks,
        seed=seed,
    )
    typer.echo(f"{count} tasks of {source.name} in {output}")
    if target == "inspect":
        typer.echo(f"run them: inspect eval {output}/task.py --model ...")
    else:
        typer.echo(f"run them: PYTHONPATH={output} vf-eval taskset -m ...")
