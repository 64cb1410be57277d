"""Harness of a program, and of a test file: text that runs inside a space, never in this process.

It holds nothing that a program may not see, and nothing depends on a program's leaving it alone: whatever a program
makes of it, no more comes out than a plain value that it could have returned.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from assay.verifiers.code.space import LOADER

CALL = "_assay_call"
"""(name, arguments, keywords) to the value."""
CALL_TRUTH = "_assay_call_truth"
"""The same, to whether the value counts as true."""
EXPRESSION = "_assay_expression"
"""(number) to the value of the expression of this number."""

CALL_ITEMS = "_assay_call_items"
"""The same as CALL, but an iterable that is no plain value comes as the list of its items."""

_PLAIN = """
def _assay_plain(value, depth=60):
    # A subclass that compares as its base does counts as its base: a named tuple, a defaultdict, an IntEnum.
    import builtins as b, collections as c
    kind = b.type(value)
    if depth < 0 or kind in (b.int, b.float, b.str, b.bool, b.bytes, b.complex) or value is None:
        return value
    for base in (b.int, b.float, b.str, b.bytes):
        if b.isinstance(value, base) and b.getattr(kind, '__eq__', None) is base.__eq__:
            return base.__getnewargs__(value)[0]
    if kind.__module__ == 'numpy' and b.hasattr(value, 'item') and not b.getattr(value, 'shape', 1):
        return value.item()
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
"""

BEGIN = "_assay_begin"
"""(magic, modules, facts) to whether the program's end is there; it then answers EXCHANGE."""
EXCHANGE = "_assay_exchange"
"""(a unit of the test's) to a unit of the program's."""
RESUME = "_assay_resume"
"""The same, for the unit that answers a question of the program's: `job_runner`'s own name for it."""

_BEGIN = (
    LOADER
    + """
def _assay_begin(magic, modules, facts):
    import builtins as b
    names = b.globals()
    module = _assay_load(magic, modules)
    if module is not None:
        names['_assay_exchange'] = module.ProgramEnd(names, names['_assay_ask'], facts).answer
    return module is not None
"""
)

TEST_START = "_assay_start"
"""(magic, modules, facts, preambles, names, number of functions, setup, test, modules) to the first request; None where
the modules are another Python's."""
TEST_NEXT = "_assay_next"
"""(a unit of the program's) to the next request."""

TEST_HARNESS = (
    LOADER
    + """
_end = []

def _assay_start(magic, modules, facts, *arguments):
    module = _assay_load(magic, modules)
    if module is None:
        return None
    _end.append(module.start(facts, *arguments))
    return _end[0].requests.get()

def _assay_next(unit):
    _end[0].replies.put(unit)
    return _end[0].requests.get()
"""
)
"""The program of a test file's own space. The test runs in a thread that waits where it asks the program."""

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
    # One name for a module and for what it holds: datetime.datetime(...) and datetime(...) are both written.
    "datetime.__class__ = type('module', (type(sys),), {'__call__': lambda module, *a, **k: module.datetime(*a, **k), "
    "'__getattr__': lambda module, name: getattr(vars(module)['datetime'], name), "
    "'__instancecheck__': lambda module, one: isinstance(one, module.datetime)})",
    "bisect.__class__ = type('module', (type(sys),), {'__call__': lambda module, *a, **k: module.bisect(*a, **k)})",
    "copy.__class__ = type('module', (type(sys),), {'__call__': lambda module, one: module.copy(one)})",
    "from decimal import Decimal",
    "from fractions import Fraction",
    "from dataclasses import dataclass, field",
    "from enum import Enum, IntEnum",
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
    exchanges: bool = False,
) -> str:
    """The program with what answers for it.

    Args:
        setup: runs after the program, with its names.
        expressions: over the names of both.
        imports: run before the program; one that fails is passed over.
        functions: that the program must define itself: no import makes them.
        exchanges: whether a test file asks it, and not this process.
    """
    if exchanges:
        return f"{_with_imports(source, imports, functions)}\n{_BEGIN}"
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
    tried = [f"try: exec({text!r})\nexcept Exception: pass" for text in imports]
    removed = [f"globals().pop({name!r}, None)" for name in functions]
    return "\n".join((*future, *tried, *removed, *lines))
