"""Plain values as bytes: what crosses between a program nobody trusts and whoever judges it.

Only exact built-in types: None, bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, nested. A
subclass does not cross, so nothing that a program overrides (`__eq__`, `__hash__`, `__sub__`) reaches the judge. NaN,
infinities, big integers and lone surrogates survive. No pickle, no eval: reading builds such values or raises.

The same code runs inside the space, on Python 3.9 and newer, with the standard library only.
"""

from __future__ import annotations

import array
import struct
import sys
from collections import Counter
from typing import Any

MAX_DEPTH = 100
MAX_BYTES = 64 << 20
MAX_EQUAL_HASHES = 32
"""Keys of one dict or set with one hash. Numbers can be chosen to collide, and n that do cost n * n steps."""

_COUNT = struct.Struct("<I")
_FLOAT = struct.Struct("<d")
_COMPLEX = struct.Struct("<dd")
_SEQUENCES = {list: b"l", tuple: b"t", set: b"e", frozenset: b"z"}
_ARRAYS = {int: ("q", b"I"), float: ("d", b"D")}
_SWAPPED = sys.byteorder == "big"


class NotPlainError(ValueError):
    """A value that may not cross, or bytes that are none.

    Attributes:
        type_name: the type that may not cross; empty where it is not the type that is at fault.
    """

    def __init__(self, message, type_name=""):
        super().__init__(message)
        self.type_name = type_name


def encode(value, max_bytes=MAX_BYTES) -> bytes:
    """The value as bytes.

    Raises:
        NotPlainError: a type that may not cross, more than `max_bytes`, or nested deeper than MAX_DEPTH.
    """
    parts = []
    _write(value, parts, [max_bytes], MAX_DEPTH)
    return b"".join(parts)


def decode(data: bytes) -> Any:
    """The value that `encode` wrote.

    Raises:
        NotPlainError: bytes that are not exactly one value, nested too deep, or made to collide.
    """
    value, end = _read(data, 0, MAX_DEPTH)
    if end != len(data):
        raise NotPlainError(f"{len(data) - end} bytes follow the value")
    return value


def _write(value, parts, left, depth):
    if depth < 0:
        raise NotPlainError(f"nested deeper than {MAX_DEPTH}")
    kind = type(value)
    if value is None:
        data = b"N"
    elif kind is bool:
        data = b"T" if value else b"F"
    elif kind is int:
        digits = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        data = b"i" + _COUNT.pack(len(digits)) + digits
    elif kind is float:
        data = b"f" + _FLOAT.pack(value)
    elif kind is complex:
        data = b"c" + _COMPLEX.pack(value.real, value.imag)
    elif kind is str:
        # A character is at least a byte: nothing large is made only to be refused.
        _take(left, len(value))
        text = value.encode("utf-8", "surrogatepass")
        left[0] += len(value)
        data = b"s" + _COUNT.pack(len(text)) + text
    elif kind is bytes:
        data = b"b" + _COUNT.pack(len(value)) + value
    elif kind is dict:
        _put(b"d" + _COUNT.pack(len(value)), parts, left)
        for key, item in value.items():
            _write(key, parts, left, depth - 1)
            _write(item, parts, left, depth - 1)
        return
    elif kind in _SEQUENCES:
        data = _packed(value) if kind is list else None
        if data is None:
            _put(_SEQUENCES[kind] + _COUNT.pack(len(value)), parts, left)
            for item in value:
                _write(item, parts, left, depth - 1)
            return
    else:
        raise NotPlainError(f"{kind.__name__} is not a plain built-in type", kind.__name__)
    _put(data, parts, left)


def _packed(values):
    """A list of numbers of one kind as an array; None where it is not one."""
    if len(values) < 4:
        return None
    kinds = set(map(type, values))
    kind = kinds.pop()
    if kinds or kind not in _ARRAYS:
        return None
    code, tag = _ARRAYS[kind]
    try:
        numbers = array.array(code, values)
    except OverflowError:
        return None
    if _SWAPPED:
        numbers.byteswap()
    return tag + _COUNT.pack(len(numbers)) + numbers.tobytes()


def _put(data, parts, left):
    _take(left, len(data))
    parts.append(data)


def _take(left, num_bytes):
    left[0] -= num_bytes
    if left[0] < 0:
        raise NotPlainError("the value is too large")


def _read(data, at, depth):
    if depth < 0:
        raise NotPlainError(f"nested deeper than {MAX_DEPTH}")
    tag = data[at : at + 1]
    at += 1
    if tag == b"N":
        return None, at
    if tag in (b"T", b"F"):
        return tag == b"T", at
    if tag == b"f":
        return _FLOAT.unpack(_slice(data, at, 8))[0], at + 8
    if tag == b"c":
        return complex(*_COMPLEX.unpack(_slice(data, at, 16))), at + 16
    if tag not in (b"i", b"s", b"b", b"d", b"l", b"t", b"e", b"z", b"I", b"D"):
        raise NotPlainError(f"byte {at - 1} begins no value")
    count = _COUNT.unpack(_slice(data, at, 4))[0]
    at += 4
    if tag in (b"i", b"s", b"b"):
        return _text_or_number(tag, _slice(data, at, count)), at + count
    if tag in (b"I", b"D"):
        numbers = array.array("q" if tag == b"I" else "d")
        numbers.frombytes(_slice(data, at, 8 * count))
        if _SWAPPED:
            numbers.byteswap()
        return numbers.tolist(), at + 8 * count
    return _container(tag, count, data, at, depth)


def _slice(data, at, count):
    if count > len(data) - at:
        raise NotPlainError("the bytes end within a value")
    return data[at : at + count]


def _text_or_number(tag, raw):
    if tag == b"b":
        return bytes(raw)
    if tag == b"i":
        return int.from_bytes(raw, "little", signed=True)
    try:
        return str(raw, "utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise NotPlainError("text that is not UTF-8") from None


def _container(tag, count, data, at, depth):
    # Each item is at least a byte.
    if count * (2 if tag == b"d" else 1) > len(data) - at:
        raise NotPlainError("the bytes end within a value")
    items = []
    values = []
    for _ in range(count):
        item, at = _read(data, at, depth - 1)
        items.append(item)
        if tag == b"d":
            value, at = _read(data, at, depth - 1)
            values.append(value)
    if tag == b"l":
        return items, at
    if tag == b"t":
        return tuple(items), at
    try:
        hashes = list(map(hash, items))
    except TypeError:
        raise NotPlainError("a key that cannot be hashed") from None
    # To count is slow, and needed where so many are equal at all.
    too_many = len(hashes) - len(set(hashes)) >= MAX_EQUAL_HASHES
    if too_many and max(Counter(hashes).values()) > MAX_EQUAL_HASHES:
        raise NotPlainError("keys made to collide")
    if tag == b"d":
        return dict(zip(items, values)), at  # noqa: B905, Python 3.9 has no strict
    return (set(items) if tag == b"e" else frozenset(items)), at
