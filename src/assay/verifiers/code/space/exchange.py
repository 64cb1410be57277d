# type: ignore  what crosses has no types that a checker could know, and all of it is checked when it is read
"""Inside a space: values as they cross between a program and its test file, each of which runs in a space of its own.

Both ends run this text. What crosses is plain (`assay.sandbox.values`), in a form that keeps more than plain values do:

    scalar              itself
    (tag, ...)          a value that never changes: a tuple, a fraction, a date, an exception
    ("#", number)       a twin: a list, dictionary, set, ... that both ends hold, each its own. Its content crosses
                        where it is new or has changed, so that a change in place on one end is one on the other
    ("mine", handle..)  anything else stays where it is. The other end holds a stand-in, whose use is asked for here
    ("yours", handle)   a stand-in comes home

Nothing is unpickled, and no class is made that the end that reads does not have, but for stand-ins. Neither end trusts
what it reads to be in this form; that a test trusts no answer is its end's business (`test_end`).

Runs on Python 3.9 and newer, with the standard library only.
"""

from __future__ import annotations

import builtins
import collections
import datetime
import decimal
import enum
import fractions
import inspect
import sys
import types
from typing import Any

SCALARS = frozenset((type(None), bool, int, float, complex, str, bytes))
BASES = (int, float, str, bytes, tuple)
MAX_TWINS = 20_000
MAX_DEPTH = 80
EMPTY = inspect.Parameter.empty

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
UNARY = (
    *("__len__", "__bool__", "__str__", "__repr__", "__int__", "__float__", "__index__", "__complex__", "__bytes__"),
    *("__neg__", "__pos__", "__abs__", "__invert__", "__trunc__", "__floor__", "__ceil__", "__iter__", "__reversed__"),
    *("__enter__", "__aenter__", "__aiter__", "__anext__", "__fspath__", "__dir__", "__length_hint__"),
)
KEYED = ("__getitem__", "__setitem__", "__delitem__", "__format__", "__round__", "__exit__", "__aexit__", "__call__")
COMPARISONS = ("__lt__", "__le__", "__gt__", "__ge__")
BINARY = tuple(
    f"__{prefix}{name}__"
    for name in (
        *("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "divmod", "pow", "lshift", "rshift"),
        *("and", "xor", "or"),
    )
    for prefix in ("", "r", "i")
    if not (prefix == "i" and name == "divmod")
)
SPECIAL = frozenset((*UNARY, *KEYED, *COMPARISONS, *BINARY, "__contains__", "__next__", "__await__"))


class CannotCrossError(Exception):
    """A value that cannot be looked at, or compared, where it does not live."""


class Exchange:
    """One end.

    Args:
        parity: 0 or 1: numbers of twins and handles that this end gives away.
        ask: (question) to the other end's answer; both plain.
        find_class: a name to a class that both ends have, or None.
        own: whether a class is defined by this end's own text, so that its instances cross by their content.
    """

    def __init__(self, parity, ask, find_class, own):
        self.ask, self.find_class, self.own = ask, find_class, own
        self.next = parity + 2
        self.handles, self.handle_of = {}, {}
        self.stand_ins, self.classes = {}, {}
        self.twins, self.number_of = {}, {}
        self.contents, self.told, self.waiting = {}, set(), {}
        probe = {0: [[], None]}
        self.baseline = sys.getrefcount(probe[0][0])

    # What goes out

    def pack(self, value) -> Any:
        """The value as a message. Raises CannotCrossError."""
        self.contents, self.waiting = {}, {}
        try:
            known = list(self.twins)
            packed = self.encode(value, MAX_DEPTH)
            for number in known:
                self.put_content(number)
        except RecursionError:
            raise CannotCrossError("a value nested too deep") from None
        message = (packed, self.contents, self.unused())
        self.contents = {}
        return message

    def encode(self, value, depth) -> Any:
        kind = type(value)
        if kind in SCALARS:
            return value
        if depth < 0:
            raise CannotCrossError("a value nested too deep")
        if kind is tuple:
            return ("tuple", [self.encode(item, depth - 1) for item in value])
        if kind in TWIN_KINDS:
            return self.twin(value)
        handle = stand_in_handle(value, kind)
        if handle is not None:
            return ("yours", handle)
        simple = SIMPLE.get(kind)
        if simple is not None:
            return (simple[0], *[self.encode(part, depth - 1) for part in simple[1](value)])
        if isinstance(value, BaseException):
            return self.encode_exception(value, depth - 1)
        if isinstance(value, type):
            return self.encode_class(value)
        if isinstance(value, types.ModuleType) and value.__name__ in sys.stdlib_module_names:
            return ("module", value.__name__)
        array = self.encode_array(value)
        if array is not None:
            return array
        if self.own(kind) and is_by_content(value):
            return self.twin(value)
        return self.give_away(value, depth)

    def encode_array(self, value):
        """Of numpy's: an array of numbers as its bytes, a scalar as a number."""
        if type(value).__module__.partition(".")[0] != "numpy" or "numpy" not in sys.modules:
            return None
        numpy = sys.modules["numpy"]
        if isinstance(value, numpy.generic) and type(value.item()) in SCALARS:
            return ("scalar", value.dtype.str, value.tobytes()) if value.dtype.kind in "biufc" else value.item()
        if type(value) is numpy.ndarray and value.dtype.kind in "biufcUS":
            return ("array", value.dtype.str, list(value.shape), value.tobytes())
        return None

    def encode_exception(self, error, depth):
        if depth < 0:
            return None
        kind = type(error)
        self.tell_class(kind)
        state = {key: item for key, item in vars(error).items() if type(item) in SCALARS}
        if isinstance(error, OSError):
            state.update(
                {key: getattr(error, key) for key in ("filename", "filename2") if type(getattr(error, key)) is str}
            )
        try:
            text = str(error)
        except Exception:
            text = ""
        arguments = [self.encode(argument, depth) for argument in error.args]
        cause = None if error.__cause__ is None else self.encode_exception(error.__cause__, depth - 1)
        return ("exception", self.class_ref(kind), arguments, state, text if type(text) is str else "", cause)

    def encode_class(self, kind):
        handle = vars(kind).get("_assay_class")
        if handle is not None and handle in self.classes:
            return ("yours", handle)
        if SAFE_TYPES.get(kind.__name__) is kind or (issubclass(kind, BaseException) and is_builtin(kind)):
            return ("type", kind.__name__)
        self.tell_class(kind)
        return self.class_ref(kind)

    def class_ref(self, kind):
        if SAFE_TYPES.get(kind.__name__) is kind or is_builtin(kind):
            return ("type", kind.__name__)
        return ("class", self.handle(kind))

    def tell_class(self, kind):
        """Puts what a stand-in of the class needs among the contents."""
        if self.class_ref(kind)[0] == "type":
            return
        handle = self.handle(kind)
        if handle in self.told:
            return
        self.told.add(handle)
        for base in kind.__bases__:
            self.tell_class(base)
        names = [name for name in sorted(SPECIAL) if getattr(kind, name, None) is not None]
        base = next((b for b in (*BASES, list, dict, set, frozenset) if issubclass(kind, b)), None)
        same = base is not None and kind.__eq__ is base.__eq__
        known = {
            "name": kind.__name__,
            "module": str(getattr(kind, "__module__", "")),
            "qualname": kind.__qualname__,
            "bases": [self.class_ref(each) for each in kind.__bases__],
            "names": names,
            "base": base.__name__ if same and base else "",
            "equal": kind.__eq__ is not object.__eq__ and not same,
            "hashed": kind.__hash__ is not object.__hash__ and kind.__hash__ is not None,
            "meta": [
                name for name in ("__iter__", "__len__", "__getitem__", "__contains__") if hasattr(type(kind), name)
            ],
        }
        self.contents[f"class {handle}"] = known

    def give_away(self, value, depth):
        kind = type(value)
        if isinstance(value, types.FunctionType) and vars(value).keys() <= {"__wrapped__"}:
            return ("mine", self.handle(value), "function", function_facts(value, self))
        if isinstance(value, types.CoroutineType) or (hasattr(kind, "__await__") and kind.__module__ in _ITERATORS):
            return ("mine", self.handle(value), "coroutine", getattr(value, "__name__", kind.__name__))
        if isinstance(value, types.GeneratorType) or (hasattr(kind, "__next__") and kind.__module__ in _ITERATORS):
            return ("mine", self.handle(value), "generator", getattr(value, "__name__", kind.__name__))
        self.tell_class(kind)
        base = next((b for b in BASES if issubclass(kind, b)), None)
        if base is not None and kind.__eq__ is base.__eq__:
            plain = (
                base([*base.__iter__(value)])
                if base is tuple
                else base.__new__(base, base.__str__(value) if base is str else value)
            )
            return ("mine", self.handle(value), self.class_ref(kind), self.encode(plain, depth - 1))
        return ("mine", self.handle(value), self.class_ref(kind), None)

    def handle(self, value) -> Any:
        found = self.handle_of.get(id(value))
        if found is None:
            found, self.next = self.next, self.next + 2
            self.handles[found] = value
            self.handle_of[id(value)] = found
        return found

    def twin(self, value) -> Any:
        number = self.number_of.get(id(value))
        if number is None:
            if len(self.twins) >= MAX_TWINS:
                raise CannotCrossError("too many containers")
            number, self.next = self.next, self.next + 2
            self.twins[number] = [value, None]
            self.number_of[id(value)] = number
            self.put_content(number)
        return ("#", number)

    def put_content(self, number):
        """Encodes the content of a twin, and of new ones within it, where it has changed."""
        if number in self.waiting:
            return
        nested, self.waiting[number] = bool(self.waiting), True
        while not nested and self.waiting:
            number = next(iter(self.waiting))
            entry = self.twins[number]
            content = content_of(entry[0], self)
            del self.waiting[number]
            if content != entry[1] or not_exactly(content, entry[1]):
                entry[1] = content
                self.contents[number] = content

    def unused(self):
        """Forgets the twins that nobody but this table holds here, and returns their numbers: what the other end does
        to its own from now on is its own."""
        found = [number for number, entry in self.twins.items() if sys.getrefcount(entry[0]) <= self.baseline]
        for number in found:
            self.forget(number)
        return found

    def forget(self, number):
        entry = self.twins.pop(number, None)
        if entry is not None:
            self.number_of.pop(id(entry[0]), None)

    # What comes in

    def unpack(self, message) -> Any:
        packed, contents, dropped = message
        for key, known in contents.items():
            if type(key) is str:
                self.classes.setdefault(int(key[6:]), known)
        fresh = {number: content for number, content in contents.items() if type(number) is int}
        for number, content in fresh.items():
            if number not in self.twins:
                value = new_twin(content, self)
                self.twins[number] = [value, None]
                self.number_of[id(value)] = number
        # Objects first: what is hashed by its content comes after what it is made of.
        for number in sorted(fresh, key=lambda each: fresh[each][0] != "object"):
            fill_twin(self.twins[number][0], fresh[number], self)
            self.twins[number][1] = fresh[number]
        value = self.decode(packed)
        for number in dropped:
            self.forget(number)
        return value

    def decode(self, packed) -> Any:
        if type(packed) is not tuple:
            if type(packed) in SCALARS:
                return packed
            raise CannotCrossError("a value of no known form")
        tag, *rest = packed
        if tag == "tuple":
            return tuple([self.decode(item) for item in rest[0]])
        if tag == "#":
            return self.twins[rest[0]][0]
        if tag == "yours":
            return self.handles[rest[0]]
        if tag == "mine":
            return self.stand_in(*rest)
        if tag == "exception":
            return self.decode_exception(*rest)
        if tag == "type":
            return SAFE_TYPES[rest[0]] if rest[0] in SAFE_TYPES else builtin_exception(rest[0])
        if tag == "class":
            return self.class_of(rest[0])
        if tag == "module":
            return decode_module(rest[0])
        if tag in ("scalar", "array"):
            return decode_array(tag, *rest)
        return READ[tag](*[self.decode(part) for part in rest])

    def stand_in(self, handle, kind, more) -> Any:
        found = self.stand_ins.get(handle)
        if found is None:
            if kind == "function":
                found = function_stand_in(handle, more, self)
            elif kind == "generator":
                found = generator_stand_in(handle, more, self)
            elif kind == "coroutine":
                found = coroutine_stand_in(handle, more, self)
            else:
                cls = self.decode(kind)
                plain = self.decode(more)
                if plain is None or not issubclass(cls, type(plain)):
                    found = object.__new__(cls)
                else:
                    found = type(plain).__new__(cls, plain)
                object.__setattr__(found, "_assay_handle", handle)
            self.stand_ins[handle] = found
        return found

    def class_of(self, handle) -> Any:
        known = self.classes[handle]
        if isinstance(known, dict):
            bases = tuple([self.decode(base) for base in known["bases"]])
            known = self.classes[handle] = stand_in_class(handle, known, bases, self)
            self.stand_ins[handle] = known
        return known

    def decode_exception(self, kind, arguments, state, text, cause) -> Any:
        cls = self.decode(kind)
        if not (isinstance(cls, type) and issubclass(cls, BaseException)):
            raise CannotCrossError("an exception of no known class")
        given = [self.decode(argument) for argument in arguments]
        try:
            error = cls(*given) if is_builtin(cls) else cls.__new__(cls, *given)
        except Exception:
            error = cls.__new__(cls)
        if not is_builtin(cls):
            error.args = tuple(given)
        for key, item in state.items():
            try:
                setattr(error, key, item)
            except Exception:
                continue
        if "_assay_class" in vars(cls):
            error._assay_text = text
        because = self.decode(cause)
        if isinstance(because, BaseException):
            error.__cause__ = because
        return error


class Remote:
    """A stand-in for an object of the other end."""

    _assay_exchange: Any = None
    _assay_equal = False

    def __getattr__(self, name):
        if name.startswith("_assay_"):
            raise AttributeError(name)
        return self._assay_exchange.ask("get", self, name)

    def __setattr__(self, name, value):
        self._assay_exchange.ask("set", self, name, value)

    def __delattr__(self, name):
        self._assay_exchange.ask("delete", self, name)

    def __reduce__(self):
        raise CannotCrossError("a stand-in cannot be copied")


class RemoteClass(type):
    """The class of stand-ins for one class of the other end, which is called there."""

    def __call__(cls, *arguments, **keywords):
        if "_assay_class" not in vars(cls):
            raise CannotCrossError("a class that is derived from one of the other end")
        return cls._assay_exchange.ask("call", cls, arguments, keywords)

    def __getattr__(cls, name):
        if name.startswith(("_assay_", "__")) and name not in (
            "__dataclass_fields__",
            "__members__",
            "__annotations__",
        ):
            raise AttributeError(name)
        return cls._assay_exchange.ask("get", cls, name)

    def __setattr__(cls, name, value):
        if name.startswith("_assay_") or name in ("__abstractmethods__", "__doc__"):
            type.__setattr__(cls, name, value)
        else:
            cls._assay_exchange.ask("set", cls, name, value)

    def __delattr__(cls, name):
        cls._assay_exchange.ask("delete", cls, name)

    def __iter__(cls):
        return iter(cls._assay_exchange.ask("items", cls))

    def __len__(cls):
        return cls._assay_exchange.ask("special", cls, "__len__")

    def __getitem__(cls, key):
        return cls._assay_exchange.ask("special", cls, "__getitem__", key)

    def __contains__(cls, item):
        return any(item is each for each in cls)


class RemoteExceptionClass(type):
    """The class of exceptions of a class of the other end: they are made here."""

    def __call__(cls, *arguments, **keywords):
        return type.__call__(cls, *arguments) if not keywords else type.__call__(cls, *arguments, *keywords.values())


def stand_in_handle(value, kind) -> Any:
    """The handle of a stand-in; None for anything else."""
    if kind is types.FunctionType or issubclass(kind, Remote):
        return vars(value).get("_assay_handle")
    found = STAND_IN_HANDLES.get(id(value))
    return found[1] if found is not None and found[0] is value else None


def stand_in_class(handle, known, bases, exchange) -> Any:
    """A class of stand-ins, for what the other end says of a class of its own."""
    shared = exchange.find_class(known["module"], known["qualname"])
    if shared is not None and issubclass(shared, BaseException):
        return shared
    if any(issubclass(base, BaseException) for base in bases):
        bases = tuple([base for base in bases if issubclass(base, BaseException)])
        namespace = {
            "_assay_class": handle,
            "_assay_text": None,
            "__init__": lambda self, *arguments, **keywords: None,
            "__str__": lambda self: bases[0].__str__(self) if self._assay_text is None else self._assay_text,
            "__module__": known["module"],
            "__qualname__": known["qualname"],
        }
        return type(bases[0])(known["name"], bases, namespace)
    base = SAFE_TYPES.get(known["base"])
    mixed = [each for each in bases if issubclass(each, Remote)]
    if base in BASES and not any(issubclass(each, base) for each in mixed):
        mixed.append(base)
    namespace = {
        "_assay_class": handle,
        "_assay_exchange": exchange,
        "_assay_equal": known["equal"],
        "_assay_base": "" if base in BASES else known["base"],
        "__module__": known["module"],
        "__qualname__": known["qualname"],
        **({} if base in BASES else exchange.special_methods(known)),
    }
    real = shared if shared is not None and shared is not object else None
    if real is not None:
        namespace["__class__"] = property(lambda self: real)
    if not any(issubclass(each, Remote) for each in mixed):
        mixed.insert(0, Remote)
    return RemoteClass(known["name"], tuple(mixed), namespace)


def is_builtin(kind):
    return getattr(builtins, kind.__name__, None) is kind


def builtin_exception(name) -> Any:
    found = getattr(builtins, name, None)
    if not (isinstance(found, type) and issubclass(found, BaseException)):
        raise CannotCrossError("a type of no known name")
    return found


def is_by_content(value):
    """Whether the state of an object is all in its attributes."""
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


_ITERATORS = ("builtins", "itertools")
TWIN_KINDS = {
    list: "list",
    dict: "dict",
    set: "set",
    bytearray: "bytearray",
    collections.deque: "deque",
    collections.Counter: "Counter",
    collections.OrderedDict: "OrderedDict",
    collections.defaultdict: "defaultdict",
}
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
    if kind is not None:
        pairs = [[encode(key, MAX_DEPTH), encode(item, MAX_DEPTH)] for key, item in dict.items(value)]
        return [kind, pairs, encode(value.default_factory, MAX_DEPTH)] if kind == "defaultdict" else [kind, pairs]
    state = {name: getattr(value, name) for name in slots_of(type(value)) if hasattr(value, name)}
    state.update(getattr(value, "__dict__", {}))
    pairs = [[name, encode(item, MAX_DEPTH)] for name, item in state.items()]
    return ["object", type(value).__qualname__, pairs]


def not_exactly(first, second):
    """Whether contents that are equal differ in the types of their scalars: 1 is 1.0 and True."""
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
        cls = exchange.find_class("", content[1])
        if cls is None:
            raise CannotCrossError(f"an object of {content[1]}, which is not known here")
        return object.__new__(cls)
    if kind == "deque":
        return collections.deque(maxlen=content[2])
    if kind == "defaultdict":
        return collections.defaultdict(None)
    return {"list": list, "set": set, "bytearray": bytearray, **_DICTS}[kind]()


def fill_twin(value, content, exchange):
    kind, decode = content[0], exchange.decode
    if kind != TWIN_KINDS.get(type(value), "object"):
        raise CannotCrossError(f"a {kind} in the place of a {type(value).__name__}")
    if kind == "object":
        pairs = [(name, decode(item)) for name, item in content[2]]
        getattr(value, "__dict__", {}).clear()
        for name, item in pairs:
            if type(name) is str and not name.startswith("__"):
                object.__setattr__(value, name, item)
        return
    if kind == "bytearray":
        value[:] = content[1]
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
READ = {
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


def function_facts(function, exchange):
    """What a stand-in for a function shows."""
    parameters = []
    try:
        for each in inspect.signature(function).parameters.values():
            default = each.default
            known = (
                ("some", default if type(default) in SCALARS else repr(default)[:100]) if default is not EMPTY else ()
            )
            parameters.append([each.name, int(each.kind), known])
    except (TypeError, ValueError):
        parameters = None
    facts = {"name": function.__name__, "qualname": function.__qualname__, "doc": function.__doc__}
    return {
        **{key: value if type(value) is str else "" for key, value in facts.items()},
        "parameters": parameters,
        "is_coroutine": inspect.iscoroutinefunction(function),
    }


def function_stand_in(handle, facts, exchange) -> Any:
    """A function that is called on the other end."""
    if facts["is_coroutine"]:

        async def function(*arguments, **keywords):
            return await exchange.ask("call", function, arguments, keywords)

    else:

        def function(*arguments, **keywords):
            return exchange.ask("call", function, arguments, keywords)

    function._assay_handle = handle
    function.__name__, function.__qualname__ = facts["name"], facts["qualname"]
    function.__doc__ = facts["doc"] or None
    if facts["parameters"] is not None:
        parameters = [
            inspect.Parameter(name, kind, default=default[1] if default else EMPTY)
            for name, kind, default in facts["parameters"]
        ]
        function.__signature__ = inspect.Signature(parameters)
    return function


def generator_stand_in(handle, name, exchange) -> Any:
    """A generator whose items are asked for: one by one at first, later several at a time where nothing is sent."""

    def generate():
        ahead, taken = 1, 0
        question = ("advance", "next", None, ahead)
        while True:
            items, end, error = exchange.ask(question[0], box[0], *question[1:])
            received = None
            for item in items:
                taken += 1
                try:
                    received = yield item
                except GeneratorExit:
                    exchange.ask("advance", box[0], "close", None, 1)
                    raise
                except BaseException as thrown:
                    question = ("advance", "throw", thrown, 1)
                    break
                if received is not None:
                    question = ("advance", "send", received, 1)
                    break
            else:
                if error is not None:
                    raise error
                if end is not None:
                    return end[0]
                ahead = min(1024, 2 * ahead) if taken > 8 else 1
                question = ("advance", "next", None, ahead)

    box = [None]
    found = box[0] = generate()
    found.__name__ = name if type(name) is str else "generator"
    STAND_IN_HANDLES[id(found)] = (found, handle)
    return found


def coroutine_stand_in(handle, name, exchange) -> Any:
    async def wait():
        return exchange.ask("await", box[0])

    box = [None]
    found = box[0] = wait()
    STAND_IN_HANDLES[id(found)] = (found, handle)
    return found


STAND_IN_HANDLES = {}
"""Of stand-ins that have no attributes: by id, the stand-in itself and its handle."""


def advance(generator, how, value, most) -> Any:
    """(items, [return value] or None, exception or None) of a generator that goes on."""
    items = []
    try:
        for _ in range(most):
            if how == "next":
                items.append(next(generator))
            else:
                items.append(getattr(generator, how)(*(() if how == "close" else (value,))))
                how = "next"
                break
    except StopIteration as end:
        return items, (end.value,), None
    except Exception as error:
        return items, None, error
    return items, None, None


def perform(question, target, arguments, exchange) -> Any:
    """What a question asks for, of an object of this end."""
    if question == "call":
        return target(*arguments[0], **arguments[1])
    if question == "get":
        return getattr(target, arguments[0])
    if question == "set":
        return setattr(target, arguments[0], arguments[1])
    if question == "delete":
        return delattr(target, arguments[0])
    if question == "items":
        return tuple(target)
    if question == "advance":
        return advance(target, *arguments)
    if question == "await":
        return wait_for(target)
    if question == "content":
        base = SAFE_TYPES[arguments[0]]
        return base(base.items(target) if base is dict else base.__iter__(target))
    name, *arguments = arguments
    return getattr(type(target), name)(target, *arguments)


_LOOPS = []


async def _awaited(awaitable):
    return await awaitable


def wait_for(awaitable) -> Any:
    """The result of an awaitable, on a loop of this end's own."""
    import asyncio

    if not _LOOPS:
        _LOOPS.append(asyncio.new_event_loop())
    return _LOOPS[0].run_until_complete(_awaited(awaitable))
