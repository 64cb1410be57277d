"""Rows of a data file as plain dictionaries: JSON lines, CSV, or Parquet; on this machine or on the hub."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assay.errors import DataError

HUB = "hub:"
MAX_FIELD_CHARACTERS = 10_000_000


def read_rows(source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where it stands, row) of each row.

    Args:
        source: a path ending in .jsonl, .json (JSON lines), .csv or .parquet; or "hub:owner/dataset/path/in/it" for a
            file of a data set on the Hugging Face hub.

    Raises:
        DataError: there is no such file, its kind is not known, or a line does not parse; names the file and the line.
    """
    path = _fetched(source) if source.startswith(HUB) else Path(source).expanduser()
    if not path.is_file():
        raise DataError(f"there is no data file {source}")
    kind = path.suffix.lower()
    if kind in (".jsonl", ".json", ".ndjson"):
        yield from _json_lines(path)
    elif kind == ".csv":
        yield from _csv(path)
    elif kind == ".parquet":
        yield from _parquet(path)
    else:
        raise DataError(f"{source} is no kind of data file that can be read; use .jsonl, .csv or .parquet")


def _json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            place = f"{path}, line {number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(f"{place} is not JSON: {error}") from None
            if not isinstance(row, dict):
                raise DataError(f"{place} holds {type(row).__name__}, not an object; one object a line is expected")
            yield place, row


def _csv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restkey="\0more", strict=True)
            for row in reader:
                place = f"{path}, line {reader.line_num}"
                if "\0more" in row or None in row.values():
                    raise DataError(f"{place} has not the {len(reader.fieldnames or ())} fields of the header")
                yield place, row
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as CSV in UTF-8: {error}") from None


def _parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        from pyarrow import parquet  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise DataError(f"{path}: reading Parquet needs pyarrow; install it with: pip install pyarrow") from None
    number = 0
    try:
        for batch in parquet.ParquetFile(path).iter_batches(batch_size=1024):
            for row in batch.to_pylist():
                number += 1
                yield f"{path}, row {number}", row
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from None


def _fetched(source: str) -> Path:
    owner, _, rest = source.removeprefix(HUB).partition("/")
    name, _, inside = rest.partition("/")
    if not inside:
        raise DataError(f"{source}: expected hub:owner/dataset/path/in/it, such as hub:openai/gsm8k/main/FILE.parquet")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(f"{owner}/{name}", inside, repo_type="dataset"))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise DataError(f"{source} cannot be fetched ({type(error).__name__}); download it and give its path") from None
