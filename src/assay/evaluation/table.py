"""Anybody's table as columns of numbers and names: what is missing is counted, what cannot be is an error."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.errors import DataError

_WORDS = {"true": 1.0, "false": 0.0}
Row = tuple[str, Mapping[str, Any]]
"""Where a row stands, for messages, and its values by column."""
Read = Callable[[Any], Any]
"""From a value to what is kept of it; raises ValueError where it cannot be."""


@dataclass(frozen=True)
class Column:
    """A column that is wanted."""

    name: str
    """As in the table; "a.b" for b in an object a."""
    read: Read
    option: str
    """The option that named it, for messages."""


@dataclass(frozen=True)
class Columns:
    """The rows that have a value in every column that is wanted."""

    values: Mapping[str, Sequence[Any]]
    """By the option that named the column."""
    places: Sequence[str]
    missing: Mapping[str, int]
    """Column to rows that were left out since they have no value in it, or in one before it."""

    @property
    def num(self) -> int:
        return len(self.places)

    def told(self) -> str:
        """What was left out, as a sentence; empty where nothing was."""
        lost = sum(self.missing.values())
        why = ", ".join(f"{count} without {name!r}" for name, count in self.missing.items())
        return f"{lost} of {self.num + lost} rows were left out: {why}" if lost else ""


def read_columns(rows: Sequence[Row], wanted: Sequence[Column], source: str) -> Columns:
    """The wanted columns of a table.

    Raises:
        DataError: no rows, a column that no row has, a value that cannot be, or no row with all values.
    """
    if not rows:
        raise DataError(f"{source} has no rows")
    for column in wanted:
        if not any(_has(row, column.name) for _, row in rows):
            raise DataError(f"{source} has no column {column.name!r} ({column.option}); it has {_names(rows)}")
    values: dict[str, list[Any]] = {column.option: [] for column in wanted}
    places, missing = [], Counter[str]()
    for place, row in rows:
        found = []
        for column in wanted:
            value = value_at(row, column.name)
            if is_missing(value):
                missing[column.name] += 1
                break
            try:
                found.append(column.read(value))
            except ValueError as error:
                raise DataError(f"{place}: {column.name!r} ({column.option}) is {_shown(value)}; {error}") from None
        else:
            places.append(place)
            for option, value in zip(values, found, strict=True):
                values[option].append(value)
    result = Columns(values, places, dict(missing))
    if not places:
        raise DataError(f"{source}: no row has a value in every column; {result.told()}")
    return result


def is_missing(value: Any) -> bool:
    """Return True for what tables write for nothing: null, NaN, and empty text."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, str) and value.strip().lower() in ("", "nan", "null", "none", "na"))


def number(value: Any) -> float:
    """A value as a finite number."""
    text = value.strip().lower() if isinstance(value, str) else ""
    try:
        found = _WORDS[text] if text in _WORDS else float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("expected a number") from None
    if not math.isfinite(found):
        raise ValueError("expected a finite number")
    return found


def share(value: Any) -> float:
    """A value as a number from 0 to 1; true is 1."""
    found = number(value)
    if not 0 <= found <= 1:
        raise ValueError("expected a success from 0 to 1")
    return found


def positive(value: Any) -> float:
    """A value as a number above 0."""
    found = number(value)
    if found <= 0:
        raise ValueError(
            "expected a number above 0, whose logarithm can be taken; for one that is a logarithm already give "
            "--difficulty-scale rating"
        )
    return found


def not_negative(value: Any) -> float:
    """A value as a number of 0 or more."""
    found = number(value)
    if found < 0:
        raise ValueError("expected 0 or more")
    return found


def name(value: Any) -> str:
    """A value as a name: whole numbers without a point, whether the table has them as text or not."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dict | list):
        raise ValueError("expected a name")
    return str(value)


def value_at(row: Mapping[str, Any], path: str) -> Any:
    """The value of a column, "a.b" for b in an object a; None where there is none."""
    if path in row:
        return row[path]
    value: Any = row
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _has(row: Mapping[str, Any], path: str) -> bool:
    head, _, rest = path.partition(".")
    if path in row:
        return True
    inner = row.get(head)
    return bool(rest) and isinstance(inner, Mapping) and _has(inner, rest)


def _names(rows: Sequence[Row]) -> str:
    names: dict[str, None] = {}
    for _, row in rows[:100]:
        names |= dict.fromkeys(row)
    shown = list(names)[:40]
    return ", ".join(map(repr, shown)) + (" and more" if len(names) > len(shown) else "")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
