"""Tables that commands print and write: on a console as wide as they need, as JSON, and as Parquet where pyarrow is
there."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

JSON_NAME, PARQUET_NAME = "table.json", "table.parquet"
WIDTH_OF_FILES = 200
"""Characters of a line where the output is a file or a pipe: rich would take 80, and cut numbers."""


def tables_console() -> Console:
    """Return a console that prints whole tables into files and pipes; a terminal, or COLUMNS, says its own width.

    Columns of intervals are made with `overflow="fold"`: on a narrow terminal a number then goes on in the next line,
    where rich would put an ellipsis for its end.
    """
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDTH_OF_FILES
    return console


def write_table(folder: Path, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Write rows to a folder; returns the names of the files."""
    from assay.observe.folder import write_json

    write_json(folder / JSON_NAME, list(rows))
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        typer.echo(f"no {PARQUET_NAME} without pyarrow; pip install 'assay[data]'", err=True)
        return [JSON_NAME]
    parquet.write_table(pyarrow.Table.from_pylist(list(map(dict, rows))), folder / PARQUET_NAME)
    return [JSON_NAME, PARQUET_NAME]
