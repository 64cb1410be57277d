# type: ignore  what crosses has no types that a checker could know, and all of it is checked when it is read
"""Inside a test's space: what tests use of pytest, and how the tests of a file are found and run.

The same on every machine, whether pytest is installed there or not, and quick to start.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import itertools
import math
import os
import pathlib
import re
import sys
import tempfile
import types
import unittest
import warnings
from typing import Any


class Skipped(Exception):  # noqa: N818, as pytest calls it
    """A test says that it does not apply."""


class Failed(AssertionError):  # noqa: N818
    """`pytest.fail`."""


class RaisesContext:
    """`pytest.raises`, and `pytest.warns`."""

    def __init__(self, expected, match):
        self.expected, self.match, self.value = expected, match, None

    @property
    def type(self):
        return type(self.value)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            raise Failed(f"DID NOT RAISE {self.expected}")
        if not issubclass(kind, self.expected):
            return False
        self.value = error
        if self.match is not None and not re.search(self.match, str(error)):
            raise AssertionError(f"{self.match!r} does not match {str(error)!r}")
        return True


def raises(expected, *arguments, match=None, **keywords):
    context = RaisesContext(expected, match)
    if not arguments:
        return context
    function, *rest = arguments
    with context:
        function(*rest, **keywords)
    return context


class WarnsContext(warnings.catch_warnings):
    def __init__(self, expected, match):
        super().__init__(record=True)
        self.expected, self.match = expected, match

    def __enter__(self):
        self.list = super().__enter__()
        warnings.simplefilter("always")
        return self.list

    def __exit__(self, *error):
        super().__exit__(*error)
        if error[0] is None and not any(
            issubclass(each.category, self.expected)
            and (self.match is None or re.search(self.match, str(each.message)))
            for each in self.list
        ):
            raise Failed(f"DID NOT WARN {self.expected}")


class Approx:
    """`pytest.approx`."""

    __array_ufunc__ = None
    __array_priority__ = 100
    __hash__ = None

    def __init__(self, expected, rel=None, abs=None, nan_ok=False):
        self.expected, self.rel, self.abs, self.nan_ok = expected, rel, abs, nan_ok

    def __eq__(self, actual):
        return self.close(self.expected, actual)

    def __ne__(self, actual):
        return not self == actual

    def __repr__(self):
        return f"approx({self.expected!r})"

    def close(self, expected, actual):
        if hasattr(expected, "tolist"):
            expected = expected.tolist()
        if hasattr(actual, "tolist"):
            actual = actual.tolist()
        if isinstance(expected, dict):
            return (
                isinstance(actual, dict)
                and expected.keys() == actual.keys()
                and all(self.close(item, actual[key]) for key, item in expected.items())
            )
        if isinstance(expected, (list, tuple)):
            return (
                hasattr(actual, "__len__")
                and not isinstance(actual, (str, bytes))
                and len(expected) == len(actual)
                and all(self.close(a, b) for a, b in zip(expected, actual))  # noqa: B905
            )
        if isinstance(expected, bool) or expected is None or isinstance(expected, (str, bytes)):
            return actual == expected
        if actual == expected:
            return True
        try:
            if math.isnan(abs(expected)):
                return self.nan_ok and math.isnan(abs(actual))
            if math.isinf(abs(expected)):
                return False
            absolute = 1e-12 if self.abs is None else self.abs
            relative = (1e-6 if self.rel is None and self.abs is None else self.rel or 0) * abs(expected)
            return abs(expected - actual) <= max(absolute, relative)
        except TypeError:
            return False


class Mark:
    """`pytest.mark.NAME(...)`: kept with the function."""

    def __init__(self, name, arguments=(), keywords=None):
        self.name, self.args, self.kwargs = name, arguments, keywords or {}

    def __call__(self, *arguments, **keywords):
        only = arguments[0] if len(arguments) == 1 and not keywords else None
        if self.name != "parametrize" and (inspect.isfunction(only) or inspect.isclass(only)):
            only.pytestmark = [*vars(only).get("pytestmark", ()), self]
            return only
        return Mark(self.name, arguments, keywords) if not self.args and not self.kwargs else self.keep(*arguments)

    def keep(self, function):
        function.pytestmark = [*vars(function).get("pytestmark", ()), self]
        return function


class Marks:
    def __getattr__(self, name):
        return Mark(name)


def parameter(*values, id=None, marks=()):
    return types.SimpleNamespace(values=values, is_parameter=True)


class Fixture:
    """A function that makes what tests ask for by name."""

    def __init__(self, function, scope, parameters, autouse, name):
        self.function, self.scope, self.parameters = function, scope, parameters
        self.autouse, self.name = autouse, name or function.__name__


def fixture(function=None, *, scope="function", params=None, autouse=False, ids=None, name=None) -> Any:
    if function is None:
        return lambda function: Fixture(function, scope, params, autouse, name)
    return Fixture(function, scope, params, autouse, name)


class MonkeyPatch:
    """`monkeypatch`, by way of unittest's patches: the program sees them too."""

    def __init__(self):
        self.stack = contextlib.ExitStack()

    def setattr(self, target, name, value=None, raising=True):
        from unittest import mock

        if isinstance(target, str):
            self.stack.enter_context(mock.patch(target, name, create=not raising))
        else:
            self.stack.enter_context(mock.patch.object(target, name, value, create=not raising))

    def delattr(self, target, name, raising=True):
        had = hasattr(target, name)
        if had:
            before = getattr(target, name)
            delattr(target, name)
            self.stack.callback(setattr, target, name, before)

    def setitem(self, mapping, name, value):
        from unittest import mock

        self.stack.enter_context(mock.patch.dict(mapping, {name: value}))

    def delitem(self, mapping, name, raising=True):
        before = dict(mapping)
        mapping.pop(name, None)
        self.stack.callback(mapping.update, before)

    def setenv(self, name, value, prepend=None):
        self.setitem(os.environ, name, str(value))

    def delenv(self, name, raising=True):
        self.delitem(os.environ, name)

    def chdir(self, path):
        self.stack.callback(os.chdir, os.getcwd())
        os.chdir(path)

    def syspath_prepend(self, path):
        sys.path.insert(0, str(path))

    def undo(self):
        self.stack.close()

    @contextlib.contextmanager
    def context(self):
        inner = MonkeyPatch()
        try:
            yield inner
        finally:
            inner.undo()


class Captured:
    """`capsys`."""

    def __init__(self):
        self.before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = self.out, self.err = io.StringIO(), io.StringIO()

    def readouterr(self):
        texts = self.out.getvalue(), self.err.getvalue()
        for stream in (self.out, self.err):
            stream.seek(0)
            stream.truncate()
        return CapturedTexts(*texts)

    @contextlib.contextmanager
    def disabled(self):
        yield

    def close(self):
        sys.stdout, sys.stderr = self.before


class CapturedTexts(tuple):
    def __new__(cls, out, err):
        return super().__new__(cls, (out, err))

    out = property(lambda self: self[0])
    err = property(lambda self: self[1])


class LogCapture:
    """`caplog`."""

    def __init__(self):
        import logging

        self.handler = logging.Handler()
        self.records = []
        self.handler.emit = self.records.append
        self.logger = logging.getLogger()
        self.level = self.logger.level
        self.logger.addHandler(self.handler)

    @property
    def messages(self):
        return [record.getMessage() for record in self.records]

    @property
    def text(self):
        return "".join(
            f"{each.levelname} {each.name}:{each.filename}:{each.lineno} {each.getMessage()}\n" for each in self.records
        )

    @property
    def record_tuples(self):
        return [(each.name, each.levelno, each.getMessage()) for each in self.records]

    def set_level(self, level, logger=None):
        import logging

        logging.getLogger(logger).setLevel(level)

    @contextlib.contextmanager
    def at_level(self, level, logger=None):
        import logging

        found = logging.getLogger(logger)
        before = found.level
        found.setLevel(level)
        try:
            yield
        finally:
            found.setLevel(before)

    def clear(self):
        self.records.clear()

    def close(self):
        self.logger.removeHandler(self.handler)
        self.logger.setLevel(self.level)


def _skip(reason="", **_):
    raise Skipped(reason)


def _fail(reason="", **_):
    raise Failed(reason)


def _import_or_skip(name, **_):
    try:
        return __import__(name, fromlist=["x"])
    except ImportError:
        raise Skipped(name) from None


def pytest_module(end):
    module = types.ModuleType("pytest")
    module.__dict__.update(
        raises=raises, approx=Approx, mark=Marks(), param=parameter, fixture=fixture, skip=_skip, fail=_fail,
        importorskip=_import_or_skip, MonkeyPatch=MonkeyPatch, main=lambda *_, **__: 0, exit=_fail,
        warns=lambda expected=Warning, match=None: WarnsContext(expected, match),
        deprecated_call=lambda match=None: WarnsContext((DeprecationWarning, PendingDeprecationWarning), match),
        xfail=_skip, CaptureFixture=object, LogCaptureFixture=object, FixtureRequest=object,
        ExceptionInfo=RaisesContext,
    )  # fmt: skip
    return module


class Request:
    def __init__(self, param, node, finalizers):
        self.param, self.node, self.finalizers = param, node, finalizers
        self.function, self.cls, self.instance = node, None, None

    def addfinalizer(self, function):
        self.finalizers.callback(function)


class Runner:
    """Runs test functions with their fixtures and parameters."""

    def __init__(self, fixtures):
        self.fixtures = fixtures
        self.wide = contextlib.ExitStack()
        self.kept = {}

    def run(self, function, instance=None):
        """Calls a test function once for each of its parameters."""
        marks = [*vars(type(instance)).get("pytestmark", ())] if instance is not None else []
        marks += vars(inspect.unwrap(function) if not inspect.ismethod(function) else function.__func__).get(
            "pytestmark", ()
        )
        marks += self.file_marks
        for mark in marks:
            reason = mark.name == "skip" or (mark.name == "skipif" and any(map(bool, mark.args[:1])))
            if reason:
                return
        expected_to_fail = any(mark.name == "xfail" for mark in marks)
        for given in self.parameter_sets([mark for mark in marks if mark.name == "parametrize"]):
            for chosen in self.fixture_sets(function, given):
                try:
                    self.once(function, dict(given), chosen)
                except Skipped:
                    continue
                except Exception:
                    if not expected_to_fail:
                        raise

    file_marks = ()

    def parameter_sets(self, marks):
        sets = []
        for mark in reversed(marks):
            names, values = [*mark.args, mark.kwargs.get("argvalues")][:2]
            names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
            rows = []
            for value in values:
                value = value.values if hasattr(value, "is_parameter") else (value,) if len(names) == 1 else value
                rows.append(list(zip(names, value)))  # noqa: B905
            sets.append(rows)
        for combination in itertools.product(*sets):
            yield [pair for row in combination for pair in row]

    def fixture_sets(self, function, given):
        """One choice for each fixture with parameters that the function needs."""
        found = [self.fixtures[name] for name in self.closure(function) if name in self.fixtures]
        many = [each for each in found if each.parameters]
        for values in itertools.product(*(each.parameters for each in many)):
            yield {
                each.name: getattr(value, "values", [value])[0] if hasattr(value, "is_parameter") else value
                for each, value in zip(many, values)  # noqa: B905
            }

    def closure(self, function, seen=None):
        seen = [] if seen is None else seen
        automatic = [name for name, each in self.fixtures.items() if each.autouse]
        for name in [*automatic, *inspect.signature(function).parameters]:
            if name not in seen:
                seen.append(name)
                if name in self.fixtures:
                    self.closure(self.fixtures[name].function, seen)
        return seen

    def once(self, function, given, chosen):
        with contextlib.ExitStack() as stack:
            values = {}
            for name, each in self.fixtures.items():
                if each.autouse:
                    self.value(name, given, chosen, values, stack, function)
            arguments = {
                name: self.value(name, given, chosen, values, stack, function)
                for name, each in inspect.signature(function).parameters.items()
                if name in given or name in self.fixtures or name in BUILTIN_FIXTURES or each.default is each.empty
            }
            result = function(**arguments)
            if inspect.iscoroutine(result):
                import asyncio

                asyncio.run(result)

    def value(self, name, given, chosen, values, stack, function) -> Any:
        if name in given:
            return given[name]
        if name in values:
            return values[name]
        found = self.fixtures.get(name)
        if found is None:
            if name == "request":
                return Request(None, function, stack)
            if name not in BUILTIN_FIXTURES:
                raise LookupError(f"fixture {name!r} not found")
            values[name], close = BUILTIN_FIXTURES[name]()
            stack.callback(close)
            return values[name]
        key = (name, repr(chosen.get(name)))
        if found.scope != "function" and key in self.kept:
            return self.kept[key]
        where = stack if found.scope == "function" else self.wide
        arguments = {}
        for needed in inspect.signature(found.function).parameters:
            if needed == "request":
                arguments[needed] = Request(chosen.get(name), function, where)
            elif needed != "self":
                arguments[needed] = self.value(needed, given, chosen, values, where, function)
            else:
                arguments[needed] = getattr(function, "__self__", None)
        made = found.function(**arguments)
        if inspect.isgenerator(made):
            generator, made = made, next(made)
            where.callback(lambda: next(generator, None))
        values[name] = made
        if found.scope != "function":
            self.kept[key] = made
        return made


def _temporary_folder():
    return pathlib.Path(tempfile.mkdtemp()), lambda: None


def _closing(kind, how="close"):
    def make():
        found = kind()
        return found, getattr(found, how)

    return make


class _Folders:
    def mktemp(self, name, numbered=True):
        return pathlib.Path(tempfile.mkdtemp(prefix=name))


BUILTIN_FIXTURES = {
    "tmp_path": _temporary_folder,
    "tmpdir": _temporary_folder,
    "tmp_path_factory": lambda: (_Folders(), lambda: None),
    "monkeypatch": _closing(MonkeyPatch, "undo"),
    "capsys": _closing(Captured),
    "capfd": _closing(Captured),
    "caplog": _closing(LogCapture),
}


def run_collected(end, namespace, names):
    """Runs the tests of a file: unittest's classes, pytest's classes and functions."""
    fixtures = {each.name: each for each in namespace.values() if isinstance(each, Fixture)}
    runner = Runner(fixtures)
    marks = namespace.get("pytestmark", ())
    runner.file_marks = [*marks] if isinstance(marks, (list, tuple)) else [marks]
    setup, teardown = namespace.get("setup_module"), namespace.get("teardown_module")
    cases = []
    if callable(setup):
        setup(*[sys.modules["test"]][: len(inspect.signature(setup).parameters)])
    for name, value in list(namespace.items()):
        if isinstance(value, type) and issubclass(value, unittest.TestCase) and value.__module__ == "test":
            cases.append(unittest.defaultTestLoader.loadTestsFromTestCase(value))
        elif isinstance(value, type) and value.__module__ == "test" and name.startswith("Test") and name not in names:
            if "__init__" not in vars(value) and getattr(value, "__test__", True):
                run_class(runner, value)
        elif name.startswith("test") and name not in names and inspect.isfunction(value) and value.__module__ == "test":
            around = namespace.get("setup_function"), namespace.get("teardown_function")
            with around_test(*around, value):
                runner.run(value)
    runner.wide.close()
    result = unittest.TestResult()
    result.failfast = True
    unittest.TestSuite(cases).run(result)
    for _, problem in result.failures:
        raise AssertionError(problem.strip().splitlines()[-1])
    for _, problem in result.errors:
        raise RuntimeError(problem.strip().splitlines()[-1])
    if result.unexpectedSuccesses:
        raise AssertionError("a test that should fail did not")
    if callable(teardown):
        teardown(*[sys.modules["test"]][: len(inspect.signature(teardown).parameters)])


@contextlib.contextmanager
def around_test(before, after, *arguments):
    """Calls what stands around a test, with as much as it takes."""
    for function in (before,):
        if callable(function):
            function(*arguments[: len(inspect.signature(function).parameters)])
    try:
        yield
    finally:
        if callable(after):
            after(*arguments[: len(inspect.signature(after).parameters)])


def run_class(runner, kind):
    """Runs the methods of one of pytest's classes, each on an object of its own."""
    own = {
        each.name: each for base in reversed(kind.__mro__) for each in vars(base).values() if isinstance(each, Fixture)
    }
    inner = Runner({**runner.fixtures, **own})
    inner.kept, inner.wide, inner.file_marks = runner.kept, runner.wide, runner.file_marks
    setup = getattr(kind, "setup_class", None)
    if setup is not None:
        setup()
    for name in [name for base in reversed(kind.__mro__) for name in vars(base) if name.startswith("test")]:
        instance = kind()
        method = getattr(instance, name)
        if callable(method):
            with around_test(
                getattr(instance, "setup_method", None), getattr(instance, "teardown_method", None), method
            ):
                inner.run(method, instance)
    if getattr(kind, "teardown_class", None) is not None:
        kind.teardown_class()
