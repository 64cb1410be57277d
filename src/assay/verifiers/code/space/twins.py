# type: ignore  what crosses has no types that a checker could know, and all of it is checked when it is read
"""Inside a space: twins, the containers and objects that a program and its test file each hold one of.

Their content crosses where it is new or has changed. Runs on Python 3.9 and newer, with the standard library only.
"""

from __future__ import annotations

import array
import collections
import enum
import types
from typing import Any

from assay.verifiers.code.space.plain_values import BASES, SCALARS, CannotCrossError

MAX_DEPTH = 80


def is_by_content(value):
    """Return True where the state of an object is all in its attributes."""
    kind = type(value)
    return not issubclass(kind, (*BASES, list, dict, set, frozenset, BaseException, type, enum.Enum)) and (
        hasattr(value, "__dict__") or bool(slots_of(kind))
    )


def slots_of(kind):
    found = []
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ())
        found += [slots] if isinstance(slots, str) else list(slots)
    return [name for name in found if not name.startswith("__")]


TWIN_KINDS = {
    list: "list",
    dict: "dict",
    set: "set",
    bytearray: "bytearray",
    collections.deque: "deque",
    collections.Counter: "Counter",
    collections.OrderedDict: "OrderedDict",
    collections.defaultdict: "defaultdict",
    array.array: "array",
}
STANDARD = {
    "UserDict": collections.UserDict,
    "UserList": collections.UserList,
    "UserString": collections.UserString,
    "ChainMap": collections.ChainMap,
    "SimpleNamespace": types.SimpleNamespace,
}
"""Classes of the standard library whose objects are all in their attributes, by name."""
_DATA = (dict, list, str)
"""Types of the one attribute that those have, but for a namespace: no other end answers for it."""
_DICTS = {"dict": dict, "Counter": collections.Counter, "OrderedDict": collections.OrderedDict}


def content_of(value, exchange) -> Any:
    """The content of a twin: a tag, and what is in it."""
    kind = TWIN_KINDS.get(type(value))
    encode = exchange.encode
    if kind in ("list", "set", "deque"):
        items = list(value)
        if not SCALARS.issuperset(map(type, items)):
            items = [encode(item, MAX_DEPTH) for item in items]
        return [kind, items, value.maxlen] if kind == "deque" else [kind, items]
    if kind == "bytearray":
        return [kind, bytes(value)]
    if kind == "array":
        return [kind, value.typecode, value.tobytes()]
    if kind is not None:
        pairs = [[encode(key, MAX_DEPTH), encode(item, MAX_DEPTH)] for key, item in dict.items(value)]
        return [kind, pairs, encode(value.default_factory, MAX_DEPTH)] if kind == "defaultdict" else [kind, pairs]
    state = {name: getattr(value, name) for name in slots_of(type(value)) if hasattr(value, name)}
    state.update(getattr(value, "__dict__", {}))
    pairs = [[name, encode(item, MAX_DEPTH)] for name, item in state.items()]
    name = type(value).__qualname__
    return ["object", f"standard {name}" if STANDARD.get(name) is type(value) else name, pairs]


def not_exactly(first, second):
    """Return True where contents that are equal differ in the types of their scalars: 1 is 1.0 and True."""
    if second is None:
        return True
    stack = [(first, second)]
    while stack:
        a, b = stack.pop()
        if type(a) is not type(b) or (isinstance(a, (list, tuple)) and len(a) != len(b)):
            return True
        if isinstance(a, (list, tuple)):
            if len(a) > 16 and list(map(type, a)) != list(map(type, b)):
                return True
            stack += [
                pair
                for pair in zip(a, b)  # noqa: B905, Python 3.9 has no strict
                if type(pair[0]) not in (int, str) or type(pair[1]) is not type(pair[0])
            ]
    return False


def new_twin(content, exchange) -> Any:
    kind = content[0]
    if kind == "object":
        standard, _, name = content[1].partition(" ")
        cls = STANDARD.get(name) if standard == "standard" else exchange.find_class("", content[1])
        if cls is None:
            raise CannotCrossError(f"an object of {content[1]}, which is not known here")
        return cls.__new__(cls) if standard == "standard" else object.__new__(cls)
    if kind == "deque":
        return collections.deque(maxlen=content[2])
    if kind == "array":
        return array.array(content[1])
    if kind == "defaultdict":
        return collections.defaultdict(None)
    return {"list": list, "set": set, "bytearray": bytearray, **_DICTS}[kind]()


def fill_twin(value, content, exchange):
    kind, decode = content[0], exchange.decode
    if kind != TWIN_KINDS.get(type(value), "object"):
        raise CannotCrossError(f"a {kind} in the place of a {type(value).__name__}")
    if kind == "object":
        pairs = [(name, decode(item)) for name, item in content[2]]
        if STANDARD.get(type(value).__qualname__) is type(value) and not isinstance(value, types.SimpleNamespace):
            pairs = [(name, item) for name, item in pairs if name in ("data", "maps") and type(item) in _DATA]
        getattr(value, "__dict__", {}).clear()
        for name, item in pairs:
            if type(name) is str and not name.startswith("__"):
                object.__setattr__(value, name, item)
        return
    if kind == "bytearray":
        value[:] = content[1]
        return
    if kind == "array":
        value[:] = array.array(value.typecode)
        value.frombytes(content[2])
        return
    items = content[1]
    if kind in ("list", "set", "deque"):
        if not SCALARS.issuperset(map(type, items)):
            items = [decode(item) for item in items]
        if kind == "list":
            value[:] = items
            return
        value.clear()
        value.update(items) if kind == "set" else value.extend(items)
        return
    pairs = [(decode(key), decode(item)) for key, item in items]
    if kind == "defaultdict":
        value.default_factory = decode(content[2])
    value.clear()
    for key, item in pairs:
        value[key] = item
