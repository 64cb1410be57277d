"""Comparison of an output with the expected one. Outputs are bytes: what is not UTF-8 is a wrong answer, not an
error."""

from __future__ import annotations

import math
import re
from typing import Any

from assay.suite import Comparison

DEFAULT_TOLERANCE = 1e-6
_ROUNDING = 1e-12
"""Relative, of a float that stands for a whole number: a little more than the rounding of a sum."""
_FRACTIONAL = re.compile(rb"[.eE]")
_NUMBER = re.compile(rb"[+-]?(?:\d{1,400}\.?\d{0,400}|\.\d{1,400})(?:[eE][+-]?\d{1,4})?")


def same_output(expected: bytes, output: bytes, comparison: Comparison, tolerance: float) -> bool:
    """Return True where an output is the expected one.

    exact: the same bytes, but for the kind of line ends and for line ends at the very end. tokens: the same words
    between white space, where numbers need only be near if one of the two is written with a point or an exponent:
    0.3333333333333333 is 0.3333333333, and 1000000008 is not 1000000007. floats: the same, near meaning `tolerance`
    and not 1e-6, absolutely or relative to the expected one. "nan" and "inf" are words like others.
    """
    if comparison == "exact":
        return _lines(expected) == _lines(output)
    first, second = expected.split(), output.split()
    if len(first) != len(second):
        return False
    if first == second:
        return True
    tolerance = tolerance if comparison == "floats" else DEFAULT_TOLERANCE
    return all(a == b or _close(a, b, tolerance) for a, b in zip(first, second, strict=True))


def _lines(text: bytes) -> bytes:
    return text.replace(b"\r\n", b"\n").rstrip(b"\n")


def _close(expected: bytes, word: bytes, tolerance: float) -> bool:
    if not (_NUMBER.fullmatch(expected) and _NUMBER.fullmatch(word)):
        return False
    whole = not _FRACTIONAL.search(expected)
    if whole and not _FRACTIONAL.search(word):
        return False  # two whole numbers, which are not the same word
    first, second = float(expected), float(word)
    return math.isfinite(second) and near(int(expected) if whole else first, second, tolerance)


def near(expected: float, value: float, tolerance: float) -> bool:
    """Return True where two numbers are the same, or near where one of them is a float.

    Near means within `tolerance`, absolutely or relative to the expected one. A float in the place of an expected whole
    number may be off by that absolutely, but relatively by rounding only. Numbers that are not finite are near nothing.
    """
    if isinstance(expected, int) and isinstance(value, int):
        return expected == value
    try:
        if not (math.isfinite(expected) and math.isfinite(value)):
            return expected == value
        relative = min(tolerance, _ROUNDING) if isinstance(expected, int) else tolerance
        return abs(expected - value) <= max(tolerance, relative * abs(expected))
    except OverflowError:
        return False


def same_json(expected: object, value: object, tolerance: float | None) -> bool:
    """Return True where a returned value is the expected JSON value: as `==`, with tuples as lists, keys of
    dictionaries as JSON has them, and floats `near`; a tolerance of None is 1e-6."""
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(expected, list):
        return (
            isinstance(value, list)
            and len(expected) == len(value)
            and all(same_json(a, b, tolerance) for a, b in zip(expected, value, strict=True))
        )
    if isinstance(expected, dict):
        if not isinstance(value, dict) or len(expected) != len(value):
            return False
        by_text = {key if isinstance(key, str) else _json_key(key): item for key, item in value.items()}
        return len(by_text) == len(value) and all(
            key in by_text and same_json(item, by_text[key], tolerance) for key, item in expected.items()
        )
    if _is_number(expected) and _is_number(value):
        return near(expected, value, DEFAULT_TOLERANCE if tolerance is None else tolerance)  # type: ignore[arg-type]
    return expected == value


def _are_finite(*numbers: Any) -> bool:
    """Return True where a tolerance means anything: an infinite number is within its own tolerance of every other."""
    return all(isinstance(number, int) or math.isfinite(number) for number in numbers)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _json_key(key: object) -> str | None:
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int):
        return str(key) if key.bit_length() < 4096 else None
    return "null" if key is None else repr(key) if isinstance(key, float) else None


def close_values(expected: object, value: object, tolerance: float) -> bool:
    """Return True where numbers, or sequences of numbers of the same shape, differ by at most tolerance + 1e-7
    |expected|: how EvalPlus compares (Liu et al. 2023, https://arxiv.org/abs/2305.01210)."""
    if isinstance(expected, list | tuple):
        return (
            isinstance(value, list | tuple)
            and len(expected) == len(value)
            and all(close_values(a, b, tolerance) for a, b in zip(expected, value, strict=True))
        )
    if not isinstance(expected, int | float) or not isinstance(value, int | float):
        return expected == value
    try:
        return expected == value or (
            _are_finite(expected, value) and abs(expected - value) <= tolerance + 1e-7 * abs(expected)
        )
    except OverflowError:
        return False


def is_floats(value: object) -> bool:
    """Return True where a value is a float, or a sequence that holds nothing else."""
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(item, float) for item in value)
    return isinstance(value, float)
