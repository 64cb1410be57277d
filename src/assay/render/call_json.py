"""JSON of a tool call, read from a position of a text on: bounded in length, depth and numbers, and with errors that a
model can mend."""

from __future__ import annotations

import json
import math
import re
from typing import Any

MAX_CALL_CHARACTERS = 1 << 17
"""Characters of one call's JSON."""
MAX_NESTING = 32
"""Levels of objects and lists within each other in a call."""

_PIECE = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[{}\[\]]', re.DOTALL)
"""Pattern of what decides where JSON ends: a string, or a bracket outside of strings. Linear, whatever the text."""
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_MAX_DIGITS = 400
"""Digits of a whole number: more than any that a float can hold."""
BLANK = " \t\r\n"
SHOWN = 40
"""Characters of a model's own text that an error shows."""


class CallError(ValueError):
    """A call that cannot be read; the message says why."""


def read_json(text: str, begin: int) -> tuple[Any, int]:
    """Return the JSON object or list that begins at a position, and where it ends.

    Raises:
        CallError: there is none, or it is too long or too deep.
    """
    if text[begin : begin + 1] not in ("{", "["):
        raise CallError(f"a tool call is no JSON object but {shown(text[begin:])}")
    end = _end(text, begin)
    source = text[begin : begin + MAX_CALL_CHARACTERS if end is None else end]
    try:
        value = _JSON.decode(source)
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        if end is None and error.pos >= len(source.rstrip()) - 1:
            raise CallError("a tool call is not closed: its JSON does not end") from None
        what = error.msg[:1].lower() + error.msg[1:].removesuffix(" at")
        raise CallError(
            f"a tool call is not JSON: {what} at character {error.pos}, {shown(source[error.pos :])}"
        ) from None
    except UnicodeEncodeError:
        raise CallError("a tool call is not JSON: a string has half of a surrogate pair") from None
    except ValueError as error:
        raise CallError(f"a tool call is not JSON: {str(error)[:100]}") from None
    return value, begin + len(source)


def read_number(text: str) -> int | float | None:
    """Return the number that a whole text is in JSON, or None where it is none.

    Raises:
        CallError: it is too large.
    """
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return _JSON.decode(text)
    except ValueError as error:
        raise CallError(str(error)) from None


def _end(text: str, begin: int) -> int | None:
    """Return the end of the JSON that begins at a position, by its brackets; None where it has none.

    Raises:
        CallError: it is too long or too deep.
    """
    depth = 0
    for piece in _PIECE.finditer(text, begin, min(len(text), begin + MAX_CALL_CHARACTERS + 1)):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(piece.group(), 0)
        if depth > MAX_NESTING:
            raise CallError(f"a tool call is nested deeper than {MAX_NESTING} levels")
        if depth == 0:
            return piece.end()
    if len(text) - begin > MAX_CALL_CHARACTERS:
        raise CallError(f"a tool call is longer than {MAX_CALL_CHARACTERS} characters")
    return None


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:SHOWN]} is too large")
    return number


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"the number {text[:SHOWN]}... is too large")
    return int(text)


def _constant(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON's")


_JSON = json.JSONDecoder(parse_float=_number, parse_int=_integer, parse_constant=_constant)


def skip(text: str, position: int, characters: str = BLANK) -> int:
    """Return the first position from a given one on that holds none of the characters."""
    while position < len(text) and text[position] in characters:
        position += 1
    return position


def shown(text: str) -> str:
    """A model's own text within an error, in one short line."""
    line = " ".join(text[: 4 * SHOWN].split())
    return repr(line[:SHOWN] + ("..." if len(line) > SHOWN or len(text) > 4 * SHOWN else "")) if line else "nothing"
