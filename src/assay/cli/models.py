"""`assay models`: which models are on this machine, and `assay models fetch`: bring one here."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer()


@app.callback(invoke_without_command=True)
def _list_by_default(context: typer.Context) -> None:
    """List the models on this machine, or fetch one."""
    if context.invoked_subcommand is None:
        list_models()


@app.command("list")
def list_models() -> None:
    """List the default model and every model in the cache."""
    from assay.models import known_models

    # Plain lines and not a table that folds: a path that is cut off cannot be copied.
    models = known_models()
    width = max(len(model.name) for model in models)
    for model in models:
        state = "fetched" if model.fetched else "not fetched"
        parameters = f"{model.num_parameters / 1e6:.1f} M" if model.num_parameters else "-"
        size = f"{model.num_bytes / 1e6:.0f} MB" if model.num_bytes else "-"
        typer.echo(f"{model.name:{width}}  {state:11}  {parameters:>10}  {size:>9}  {model.path}")
    typer.echo("Any other model: name its Hugging Face folder, or its hub id organisation/name.")


@app.command("fetch")
def fetch(
    source: Annotated[str, typer.Argument(help="default, or a hub id such as HuggingFaceTB/SmolLM2-135M-Instruct")],
) -> None:
    """Fetch a model, and print the folder that holds it."""
    from assay.models import resolve_source

    typer.echo(resolve_source(source))
