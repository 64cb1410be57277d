"""Tables that commands write: rows as JSON, and as Parquet where pyarrow is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

JSON_NAME, PARQUET_NAME = "table.json", "table.parquet"


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
