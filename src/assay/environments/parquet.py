"""Rows of a Parquet file as JSON has them: texts of JSON are decoded, and short floats get their short text."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.environments.values import parse_json, plain
from assay.errors import DataError

if TYPE_CHECKING:
    import pyarrow

BATCH_ROWS = 1024
_JSON = "arrow.json"
"""The canonical extension type. The package datasets, from its version 5 on, gives it to every column of mixed types
and of objects with different keys."""
Convert = Callable[[Any], Any]
Kinds = dict[str, set[type]]


def parquet_rows(path: Path, notes: list[str] | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where it stands, row) of each row.

    Args:
        notes: gains a caution for each column whose values may have lost something before they were written.

    Raises:
        DataError: the file cannot be read, or pyarrow is not installed.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise DataError(f"{path}: reading Parquet needs pyarrow; install it with: pip install 'assay[data]'") from None
    number = 0
    try:
        file = parquet.ParquetFile(path)
        kinds: Kinds = {}
        converters = {field.name: _converter(field, field.name, kinds) for field in file.schema_arrow}
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            for row in batch.to_pylist():
                number += 1
                yield f"{path}, row {number}", {name: _converted(converters[name], row[name]) for name in row}
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from None
    if notes is not None:
        notes += [_caution(path, column) for column, seen in kinds.items() if float in seen and len(seen) > 1]


def _caution(path: Path, column: str) -> str:
    return (
        f"{path}: column {column!r} mixes numbers with other values (type arrow.json). The package datasets, which "
        'writes such columns, turns text into numbers, such as "007" into 7, and cuts decimals off; if that matters, '
        "write the column again, as text"
    )


def _converter(field: pyarrow.Field, column: str, kinds: Kinds) -> Convert:
    """Return the function that turns a field's values, as pyarrow gives them, into JSON's values.

    Args:
        column: the field's name, after those of the fields that it is in.
        kinds: gains what kinds of value each column of JSON texts turns out to hold.
    """
    from pyarrow import types

    kind: Any = field.type
    if _is_json(field):
        return functools.partial(_decoded, kinds.setdefault(column, set()))
    if types.is_float16(kind):
        return lambda value: _shortest(np.float16(value))
    if types.is_float32(kind):
        return lambda value: _shortest(np.float32(value))
    if types.is_map(kind):
        of_value = _converter(kind.item_field, column, kinds)
        return lambda pairs: {str(plain(key)): _converted(of_value, value) for key, value in pairs}
    if types.is_struct(kind):
        of_field = {each.name: _converter(each, f"{column}.{each.name}", kinds) for each in kind}
        return lambda values: {name: _converted(of_field[name], value) for name, value in values.items()}
    if hasattr(kind, "value_field"):
        of_element = _converter(kind.value_field, column, kinds)
        return lambda values: [_converted(of_element, value) for value in values]
    return plain


def _converted(convert: Convert, value: Any) -> Any:
    return None if value is None else convert(value)


def _is_json(field: pyarrow.Field) -> bool:
    # Versions of pyarrow that do not know the type give its storage, and the type's name as metadata.
    metadata = field.metadata or {}
    return getattr(field.type, "extension_name", "") == _JSON or metadata.get(b"ARROW:extension:name") == _JSON.encode()


def _decoded(kinds: set[type], text: Any) -> Any:
    """Return the value that an arrow.json text spells. Text that is no JSON stands for itself: datasets writes a text
    that looks like a number, such as 007, to that column without quotes."""
    try:
        value = parse_json(text)
    except ValueError:
        value = plain(text)
    if value is not None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        kinds.add(float if is_number else type(value))
    return value


def _shortest(value: np.floating[Any]) -> float | None:
    """The number with the shortest text that is still this one: 0.1, where the float32 nearest to it, as a double, is
    0.10000000149011612."""
    return None if np.isnan(value) else float(str(value))
