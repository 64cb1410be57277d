# type: ignore  what crosses has no types that a checker could know, and all of it is checked when it is read
"""Inside a space: stand-ins for functions, generators, objects and classes of the other end, and what is asked of them.

Runs on Python 3.9 and newer, with the standard library only.
"""

from __future__ import annotations

import inspect
import types
from typing import Any

from assay.verifiers.code.space.plain_values import BASES, SAFE_TYPES, SCALARS, CannotCrossError

EMPTY = inspect.Parameter.empty
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


STAND_IN_HANDLES = {}
"""The stand-ins that have no attributes: by id, the stand-in itself and its handle."""


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


def function_facts(function, exchange):
    """Return what a stand-in for a function shows."""
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
    try:
        known = dict(function.__annotations__)
    except Exception:
        known = {}
    annotations = {
        name: kind.__name__ if isinstance(kind, type) and SAFE_TYPES.get(kind.__name__) is kind else f" {kind!s:.200}"
        for name, kind in known.items()
        if type(name) is str and kind is not None
    }
    facts = {"name": function.__name__, "qualname": function.__qualname__, "doc": function.__doc__}
    return {
        **{key: value if type(value) is str else "" for key, value in facts.items()},
        "parameters": parameters,
        "annotations": {**annotations, **dict.fromkeys(name for name in known if name not in annotations)},
        "is_coroutine": inspect.iscoroutinefunction(function),
    }


class Annotation:
    """An annotation that is no builtin type: only its text is known, which is never evaluated."""

    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text


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
    function.__annotations__ = {
        name: None if kind is None else SAFE_TYPES.get(kind) or Annotation(kind.strip())
        for name, kind in facts["annotations"].items()
    }
    if facts["parameters"] is not None:
        parameters = [
            inspect.Parameter(name, kind, default=default[1] if default else EMPTY)
            for name, kind, default in facts["parameters"]
        ]
        annotated = function.__annotations__
        function.__signature__ = inspect.Signature(
            [each.replace(annotation=annotated.get(each.name, EMPTY)) for each in parameters],
            return_annotation=annotated.get("return", EMPTY),
        )
        defaults = [each.default for each in parameters if each.default is not EMPTY and each.kind <= 1]
        function.__defaults__ = tuple(defaults) or None
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
    """Return what a question asks for, of an object of this end."""
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
