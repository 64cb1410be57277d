"""Values of a row as JSON has them, and their text."""

from __future__ import annotations

import decimal
import json
import math
from typing import Any

MAX_DIGITS = 4000
"""Most digits of a whole number that is read as one; Python refuses to make numbers of much more."""
_DOUBLE_DIGITS = 17
"""Significant digits that tell all doubles apart."""


class LongNumber(float):
    """A JSON number with more digits than a double holds, or beyond its range: the nearest double, whose text has all
    of the number's digits."""

    _text: str

    def __new__(cls, text: str) -> LongNumber:
        self = super().__new__(cls, text)
        self._text = text
        return self

    def __str__(self) -> str:
        return self._text

    def __reduce__(self) -> tuple[type[LongNumber], tuple[str]]:
        return LongNumber, (self._text,)


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text. NaN, which is how tables write "nothing", is None; numbers beyond a double keep their
    digits.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, parse_float=_real, parse_int=_whole, parse_constant=_constant)


def plain(value: Any) -> Any:
    """The value as JSON has it; what JSON has no form for (dates, decimals) as text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def text_of(value: str | bool | float) -> str:
    """The value as text: true and false as JSON writes them, a whole number without a point, no number in an exponent
    form that its digits need not."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not isinstance(value, LongNumber) and value.is_integer():
        return format(decimal.Decimal(repr(value)), ".0f")
    return str(value)


def _real(text: str) -> float:
    number = float(text)
    mantissa = text.lower().partition("e")[0]
    digits = mantissa.replace(".", "").lstrip("-0").rstrip("0")
    out_of_range = math.isinf(number) or (number == 0 and bool(digits))
    return LongNumber(text) if out_of_range or len(digits) > _DOUBLE_DIGITS else number


def _whole(text: str) -> float:
    return int(text) if len(text) <= MAX_DIGITS else LongNumber(text)


def _constant(name: str) -> float | None:
    return None if name == "NaN" else float(name)
