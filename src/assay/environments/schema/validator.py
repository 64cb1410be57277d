"""The one validator of this environment: jsonschema's for draft 2020-12, with exact decimals and strict formats.

As it comes, jsonschema 4.26 reads 19.99 as the nearest double, which is no multiple of 0.01, and ignores `format`: it
takes "2024-13-45" for a date. Its format checker, where one asks for it, knows neither times nor moments without more
packages, and lets formats pass that it does not know. Here numbers are decimals as they are written, and formats are
those of RFC 3339 and no others; a schema that names another format is refused, since it would be ignored.
"""

from __future__ import annotations

import decimal
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any

import jsonschema
from jsonschema.validators import extend

from assay.errors import DataError

MAX_CHARACTERS = 100_000
MAX_DIGITS = 40
"""Digits of a number, and the largest exponent of one with an exponent, that are read."""
MAX_DEPTH = 64

_EXACT = decimal.Context(prec=200)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME = re.compile(r"(\d{2}:\d{2}:\d{2})(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})", re.ASCII | re.IGNORECASE)
_EMAIL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")


def parse(text: str) -> Any:
    """Return the value of a JSON text, its numbers with a point or an exponent as decimals.

    Raises:
        ValueError: it is no JSON, is too long or nested too deeply, holds NaN or a number of more digits than are read,
            or names a member of an object twice.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"more than {MAX_CHARACTERS:,} characters")
    try:
        value = json.loads(
            text, parse_float=_decimal, parse_int=_whole, parse_constant=_refused, object_pairs_hook=_unique
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if _depth(value) > MAX_DEPTH:
        raise ValueError("nested too deeply")
    return value


def problem_of(value: Any, schema: Mapping[str, Any]) -> str:
    """Return what keeps a value of `parse` from being valid under a schema, with its place; empty where it is valid.

    Args:
        schema: as plain JSON; numbers in it are taken as they are written.
    """
    validator = _Validator(_exact(schema), format_checker=_FORMATS)
    error = next(
        iter(sorted(validator.iter_errors(value), key=lambda error: list(map(str, error.absolute_path)))), None
    )
    if error is None:
        return ""
    place = "/".join(map(str, error.absolute_path)) or "the whole"
    return f"{place}: {error.message}"[:200]


def check_schema(schema: Mapping[str, Any]) -> None:
    """Check that a schema is one, and that all that it asks for is looked at.

    Raises:
        DataError: it is no schema of draft 2020-12, or names a format that is not checked here.
    """
    try:
        jsonschema.Draft202012Validator.check_schema(dict(schema))
    except jsonschema.SchemaError as error:
        raise DataError(f"this is no JSON Schema of draft 2020-12: {error.message[:200]}") from None
    unknown = sorted(set(_formats_in(schema)) - set(_FORMATS.checkers))
    if unknown:
        raise DataError(
            f"the schema names the format {unknown[0]!r}, which nobody would check; known: "
            f"{', '.join(sorted(_FORMATS.checkers))}"
        )


def _decimal(text: str) -> Decimal:
    value = Decimal(text)
    if len(text) > MAX_DIGITS or abs(value.adjusted()) > MAX_DIGITS:
        raise ValueError(f"the number {text[:20]} has more digits than are read")
    return value


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"the number {text[:20]} has more digits than are read")
    return int(text)


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice in one object")
    return found


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return depth


def _exact(schema: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(schema), parse_float=Decimal)


def _is_number(checker: object, value: object) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _is_integer(checker: object, value: object) -> bool:
    """1.0 is a whole number in JSON Schema since draft 6."""
    return _is_number(checker, value) and value == int(value)  # pyright: ignore[reportArgumentType]


def _multiple_of(validator: Any, factor: Any, value: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
    if validator.is_type(value, "number") and _EXACT.remainder(Decimal(value), Decimal(factor)) != 0:
        yield jsonschema.ValidationError(f"{value} is no multiple of {factor}")


_Validator = extend(
    jsonschema.Draft202012Validator,
    validators={"multipleOf": _multiple_of},
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"number": _is_number, "integer": _is_integer}
    ),
)


def _is_date(text: str) -> bool:
    return bool(_DATE.fullmatch(text)) and bool(date.fromisoformat(text))


def _is_time(text: str) -> bool:
    found = _TIME.fullmatch(text)
    return found is not None and bool(time.fromisoformat(found[1])) and _is_offset(found[3])


def _is_offset(text: str) -> bool:
    return text in "Zz" or bool(time.fromisoformat(text[1:]))


def _is_moment(text: str) -> bool:
    return text[10:11] in ("T", "t") and _is_date(text[:10]) and _is_time(text[11:])


def _is_email(text: str) -> bool:
    return bool(_EMAIL.fullmatch(text)) and ".." not in text and not text.startswith(".") and ".@" not in text


def _checked(is_one: Callable[[str], bool]) -> Callable[[object], bool]:
    """A check that lets what is no text pass, as JSON Schema asks."""

    def check(value: object) -> bool:
        return not isinstance(value, str) or is_one(value)

    return check


_FORMATS = jsonschema.FormatChecker(formats=())
for _name, _is_one in (("date", _is_date), ("time", _is_time), ("date-time", _is_moment), ("email", _is_email)):
    _FORMATS.checks(_name, raises=ValueError)(_checked(_is_one))


def _formats_in(schema: Any) -> Iterator[str]:
    waiting = [schema]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Mapping):
            if isinstance(each.get("format"), str):
                yield each["format"]
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
