"""The `assay` command. Commands import what they need when they run, so that `--help` is quick."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from assay.cli import (
    adapters,
    audit,
    chat,
    check,
    cluster,
    compare,
    demonstrate,
    doctor,
    export,
    horizon,
    models,
    power,
    prefer,
    sandbox,
    serve,
    show,
    studio,
    sweep,
    train,
    trajectories,
    transfer,
    verify,
)
from assay.cli import eval as evaluation
from assay.cli import map as mapping
from assay.errors import AssayError, explain_place

app = typer.Typer(
    help="Train language models from rewards that can be checked, and measure what the training bought.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"assay {version('assay')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


app.command("train")(train.train)
app.command("show")(show.show)
app.command("studio")(studio.studio)
app.command("eval")(evaluation.evaluate)
app.command("compare")(compare.compare)
app.command("horizon")(horizon.horizon)
app.command("power")(power.power)
app.command("audit")(audit.audit)
app.command("doctor")(doctor.doctor)
app.command("trajectories")(trajectories.trajectories)
app.command("chat")(chat.chat)
app.command("serve")(serve.serve)
app.command("map")(mapping.map_models)
app.command("sweep")(sweep.sweep)
app.command("transfer")(transfer.transfer)
app.command("demonstrate")(demonstrate.demonstrate)
app.command("verify")(verify.verify)
app.command("export")(export.export)
app.add_typer(models.app, name="models")
app.add_typer(check.app, name="check")
app.add_typer(cluster.app, name="cluster")
app.add_typer(sandbox.app, name="sandbox")
app.add_typer(adapters.app, name="adapters")
app.add_typer(prefer.app, name="prefer")


def main() -> None:
    """Runs a command; errors that a person can act on are printed without a traceback and exit with 2."""
    try:
        app()
    except AssayError as error:
        _fail(str(error))
    except Exception as error:
        from assay.components import explain_foreign

        # A traceback says nothing that a person could use where a place cannot be written, and of a component of their
        # own the part in its file says it; a fault of ours keeps it.
        place = explain_place(error) if isinstance(error, OSError) else None
        if (explanation := place or explain_foreign(error)) is None:
            raise
        _fail(explanation)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
