# type: ignore  what crosses has no types that a checker could know, and all of it is checked when it is read
"""Inside a test's space: runs a test file, whose program is in another space, and answers the program's questions.

Nothing that the program says is trusted here. What it raised is an exception of a class that Python or the test has, or
a stand-in; what it returned is plain, or a stand-in that is compared with nothing over there but objects of its own: an
expected value never leaves. Of the test's objects the program may use what the test handed to it, and that in the way
of a caller: no attribute that leads to frames, globals or the record of a mock.

The test runs in a thread that waits where it asks the program.
"""

from __future__ import annotations

import builtins
import inspect
import queue
import re
import sys
import threading
import types
import unittest
import unittest.mock
from typing import Any

from assay.verifiers.code.space.exchange import Exchange
from assay.verifiers.code.space.plain_values import SAFE_TYPES, CannotCrossError
from assay.verifiers.code.space.pytest_runner import run_collected
from assay.verifiers.code.space.pytest_stand_in import pytest_module
from assay.verifiers.code.space.shared_state import SharedState, levels, repeat
from assay.verifiers.code.space.stand_ins import (
    BINARY,
    COMPARISONS,
    SPECIAL,
    Remote,
    RemoteClass,
    perform,
    wait_for,
)

_FORBIDDEN_MODULES = ("unittest", "pytest", "_pytest", "nose", "doctest", "concurrent", "threading", "queue")
"""The modules whose exceptions decide about a test: a program raises none of them."""
_MOCK_RECORD = frozenset(dir(unittest.mock.NonCallableMagicMock())) - {"__len__"} | {"assert_any_await", "await_count"}
_FRAMES = ("gi_", "cr_", "ag_", "f_", "tb_", "co_", "func_")
_ONLY_CALLED = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.GeneratorType,
    types.CoroutineType,
)


class TestEnd:
    """The end of the test."""

    __test__ = False

    def __init__(self, facts):
        self.requests, self.replies = queue.Queue(), queue.Queue()
        self.shared_classes = facts["classes"]
        self.namespace = {}
        self.exchange = Exchange(0, self.ask, self.find_class, self.is_own)
        self.exchange.special_methods = self.special_methods
        self.state, self.sayings = SharedState(facts["state"]), facts["sayings"]
        self.levels = {}
        if "logging" in self.sayings:
            levels(self.levels)
        self.streams = sys.stdin, sys.stdout, sys.stderr
        self.patches = {}
        self.cannot_cross = ""
        self.counts = facts["looks"]
        """True where a question is evidence that the test looks at the program."""

    def find_class(self, module, qualname) -> Any:
        if not module or module in ("program", "main"):
            found = self.namespace.get(qualname) if qualname in self.shared_classes else None
            return found if isinstance(found, type) else None
        if module.partition(".")[0] in _FORBIDDEN_MODULES:
            return None
        found = sys.modules.get(module)
        for part in qualname.split("."):
            if part.startswith("_") and part != "_io":
                return None
            found = vars(found).get(part) if hasattr(found, "__dict__") else None
        return found if isinstance(found, type) and not issubclass(found, unittest.SkipTest) else None

    def is_own(self, kind):
        return kind.__module__ == "test" and kind.__qualname__ in self.shared_classes

    # Asking

    def ask(self, question, target, *arguments) -> Any:
        patches = [(module, path, value) for (module, path), value in self.patches.items()]
        if sys.stdin is not self.streams[0]:
            patches.append(("sys", "stdin", sys.stdin))
        try:
            message = self.exchange.pack((question, target, arguments, patches))
        except CannotCrossError as error:
            raise self.fail(f"the test gives the program {error}") from None
        reply = self.send("call", ["question", message, self.state.changes(), self.changed_levels(), self.counts])
        while reply[0] == "question":
            reply = self.send("resume", self.answer(reply))
        kind, value = reply[0], self.receive(reply)
        if kind == "raised":
            if not isinstance(value, BaseException):
                raise self.fail("what was raised is no exception")
            raise value
        if kind != "value":
            raise self.fail(str(value))
        if question == "call" and isinstance(target, RemoteClass) and isinstance(value, target):
            # An object that the test made, if what it calls is named as a class is: its operators are what is tested.
            object.__setattr__(value, "_assay_made", target.__name__[:1].isupper())
        return value

    def changed_levels(self):
        return levels(self.levels) if "logging" in self.sayings else {}

    def send(self, how, unit) -> Any:
        self.requests.put([how, unit])
        return self.replies.get()

    def receive(self, reply) -> Any:
        """The value of a unit of the program's, whatever it holds."""
        try:
            _, message, changes, said, _ = reply
            self.state.apply(changes)
            value = self.exchange.unpack(message)
        except CannotCrossError as error:
            raise self.fail(str(error)) from None
        except Exception as error:
            raise self.fail(f"an answer of no known form ({type(error).__name__})") from None
        captured = {
            name: text
            for name, text in said.items()
            if name not in ("stdout", "stderr") or getattr(sys, name) is not self.streams[1 + (name == "stderr")]
        }
        repeat(captured)
        return value

    def fail(self, text):
        self.cannot_cross = self.cannot_cross or text[:300]
        return CannotCrossError(text)

    # Answering

    def answer(self, unit) -> Any:
        """The reply to a question of the program's about an object that the test gave it."""
        question, target, arguments = self.receive(unit)
        try:
            if not is_allowed(question, target, arguments):
                kind, value = "refused", f"{arguments[0] if arguments else question!s:.50} is not the program's to use"
            elif question == "await":
                kind, value = "value", in_thread(wait_for, target)
            else:
                kind, value = "value", perform(question, target, arguments, self.exchange)
        except CannotCrossError:
            raise
        except BaseException as error:
            kind, value = "raised", error.with_traceback(None)
        try:
            message = self.exchange.pack(value)
        except CannotCrossError as error:
            raise self.fail(f"the test gives the program {error}") from None
        return [kind, message, self.state.changes()]

    # Stand-ins for the program's objects

    def special_methods(self, known) -> Any:
        methods = {}
        for name in known["names"]:
            methods[name] = self.special_method(name, known)
        methods["__eq__"] = lambda one, other: self.equals(one, other)
        methods["__ne__"] = lambda one, other: not_of(self.equals(one, other))
        methods["__hash__"] = (
            (lambda one: self.ask("special", one, "__hash__"))
            if known["hashed"]
            else (lambda one: hash(("stand-in", vars(one)["_assay_handle"])))
        )
        return methods

    def special_method(self, name, known) -> Any:
        if name == "__call__":
            return lambda one, *arguments, **keywords: self.ask("call", one, arguments, keywords)
        if name == "__contains__":
            return lambda one, item: self.contains(one, item, known)
        if name in COMPARISONS or name in BINARY:
            return lambda one, *others: self.combine(name, one, others)
        return lambda one, *arguments: self.ask("special", one, name, *arguments)

    def equals(self, one, other) -> Any:
        if other is one:
            return True
        if isinstance(other, Remote):
            same_class = type(one) is type(other)
            return bool(self.ask("special", one, "__eq__", other) is True) if one._assay_equal and same_class else False
        if one._assay_base:
            return self.ask("content", one, one._assay_base) == other
        if one._assay_equal and not isinstance(other, (unittest.mock.NonCallableMock, type(unittest.mock.ANY))):
            if other is None or (isinstance(other, str) and type(one).__name__ == "str"):
                return False
            raise self.fail(f"an object of {type(one).__name__}, whose == is its own")
        return NotImplemented

    def combine(self, name, one, others) -> Any:
        """An operator, whose other side stays here unless the object is one that the test made."""
        ours = [other for other in others if not isinstance(other, Remote)]
        if ours and name in COMPARISONS and one._assay_base:
            return getattr(self.ask("content", one, one._assay_base), name)(*others)
        if ours and (name in COMPARISONS or not vars(one).get("_assay_made")):
            raise self.fail(f"an object of {type(one).__name__}, whose operators are its own")
        result = self.ask("special", one, name, *others)
        if isinstance(result, Remote) and type(result) is type(one) and name not in COMPARISONS:
            object.__setattr__(result, "_assay_made", vars(one).get("_assay_made", False))
        return result

    def contains(self, one, item, known):
        if vars(one).get("_assay_made") or isinstance(item, Remote):
            return self.ask("special", one, "__contains__", item)
        if "__iter__" not in known["names"]:
            raise self.fail(f"an object of {type(one).__name__}, whose `in` is its own")
        return any(each is item or each == item for each in one)


def not_of(value):
    return value if value is NotImplemented else not value


def is_allowed(question, target, arguments):
    """Return True where a program may ask this of an object that the test gave it."""
    if isinstance(target, (types.ModuleType, types.FrameType, types.CodeType, types.TracebackType, unittest.TestCase)):
        return False
    if question in ("call", "advance", "items", "await", "content"):
        return True
    name = arguments[0] if arguments else None
    if type(name) is not str:
        return False
    if question == "special":
        return name in SPECIAL or name in ("__eq__", "__hash__")
    if name in ("__name__", "__qualname__", "__doc__"):
        return question == "get"
    if name.startswith(("_", *_FRAMES)) or isinstance(target, (*_ONLY_CALLED, type)):
        return False
    if isinstance(target, unittest.mock.NonCallableMock):
        return name not in _MOCK_RECORD
    return question in ("get", "set", "delete")


def in_thread(function, *arguments) -> Any:
    """The result of a function that runs where no event loop does."""
    results = []

    def run():
        try:
            results.append((function(*arguments), None))
        except BaseException as error:
            results.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    value, error = results[0]
    if error is not None:
        raise error
    return value


class ProgramModule(types.ModuleType):
    """The module that a test imports of its program: names are looked up over there."""

    def __init__(self, name, end, given):
        super().__init__(name)
        self.__dict__.update(_end=end, _given=given, __path__=[])

    def __getattr__(self, name):
        if name in self._given:
            return self._given[name]
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self._end.ask("name", name)
        except NameError as error:
            raise AttributeError(str(error)) from None


class ProgramFinder:
    """Finds the program under the names that tests import it by, where no such module is there."""

    def __init__(self, names, modules):
        self.names, self.modules = names, modules

    def find_spec(self, fullname, path=None, target=None):
        if fullname not in self.names:
            return None
        import importlib.machinery

        return importlib.machinery.ModuleSpec(fullname, self)

    def create_module(self, spec):
        return self.modules(spec.name)

    def exec_module(self, module):
        return None


_KEPT_OTHERWISE = (("os", "environ"), ("sys", "stdin"), ("sys", "stdout"), ("sys", "stderr"))
"""The places that `SharedState`, `Sayings` and `ask` see to."""


def record_patches(end):
    """Has the end know what the test's patches put into modules, so that the program finds it there too."""
    kind = type(unittest.mock.patch("sys.path"))
    enter, leave = kind.__enter__, kind.__exit__

    def place(patch):
        target = patch.getter()
        if isinstance(target, ProgramModule) or target is sys.modules.get("test"):
            return "", patch.attribute
        if isinstance(target, types.ModuleType):
            return target.__name__, patch.attribute
        if isinstance(target, type) and not isinstance(target, RemoteClass) and target.__module__ in sys.modules:
            return target.__module__, f"{target.__qualname__}.{patch.attribute}"
        return None

    def entered(patch):
        new = enter(patch)
        where = place(patch)
        if where is not None and where not in _KEPT_OTHERWISE:
            patch._assay_before = (where, end.patches.get(where, end))
            end.patches[where] = getattr(patch.getter(), patch.attribute)
        return new

    def left(patch, *error):
        where, before = vars(patch).pop("_assay_before", (None, end))
        if where is not None:
            end.patches.pop(where, None)
            if before is not end:
                end.patches[where] = before
        return leave(patch, *error)

    kind.__enter__, kind.__exit__ = entered, left


def refuse_pickles():
    """A file that the program wrote may be a pickle: only plain values and arrays come out of one here."""
    import pickle

    plain = (*SAFE_TYPES.values(), *(getattr(builtins, name) for name in ("complex",)))

    def find_class(self, module, name) -> Any:
        for kind in plain:
            if kind.__name__ == name and kind.__module__ in (module, {"__builtin__": "builtins"}.get(module, module)):
                return kind
        if module.partition(".")[0] in ("numpy",) and name in (
            "_reconstruct",
            "ndarray",
            "dtype",
            "scalar",
            "_frombuffer",
        ):
            return getattr(__import__(module, fromlist=[name]), name)
        raise pickle.UnpicklingError(f"{module}.{name} is not read from a pickle here")

    class Unpickler(pickle.Unpickler):
        pass

    Unpickler.find_class = find_class
    pickle._Unpickler.find_class = find_class
    pickle.Unpickler = Unpickler
    pickle.load = lambda file, **options: Unpickler(file, **options).load()
    pickle.loads = lambda data, **options: Unpickler(__import__("io").BytesIO(data), **options).load()


def run_test(end, preambles, names, num_functions, setup, test, modules):
    """Runs a test file; raises what its tests raise.

    Args:
        preambles: run before it, without the program.
        names: of the program: the functions that the test calls, then others that it names, which may not be there.
        setup: runs before it, with the program.
        modules: names by which it may import the program.
    """
    module = sys.modules["test"] = types.ModuleType("test")
    namespace = end.namespace = module.__dict__
    namespace["__builtins__"] = builtins
    for source in preambles:
        exec(compile(source, "setup.py", "exec"), namespace)
    known, given = end.ask("names", names), {}
    for number, name in enumerate(names):
        if number < num_functions or (name in known and name not in namespace):
            found = known.get(name, (None,))[0]
            given[name] = namespace[name] = found if number >= num_functions or callable(found) else late(end, name)
    candidate = namespace["candidate"] = given[names[0]] if num_functions else None
    end.counts = True
    if len(given) > num_functions or any(inspect.iscoroutinefunction(each) for each in given.values()):
        # A value, or a function whose call makes a coroutine here and asks nothing yet: the test looks at the program.
        end.ask("names", [])
    programs = {}

    def program_module(name):
        if name not in programs:
            programs[name] = ProgramModule(name, end, given)
        return programs[name]

    sys.meta_path.append(ProgramFinder(modules, program_module))
    # Test and program are one module elsewhere: patch(__name__ + ".helper") finds the program's.
    patched = frozenset(re.findall(r"\.(\w+)['\"]", test))
    if "__name__" in test and patched:
        namespace["__getattr__"] = lambda name: program_module("__main__").__getattr__(
            name if name in patched else "__"
        )
    sys.modules["pytest"] = pytest_module(end)
    record_patches(end)
    refuse_pickles()
    for folder in ("", end.state.folder):
        while folder in sys.path:
            sys.path.remove(folder)
    own_main = sys.modules.get("__main__")
    sys.modules["__main__"] = program_module("__main__")
    unittest.main = lambda *arguments, **options: None
    try:
        exec(compile(setup, "setup.py", "exec"), namespace)
        exec(compile(test, "test.py", "exec"), namespace)
    finally:
        if own_main is not None:
            sys.modules["__main__"] = own_main
    sys.modules["__main__"] = program_module("__main__")
    check = namespace.get("check")
    if callable(check) and "check" not in names:
        check(candidate)
        return
    run_collected(end, namespace, names)


def late(end, name):
    """A function that is looked for when it is called: a method of the program's class Solution, or nothing."""

    def function(*arguments, **keywords):
        return end.ask("call", end.ask("name", name), arguments, keywords)

    function.__name__ = function.__qualname__ = name
    return function


def serve(end, *arguments):
    """Runs the test, and says how it ended."""
    try:
        run_test(end, *arguments)
    except AssertionError as error:
        last = ["failed", str(error)[:300]]
    except BaseException as error:
        last = ["raised", (type(error).__name__ + ": " + str(error))[:300]]
    else:
        last = ["passed", ""]
    if end.cannot_cross:
        last = ["cannot cross", end.cannot_cross]
    end.requests.put(last)


def start(facts, *arguments):
    end = TestEnd(facts)
    threading.stack_size(256 << 20)
    threading.Thread(target=serve, args=(end, *arguments), daemon=True).start()
    return end
