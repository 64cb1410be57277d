"""`assay adapters`: environments of other packages, each in a virtual environment of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.cli.export_environment import export

app = typer.Typer(
    no_args_is_help=True,
    help="Install what environments of other packages run on. Each has a virtual environment of its own, since their "
    'requirements exclude each other; a recipe then names it: environment = { name = "textarena", game = ... }.',
)


@app.command("list")
def list_adapters() -> None:
    """List the adapters: what each is for, and what is installed."""
    from assay.adapters import ADAPTERS, folder_of, installed

    for adapter in ADAPTERS.values():
        stamp = installed(adapter.name)
        if stamp is None:
            state = f"not installed: assay adapters install {adapter.name}"
        elif stamp["requirements"] != list(adapter.requirements):
            state = f"has {' '.join(stamp['requirements'])}: assay adapters install {adapter.name}"
        else:
            state = f"Python {stamp['python']}, {folder_of(adapter.name)}"
        typer.echo(f"{adapter.name:10}  {adapter.requirements[0]:20}  {adapter.summary}")
        typer.echo(f"{'':10}  {state}")


@app.command("install")
def install(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Such as textarena; `assay adapters list`.")],
    python: Annotated[
        str | None,
        typer.Option(help="The interpreter to make the environment with, such as python3.12. Default: Assay's own."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Remove what is there, and begin anew.")] = False,
) -> None:
    """Install adapters, at the versions that they were tested with. One that was stopped goes on where it stopped.

    They go to $ASSAY_HOME/adapters (~/.assay/adapters); removing a folder there removes the adapter.
    """
    from assay.adapters import find_adapter, folder_of, num_pins
    from assay.adapters import install as install_adapter
    from assay.cli.progress import progress

    for name in names:
        find_adapter(name)
    for name in names:
        typer.echo(f"{name}: {', '.join(find_adapter(name).requirements)} into {folder_of(name)}")
        with progress(f"packages of {name} found", 0, num_pins(name)) as advance:

            def say(line: str, advance=advance) -> None:
                # One such line a package, whether it is downloaded or was before.
                if line.startswith(("Collecting ", "Processing ", "Requirement already satisfied")):
                    advance()
                elif line.startswith("Installing collected"):
                    typer.echo("installing them", err=True)

            stamp = install_adapter(name, python=python, again=again, say=say)
        typer.echo(f"{name}: installed, {len(stamp['packages'])} packages on Python {stamp['python']}")


@app.command("check")
def check(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An installed adapter, such as textarena.")],
    parts: Annotated[
        list[str] | None, typer.Argument(metavar="[PART]...", help="Only these games or tasks. Default: all.")
    ] = None,
) -> None:
    """Start each game, environment or task that comes with an adapter; what does not start says what it lacks."""
    from assay.adapters import adapter_server, find_adapter
    from assay.cli.progress import progress
    from assay.environments.adapted import worker_of
    from assay.errors import AdapterError, ConfigError, DataError

    if not worker_of(find_adapter(name).name).is_file():
        raise ConfigError(f"{name} has no environments; try it by: assay eval default --engine {name} --num-tasks 1")
    server = adapter_server(name, worker_of(name))
    chosen = parts or server.ask("parts")
    lines: list[str] = []
    failed = 0
    with progress("parts", 0, len(chosen)) as advance:
        for part in chosen:
            try:
                lines.append(f"ok     {part}: {server.ask('check', part=part)}")
            except (AdapterError, DataError) as error:
                failed += 1
                lines.append(f"lacks  {error}" if part in str(error) else f"lacks  {part}: {error}")
            advance()
    for line in lines:
        typer.echo(line)
    typer.echo(f"{len(chosen) - failed} of {len(chosen)} start here")


app.command("export")(export)
