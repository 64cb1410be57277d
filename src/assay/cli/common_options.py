"""Options that several commands have: name, placeholder and bounds declared once, what they govern by each command."""

from __future__ import annotations

import contextlib
import glob
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer

from assay.errors import ConfigError


def set_option(of: str, metavar: str = "KEY=VALUE") -> Any:
    """Declare `--set`, repeatable: a setting as TOML, else as text (see `assay.config.parse_overrides`)."""
    return typer.Option("--set", metavar=metavar, help=of)


def temperature_option(default: str = "") -> Any:
    """Declare `--temperature`; `default` says what it is where it is not given."""
    return typer.Option("--temperature", help=f"Sampling temperature; 0 is greedy. {default}".strip())


def max_new_tokens_option(of: str) -> Any:
    """Declare `--max-new-tokens`, the token limit of one message of the model."""
    return typer.Option("--max-new-tokens", help=of, min=1)


def seed_option(fixes: str) -> Any:
    """Declare `--seed`."""
    return typer.Option("--seed", help=fixes)


def output_file(path: Path | None) -> Path | None:
    """Return the path of a file that a command will write at its end, its folder made: that it cannot be written is
    said before the work, not after.

    Raises:
        ConfigError: it cannot.
    """
    if path is None or (path.exists() and not path.is_file() and not path.is_dir()):
        return path  # /dev/stdout
    if str(path) == "-":
        raise ConfigError("- would be a file of that name: name a file, or /dev/stdout")
    if path.is_dir():
        raise ConfigError(f"{path} is a folder: name a file in it")
    try:
        with contextlib.suppress(FileExistsError):
            path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}): name another file") from None
    return path


def keep_sources(outputs: Iterable[Path | None], *sources: str | Path) -> None:
    """Refuse to write over what a command reads.

    Raises:
        ConfigError: an output is one of the sources, by whatever name.
    """
    read = {os.path.realpath(found) for each in sources for found in (each, *glob.glob(str(each)))}
    for output in outputs:
        if output is not None and output.is_file() and os.path.realpath(output) in read:
            raise ConfigError(f"{output} is what is read here, and would be written over: name another file to write")
