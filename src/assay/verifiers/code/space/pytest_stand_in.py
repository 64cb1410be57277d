# type: ignore  what crosses has no types that a checker could know, and all of it is checked when it is read
"""Inside a test's space: what tests use of pytest; pytest_runner finds and runs them.

The same on every machine, whether pytest is installed there or not, and quick to start.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import math
import os
import re
import sys
import types
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
