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

import sys
import types
from typing import Any

from assay.verifiers.code.space.plain_values import (
    BASES,
    READ,
    SAFE_TYPES,
    SCALARS,
    CannotCrossError,
    builtin_exception,
    decode_array,
    decode_module,
    is_builtin,
    plain_parts,
)
from assay.verifiers.code.space.stand_ins import (
    SPECIAL,
    coroutine_stand_in,
    function_facts,
    function_stand_in,
    generator_stand_in,
    stand_in_class,
    stand_in_handle,
)
from assay.verifiers.code.space.twins import (
    MAX_DEPTH,
    STANDARD,
    TWIN_KINDS,
    content_of,
    fill_twin,
    is_by_content,
    new_twin,
    not_exactly,
)

MAX_TWINS = 20_000
_ITERATORS = ("builtins", "itertools")


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
        simple = plain_parts(value, kind)
        if simple is not None:
            return (simple[0], *[self.encode(part, depth - 1) for part in simple[1]])
        if isinstance(value, BaseException):
            return self.encode_exception(value, depth - 1)
        if isinstance(value, type):
            return self.encode_class(value)
        if isinstance(value, types.ModuleType) and value.__name__ in sys.stdlib_module_names:
            return ("module", value.__name__)
        array = self.encode_array(value)
        if array is not None:
            return array
        if (self.own(kind) or STANDARD.get(kind.__qualname__) is kind) and is_by_content(value):
            return self.twin(value)
        return self.give_away(value, depth)

    def encode_array(self, value):
        """Return numpy's values as they cross: an array of numbers as its bytes, a scalar as a number."""
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
