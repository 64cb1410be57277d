# type: ignore  what crosses has no types that a checker could know, and all of it is checked when it is read
"""Inside a test's space: how the tests of a file are found and run, with fixtures and parameters, as pytest does."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import pathlib
import sys
import tempfile
import unittest
from typing import Any

from assay.verifiers.code.space.pytest_stand_in import Captured, Fixture, LogCapture, MonkeyPatch, Skipped


class FixtureRequest:
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
                return FixtureRequest(None, function, stack)
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
                arguments[needed] = FixtureRequest(chosen.get(name), function, where)
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
