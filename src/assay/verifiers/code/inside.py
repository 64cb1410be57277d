"""What is put beside a program, and beside a test file: text that runs inside a space, never in this process.

It holds nothing that a program may not see, and nothing depends on a program's leaving it alone: whatever a program
makes of it, no more comes out than a plain value that it could have returned.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

CALL = "_assay_call"
"""(name, arguments, keywords) to the value."""
CALL_TRUTH = "_assay_call_truth"
"""The same, to whether the value counts as true."""
CALL_BACK = "_assay_call_back"
"""The same, to [value, the arguments as the call left them]: what a test file sees of changes made in place."""
EXPRESSION = "_assay_expression"
"""(number) to the value of the expression of this number."""

CALL_ITEMS = "_assay_call_items"
"""The same as CALL, but an iterable that is no plain value comes as the list of its items."""

_PLAIN = """
def _assay_plain(value, depth=60):
    # A subclass that compares as its base does counts as its base: a named tuple, a defaultdict.
    import builtins as b, collections as c
    kind = b.type(value)
    if depth < 0 or kind in (b.int, b.float, b.str, b.bool, b.bytes, b.complex) or value is None:
        return value
    for base in (b.list, b.tuple, b.dict, b.set, b.frozenset):
        if kind is base or kind in (c.Counter, c.OrderedDict) and base is b.dict or (
            b.isinstance(value, base) and b.getattr(kind, '__eq__', None) is base.__eq__
        ):
            if base is b.dict:
                return {_assay_plain(k, depth - 1): _assay_plain(v, depth - 1) for k, v in b.dict.items(value)}
            if kind is base and b.all(b.type(item) in (b.int, b.float, b.str, b.bool) for item in base.__iter__(value)):
                return value
            return base([_assay_plain(item, depth - 1) for item in base.__iter__(value)])
    return value
"""

_PROGRAM = """
def _assay_function(name):
    import builtins as b
    names = b.globals()
    if name not in names and 'Solution' in names:
        return b.getattr(names['Solution'](), name)
    if name not in names and not b.hasattr(b, name):
        raise b.NameError('name %r is not defined' % name)
    return names[name]

def _assay_call(name, arguments, keywords):
    return _assay_plain(_assay_function(name)(*arguments, **keywords))

def _assay_call_truth(name, arguments, keywords):
    import builtins as b
    return b.bool(_assay_function(name)(*arguments, **keywords))

def _assay_call_items(name, arguments, keywords):
    import builtins as b
    value = _assay_function(name)(*arguments, **keywords)
    if not b.isinstance(value, (b.list, b.tuple, b.dict, b.set, b.frozenset, b.str, b.bytes)):
        value = b.list(value) if b.hasattr(b.type(value), '__iter__') else value
    return _assay_plain(value)

def _assay_call_back(name, arguments, keywords):
    value = _assay_function(name)(*arguments, **keywords)
    return [_assay_plain(value), [_assay_plain(argument) for argument in arguments]]
"""

TEST_START = "_assay_start"
"""(preambles, names, test) to the first request."""
TEST_NEXT = "_assay_next"
"""(reply) to the next request."""

TEST_HARNESS = (
    _PLAIN
    + '''
import builtins as _b
import queue as _queue
import threading as _threading

_requests, _replies = _queue.Queue(), _queue.Queue()


class CandidateError(Exception):
    """What the program raised, where it is no exception of Python's own."""


def _same(value):
    """The value itself if it may cross; else TypeError."""
    kind = type(value)
    if value is None or kind in (bool, int, float, complex, str, bytes):
        return value
    if kind in (list, tuple, set, frozenset):
        for item in value:
            _same(item)
        return value
    if kind is dict:
        for key, item in value.items():
            _same(key)
            _same(item)
        return value
    raise TypeError('a test can pass plain values only, not ' + kind.__name__)


def _stub(name):
    def candidate(*arguments, **keywords):
        plain = [_same(_assay_plain(argument)) for argument in arguments]
        _requests.put(['call', name, plain, {key: _same(_assay_plain(value)) for key, value in keywords.items()}])
        kind, *rest = _replies.get()
        if kind == 'raised':
            made = getattr(_b, rest[0], None) if rest[2] else None
            if isinstance(made, type) and issubclass(made, Exception):
                raise made(rest[1])
            raise CandidateError('%s: %s' % (rest[0], rest[1]))
        for before, after in zip(arguments, rest[1]):
            if type(before) is list and type(after) is list:
                before[:] = after
            elif type(before) in (dict, set) and type(after) is type(before):
                before.clear()
                before.update(after)
        return rest[0]

    candidate.__name__ = candidate.__qualname__ = name
    return candidate


def _run(preambles, names, test):
    # unittest finds setUpModule by the module's name.
    import sys, types
    module = sys.modules['test'] = types.ModuleType('test')
    namespace = module.__dict__
    namespace['__builtins__'] = _b
    for source in preambles:
        exec(compile(source, 'setup.py', 'exec'), namespace)
    for name in names:
        namespace[name] = _stub(name)
    candidate = namespace['candidate'] = namespace[names[0]] if names else None
    exec(compile(test, 'test.py', 'exec'), namespace)
    check = namespace.get('check')
    if callable(check) and 'check' not in names:
        check(candidate)
        return
    import unittest
    cases = []
    for name, value in list(namespace.items()):
        if isinstance(value, type) and issubclass(value, unittest.TestCase) and value.__module__ == 'test':
            cases.append(unittest.defaultTestLoader.loadTestsFromTestCase(value))
        elif name.startswith('test_') and name not in names and callable(value):
            value()
    result = unittest.TestResult()
    result.failfast = True
    unittest.TestSuite(cases).run(result)
    for _, problem in result.failures:
        raise AssertionError(problem.strip().splitlines()[-1])
    for _, problem in result.errors:
        raise RuntimeError(problem.strip().splitlines()[-1])


def _serve(preambles, names, test):
    try:
        _run(preambles, names, test)
    except AssertionError as error:
        last = ['failed', str(error)[:300]]
    except BaseException as error:
        last = ['raised', (type(error).__name__ + ': ' + str(error))[:300]]
    else:
        last = ['passed', '']
    _requests.put(last)


def _assay_start(preambles, names, test):
    _threading.stack_size(64 << 20)
    _threading.Thread(target=_serve, args=(preambles, names, test), daemon=True).start()
    return _requests.get()


def _assay_next(reply):
    _replies.put(reply)
    return _requests.get()
'''
)
"""The program of a test file's own space. The test runs in a thread that waits where it calls the candidate."""

CHECKER = """
import runpy, sys
sys.argv = {arguments!r}
try:
    runpy.run_path({path!r}, run_name='__main__')
except SystemExit:
    raise
except BaseException as error:
    sys.stdout.flush()
    print(type(error).__name__ + ': ' + str(error), file=sys.stderr, flush=True)
    import os
    os._exit(3)
"""
"""Runs a checker in Python, so that its crash is not taken for its verdict (an uncaught exception exits with 1)."""


CALLS_PREAMBLE = (
    *(
        f"from {module} import *"
        for module in (
            *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics"),
            *("itertools", "functools", "operator", "io", "sys", "json", "builtins", "typing"),
        )
    ),
    "import string, re, datetime, collections, heapq, bisect, copy, math, random, statistics, itertools, functools",
    "import operator, io, sys, json, typing, array, cmath, decimal, enum, fractions, queue, time",
)
"""Imports that programs in LeetCode's form take for granted: those of LiveCodeBench's own harness, in its order, and a
few modules by their names. Builtins that a module hides (`pow` of math, `abs` of operator) come back after it."""
_FUTURE = re.compile(r"from[ \t]+__future__[ \t]+import[ \t]+\w+(?:[ \t]*,[ \t]*\w+)*[ \t]*(?:#.*)?")


def beside_program(
    source: str,
    setup: str = "",
    expressions: Sequence[str] = (),
    *,
    imports: Sequence[str] = (),
    functions: Sequence[str] = (),
) -> str:
    """The program with what answers for it.

    Args:
        setup: runs after the program, with its names.
        expressions: over the names of both.
        imports: run before the program; one that fails is passed over.
        functions: that the program must define itself: no import makes them.
    """
    numbered = "".join(
        f"    if number == {number}:\n        return _assay_plain({text})\n" for number, text in enumerate(expressions)
    )
    asked = f"\ndef {EXPRESSION}(number):\n{numbered}" if numbered else ""
    return f"{_with_imports(source, imports, functions)}\n{setup}\n{_PLAIN}{_PROGRAM}{asked}"


def _with_imports(source: str, imports: Sequence[str], functions: Sequence[str]) -> str:
    if not imports:
        return source
    lines = source.split("\n")
    future = [line for line in lines if _FUTURE.fullmatch(line)]
    lines = ["" if _FUTURE.fullmatch(line) else line for line in lines]
    if any(line.lstrip().startswith("from __future__") for line in lines):
        return source  # one that must stay the first, written in a way of its own
    tried = [f"try: {text}\nexcept Exception: pass" for text in imports]
    removed = [f"globals().pop({name!r}, None)" for name in functions]
    return "\n".join((*future, *tried, *removed, *lines))
