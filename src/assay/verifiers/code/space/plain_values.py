# type: ignore  what crosses has no types that a checker could know, and all of it is checked when it is read
"""Inside a space: plain values, which cross between a program and its test file by what they hold, and never change.

Runs on Python 3.9 and newer, with the standard library only.
"""

from __future__ import annotations

import builtins
import collections
import datetime
import decimal
import fractions
import importlib
import sys
from typing import Any

SCALARS = frozenset((type(None), bool, int, float, complex, str, bytes))
BASES = (int, float, str, bytes, tuple)

SAFE_TYPES = {
    kind.__name__: kind
    for kind in (
        *(bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, range, slice, object),
        *(collections.deque, collections.Counter, collections.OrderedDict, collections.defaultdict),
        *(fractions.Fraction, decimal.Decimal, datetime.date, datetime.datetime, datetime.time, datetime.timedelta),
        type(None),
    )
}
"""Types that cross by name."""


class CannotCrossError(Exception):
    """A value that cannot be looked at, or compared, where it does not live."""


def is_builtin(kind):
    return getattr(builtins, kind.__name__, None) is kind


def builtin_exception(name) -> Any:
    found = getattr(builtins, name, None)
    if not (isinstance(found, type) and issubclass(found, BaseException)):
        raise CannotCrossError("a type of no known name")
    return found


def _moment(value):
    return value.isoformat(), value.fold, _zone(value)


def _zone(value):
    zone = value.tzinfo
    if zone is None:
        return None
    key = getattr(zone, "key", None)
    if type(key) is str:
        return key
    offset = zone.utcoffset(value if isinstance(value, datetime.datetime) else None)
    return None if offset is None else offset.total_seconds()


def _read_moment(kind):
    def read(text, fold, zone):
        value = kind.fromisoformat(text)
        if type(zone) is str:
            import zoneinfo

            value = value.replace(tzinfo=zoneinfo.ZoneInfo(zone))
        return value.replace(fold=fold)

    return read


SIMPLE = {
    frozenset: ("frozenset", lambda value: [tuple(value)]),
    range: ("range", lambda value: [value.start, value.stop, value.step]),
    slice: ("slice", lambda value: [value.start, value.stop, value.step]),
    type(Ellipsis): ("ellipsis", lambda value: []),
    type(NotImplemented): ("notimplemented", lambda value: []),
    fractions.Fraction: ("fraction", lambda value: [value.numerator, value.denominator]),
    decimal.Decimal: ("decimal", lambda value: [str(value)]),
    datetime.date: ("date", lambda value: [value.isoformat()]),
    datetime.timedelta: ("timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    datetime.datetime: ("datetime", _moment),
    datetime.time: ("time", _moment),
    type({}.keys()): ("keys", lambda value: [tuple(value)]),
    type({}.values()): ("values", lambda value: [tuple(value)]),
    type({}.items()): ("items", lambda value: [tuple(value)]),
    memoryview: ("memoryview", lambda value: [bytes(value)]),
}
_ADDRESSES = ("IPv4Address", "IPv6Address", "IPv4Network", "IPv6Network", "IPv4Interface", "IPv6Interface")
_PATHS = ("PurePosixPath", "PosixPath")
IMPORTED = {
    ("uuid", "UUID"): lambda value: [str(value)],
    ("datetime", "timezone"): lambda value: [value.utcoffset(None), value.tzname(None)],
    ("zoneinfo", "ZoneInfo"): lambda value: [value.key],
    ("builtins", "mappingproxy"): lambda value: [dict(value)],
    **{("pathlib", name): lambda value: [str(value)] for name in _PATHS},
    **{("ipaddress", name): lambda value: [str(value)] for name in _ADDRESSES},
}
"""The parts of values of types whose module a program may not have imported: by module and name."""


def plain_parts(value, kind):
    """The tag and the parts of a value that never changes; None for any other."""
    simple = SIMPLE.get(kind)
    if simple is not None:
        return simple[0], simple[1](value)
    name = (kind.__module__, kind.__qualname__)
    if name == ("pathlib._local", kind.__qualname__):
        name = ("pathlib", kind.__qualname__)
    parts = IMPORTED.get(name)
    if parts is None or _imported(*name) is not kind:
        return None
    return ".".join(name), parts(value)


def _imported(module, name):
    """A type of the standard library that both ends have; it is imported where it is not yet."""
    if (module, name) == ("builtins", "mappingproxy"):
        return type(object.__dict__)
    return getattr(importlib.import_module(module), name)


def _read_imported(module, name):
    def read(*parts):
        if name == "mappingproxy" and type(parts[0]) is not dict:
            raise CannotCrossError("a view of what is no dictionary")
        return _imported(module, name)(*parts)

    return read


READ = {
    **{".".join(name): _read_imported(*name) for name in IMPORTED},
    "frozenset": frozenset,
    "range": range,
    "slice": slice,
    "ellipsis": lambda: Ellipsis,
    "notimplemented": lambda: NotImplemented,
    "fraction": fractions.Fraction,
    "decimal": decimal.Decimal,
    "date": datetime.date.fromisoformat,
    "timedelta": datetime.timedelta,
    "datetime": _read_moment(datetime.datetime),
    "time": _read_moment(datetime.time),
    "keys": lambda items: dict.fromkeys(items).keys(),
    "values": lambda items: dict(enumerate(items)).values(),
    "items": lambda items: dict(items).items(),
    "memoryview": memoryview,
}


def decode_array(tag, kind, *rest) -> Any:
    import numpy

    kind = numpy.dtype(kind)
    if kind.hasobject:
        raise CannotCrossError("an array of objects")
    if tag == "scalar":
        return numpy.frombuffer(rest[0], kind)[0]
    return numpy.frombuffer(rest[1], kind).reshape(rest[0]).copy()


def decode_module(name):
    if name not in sys.modules:
        raise CannotCrossError(f"the module {name}")
    return sys.modules[name]
