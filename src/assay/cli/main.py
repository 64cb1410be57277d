"""The `assay` command. Commands import what they need when they run, so that `--help` is quick."""

from __future__ import annotations

import sys

import typer

from assay.cli import chat, check, compare, demonstrate, export, models, sandbox, show, sweep, train, verify
from assay.cli import eval as evaluation
from assay.errors import AssayError

app = typer.Typer(
    help="Train language models from rewards that can be checked, and measure what the training bought.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("train")(train.train)
app.command("show")(show.show)
app.command("eval")(evaluation.evaluate)
app.command("compare")(compare.compare)
app.command("chat")(chat.chat)
app.command("sweep")(sweep.sweep)
app.command("demonstrate")(demonstrate.demonstrate)
app.command("verify")(verify.verify)
app.command("export")(export.export)
app.add_typer(models.app, name="models")
app.add_typer(check.app, name="check")
app.add_typer(sandbox.app, name="sandbox")


def main() -> None:
    """Runs a command; errors that a person can act on are printed without a traceback and exit with 2."""
    try:
        app()
    except AssayError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
