"""Rows of a data file as plain dictionaries: JSON, JSON lines, CSV (each also in gzip), or Parquet; on this machine or
on the hub."""

from __future__ import annotations

import codecs
import csv
import glob
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from assay.environments.parquet import parquet_rows
from assay.environments.values import parse_json
from assay.errors import DataError

HUB = "hub:"
MAX_FIELD_CHARACTERS = 10_000_000
_ON_THE_HUB = re.compile(r"([^/@]+/[^/@]+)(?:@(refs/(?:convert|pr)/[^/]+|[^/]+))?/(.+)")
"""Data set, revision, path in it."""


def read_rows(source: str, notes: list[str] | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where it stands, row) of each row. Values are those of JSON; NaN, which is how tables write "nothing", is None.

    Args:
        source: a path ending in .jsonl, .json (an array of objects, or JSON lines), .csv (parted by commas, semicolons
            or tabs, as its header is), each also with .gz after it,
            or .parquet; or "hub:owner/dataset/path/in/it" for a file of a data set on the Hugging Face hub, with
            "@revision" after the data set for another one than its newest. A * stands for any part of a name: every
            file that fits, in the order of their names.
        notes: gains a caution, in a sentence, for each column whose values may not be those of its source.

    Raises:
        DataError: there is no such file, its kind is not known, or a line does not parse; names the file and the line.
    """
    for path in data_files(source):
        kind = _kind(path)
        if kind in (".jsonl", ".ndjson") or (kind == ".json" and not _is_array(path)):
            yield from _json_lines(path)
        elif kind == ".json":
            yield from _json_array(path)
        elif kind == ".csv":
            yield from _csv(path)
        elif kind == ".parquet":
            yield from parquet_rows(path, notes)
        else:
            raise DataError(
                f"{path} is no kind of data file that can be read; use .jsonl, .json, .csv or .parquet, all but the "
                "last also with .gz"
            )


def data_files(source: str) -> list[Path]:
    """The files of a source on this machine, those of the hub after they were fetched.

    Raises:
        DataError: there is none.
    """
    return _fetched(source) if source.startswith(HUB) else _local(source)


def _local(source: str) -> list[Path]:
    path = Path(source).expanduser()
    if path.is_file():
        return [path]
    found = sorted(map(Path, glob.glob(str(path)))) if "*" in source else []
    if not found:
        raise DataError(f"there is no data file {source}")
    return found


def _kind(path: Path) -> str:
    """The ending that says what the file is, without .gz."""
    return Path(path.stem if path.suffix.lower() == ".gz" else path.name).suffix.lower()


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed where its name ends in .gz."""
    if path.suffix.lower() != ".gz":
        with path.open("rb") as file:
            yield file
        return
    try:
        with gzip.open(path) as file:
            yield io.BufferedReader(file)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read as gzip ({error}); is it whole?") from None


def _is_array(path: Path) -> bool:
    with _opened(path) as file:
        first = next((line for line in file if line.strip()), b"")
    return first.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")


def _json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                place = f"{path}, line {number}"
                yield place, _object(_parsed(line, place), place)


def _json_array(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with _opened(path) as file:
        text = file.read()
    for number, row in enumerate(_parsed(text, str(path)), start=1):
        place = f"{path}, element {number}"
        yield place, _object(row, place)


def _parsed(text: bytes, place: str) -> Any:
    try:
        return parse_json(text)
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise DataError(f"{place} is not JSON that can be read: {why}") from None


def _object(row: Any, place: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise DataError(f"{place} holds {type(row).__name__}, not an object; an object for each row is expected")
    return row


def _csv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    number = 0
    try:
        with _opened(path) as file:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
            reader = csv.reader(text, strict=True, delimiter=_delimiter(path))
            header: list[str] = []
            while True:
                # A row may go over several lines, and one with a quote that is never closed over all.
                number = reader.line_num + 1
                fields = next(reader, None)
                if fields is None:
                    return
                if not fields:
                    continue
                place = f"{path}, line {number}"
                if not header:
                    header = [name.strip() for name in fields]
                    twice = [name for name, count in Counter(header).items() if count > 1]
                    if twice:
                        raise DataError(f"{place}: the header names {twice[0]!r} twice; rename one of them")
                    continue
                if len(fields) != len(header):
                    raise DataError(f"{place} has not the {len(header)} fields of the header but {len(fields)}")
                yield place, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}, in the row that begins on line {number}, cannot be read as CSV: {error}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: {error}; save it as UTF-8") from None


def _delimiter(path: Path) -> str:
    """What parts the names of a header: a comma, or where it has none a semicolon or a tab, as spreadsheets of many
    countries write them."""
    with _opened(path) as file:
        header = next((line for line in file if line.strip()), b"")
    return next((mark for mark in (",", ";", "\t") if mark.encode() in header), ",")


def _fetched(source: str) -> list[Path]:
    parts = _ON_THE_HUB.fullmatch(source.removeprefix(HUB))
    if parts is None:
        raise DataError(
            f"{source}: expected hub:owner/dataset/path/in/it, such as hub:openai/gsm8k/main/FILE.parquet; "
            "with a revision, hub:owner/dataset@REVISION/path/in/it"
        )
    from httpx2 import HTTPError
    from huggingface_hub import HfApi, hf_hub_download

    name, revision, inside = parts.groups()
    try:
        files = [inside]
        if "*" in inside:
            fits = re.compile("[^/]*".join(map(re.escape, inside.split("*"))))
            listed = HfApi().list_repo_files(name, repo_type="dataset", revision=revision)
            files = sorted(file for file in listed if fits.fullmatch(file))
            if not files:
                raise DataError(f"{source}: the data set has no file of such a name; it has {', '.join(listed[:20])}")
        return [Path(hf_hub_download(name, file, repo_type="dataset", revision=revision)) for file in files]
    except (HTTPError, OSError, ValueError) as error:
        raise DataError(f"{source} cannot be fetched ({type(error).__name__}); download it and give its path") from None
