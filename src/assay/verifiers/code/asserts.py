"""Asserts that are read outside the sandbox: `assert f(1, 2) == 3`.

An assert is parsed, never run. Calls of the program's functions are sent to the program's sandbox with plain values,
and plain values come back; everything around them (literals, arithmetic, comparisons, a list of pure functions) is
worked out here, as Python would. What is not on the list is not understood, and then the whole test goes the way of
test files. Test texts are a data set's own, so that a parser may read them; values are the program's, so that every
operation on them is bounded.
"""

from __future__ import annotations

import ast
import builtins
import collections
import functools
import math
import operator
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.sandbox.values import MAX_EQUAL_HASHES

MAX_POWER_BITS = 100_000
MAX_REPEATED = 1_000_000

Ask = Callable[["Question"], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Question:
    """The question that a program is asked: a call with plain values, or an expression over names that its setup
    made."""

    function: str
    """Empty for an expression."""
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] | None = None
    expression: str = ""
    truth: bool = False
    """True where only the truth of the value is asked for: the value itself may be any object, such as a match."""
    listed: bool = False
    """True where only the items of the value are asked for: it may be any iterable, such as a generator."""


class NotUnderstoodError(Exception):
    """The test is more than can be worked out here."""


@dataclass(frozen=True, slots=True)
class Assert:
    """One assert that is understood."""

    text: str
    test: ast.expr
    names: frozenset[str]
    """The program's functions, which it may call."""
    inside: frozenset[str] = frozenset()
    """Names that exist only beside the program: what its setup makes."""
    asked: frozenset[str] = frozenset()
    """The functions that the program was asked for: only their calls are worked out beside it."""

    async def holds(self, ask: Ask) -> bool:
        """Return True where it does. Raises what Python would raise, and what `ask` does."""
        return bool(await _Evaluation(self, ask).truth(self.test))

    @property
    def expressions(self) -> tuple[str, ...]:
        """The calls that are worked out beside the program, as source."""
        return tuple(ast.unparse(call) for call in _calls_inside(self.test, self))


def read_asserts(
    statements: Sequence[ast.stmt],
    names: Collection[str],
    inside: Collection[str] = (),
    asked: Collection[str] | None = None,
) -> tuple[Assert, ...]:
    """The asserts among statements that say nothing else.

    Args:
        names: the program's functions.
        inside, asked: see `Assert`; where `asked` is not given, all of `names`.

    Raises:
        NotUnderstoodError: some statement is more than an assert that can be worked out here.
    """
    found = []
    for statement in statements:
        if isinstance(statement, ast.Pass) or (
            isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant | ast.Name)
        ):
            continue
        if not isinstance(statement, ast.Assert):
            raise NotUnderstoodError(type(statement).__name__)
        one = Assert(
            ast.unparse(statement.test),
            statement.test,
            frozenset(names),
            frozenset(inside),
            frozenset(names if asked is None else asked),
        )
        _check(one.test, one)
        found.append(one)
    return tuple(found)


def called_names(tree: ast.AST) -> list[str]:
    """Names that are called plainly, in order, each once."""
    calls = [node.func.id for node in _in_order(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return list(dict.fromkeys(calls))


def program_functions(tree: ast.AST, entry_point: str, reference: str, given: Collection[str] = ()) -> list[str]:
    """The functions of the program that a test calls, the one that is asked for first.

    The entry point where it is stated; else what the reference defines; else what is called and is not Python's own;
    else the first thing that is called (a task may ask for a function named `sum`).

    Args:
        given: what the task itself brings: names of its setup, of its prompt, of the test. With what the reference
            imports, these are never the program's.
    """
    defined = defined_names(reference, imports=False) - set(given)
    given = {*given, *(defined_names(reference) - defined), "candidate"}
    called = [name for name in called_names(tree) if name not in given]
    own = [name for name in called if name in defined]
    if not own and "*" not in given:
        own = [name for name in called if not hasattr(builtins, name)]
    if entry_point:
        return [entry_point, *(name for name in own if name != entry_point)]
    return own or called[:1]


def defined_names(source: str, *, imports: bool = True) -> set[str]:
    """Names that a text of Python makes at its outermost level; none where it is no Python.

    Args:
        imports: with those that it imports; "*" is one of them where it imports all of a module's.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= imported_names(node) if imports else set()
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def imported_names(node: ast.Import | ast.ImportFrom) -> set[str]:
    """The names that an import makes."""
    return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}


def _in_order(tree: ast.AST) -> list[ast.AST]:
    found: list[ast.AST] = []
    for child in ast.iter_child_nodes(tree):
        found += [child, *_in_order(child)]
    return found


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and base.bit_length() > MAX_POWER_BITS:
        raise OverflowError("an integer with too many digits")
    if isinstance(base, int) and isinstance(exponent, int) and abs(exponent) * base.bit_length() > MAX_POWER_BITS:
        raise OverflowError("a power with too many digits")
    return base**exponent


def _is_long(value: Any) -> bool:
    return isinstance(value, int) and value.bit_length() > MAX_POWER_BITS


def _shorter(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same for integers whose digits make it no quadratic work."""

    @functools.wraps(function)
    def bounded(*arguments: Any) -> Any:
        if any(map(_is_long, arguments)):
            raise OverflowError("an integer with too many digits")
        return function(*arguments)

    return bounded


def _require_spread(items: Collection[Any]) -> None:
    """Raises ValueError for keys that were chosen to collide: n of them would cost n * n steps."""
    counts = collections.Counter(map(hash, items))
    if max(counts.values(), default=0) > MAX_EQUAL_HASHES and len(items) > MAX_EQUAL_HASHES:
        distinct = collections.defaultdict(list)
        for item in items:
            same = distinct[hash(item)]
            if item not in same:
                same.append(item)
                if len(same) > MAX_EQUAL_HASHES:
                    raise ValueError("keys made to collide")


def _hashed(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same for keys that do not collide."""

    @functools.wraps(function)
    def bounded(*arguments: Any, **keywords: Any) -> Any:
        for argument in arguments:
            if isinstance(argument, list | tuple):
                if function is dict:
                    argument = [pair[0] for pair in argument if isinstance(pair, list | tuple) and pair]
                _require_spread(argument)
        return function(*arguments, **keywords)

    return bounded


def _times(first: Any, second: Any) -> Any:
    if _is_long(first) and _is_long(second):
        raise OverflowError("a product with too many digits")
    for sequence, count in ((first, second), (second, first)):
        is_repetition = isinstance(sequence, str | bytes | list | tuple) and isinstance(count, int)
        if is_repetition and len(sequence) * max(count, 0) > MAX_REPEATED:
            raise OverflowError("a sequence that is too long")
    return first * second


_remainder = _shorter(operator.mod)


def _modulo(first: Any, second: Any) -> Any:
    if isinstance(first, str | bytes):
        raise TypeError("formatting is not worked out here")
    return _remainder(first, second)


_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: _times,
    ast.Div: operator.truediv,
    ast.FloorDiv: _shorter(operator.floordiv),
    ast.Mod: _modulo,
    ast.Pow: _power,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}
_UNARY: dict[type, Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Invert: operator.invert,
}
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        *(abs, all, any, bool, complex, dict, float, frozenset, int, len, list, max, min),
        *(repr, round, set, sorted, str, sum, tuple),
    )
} | {
    **{name: _hashed(kind) for name, kind in (("dict", dict), ("frozenset", frozenset), ("set", set))},
    **dict.fromkeys(("Counter", "collections.Counter"), _hashed(collections.Counter)),
    "sys.getsizeof": sys.getsizeof,
    **{
        f"math.{name}": getattr(math, name)
        for name in (
            *("ceil", "cos", "degrees", "exp", "fabs", "floor", "hypot", "isclose", "isfinite", "isinf", "isnan"),
            *("isqrt", "log", "log10", "log2", "radians", "sin", "sqrt", "tan", "trunc"),
        )
    },
    "math.isqrt": _shorter(math.isqrt),
}
"""Pure functions whose cost is bounded by the size of their arguments."""
_CONSTANTS: dict[str, float] = {f"math.{name}": getattr(math, name) for name in ("e", "inf", "nan", "pi", "tau")}
_TYPES: dict[str, type] = {
    kind.__name__: kind for kind in (bool, bytes, complex, dict, float, frozenset, int, list, set, str, tuple)
}


_CONSUMERS = ("Counter", "collections.Counter", "frozenset", "list", "max", "min", "set", "sorted", "sum", "tuple")
"""The functions that look at no more than the items of their one argument."""


def _check(node: ast.expr, one: Assert) -> None:
    """Raises NotUnderstoodError on the first thing that `_Evaluation` does not know."""
    names = one.names
    match node:
        case ast.Constant():
            children: list[ast.expr] = []
        case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
            children = elements
        case ast.Dict(keys=keys, values=values) if None not in keys:
            children = [*(key for key in keys if key is not None), *values]
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            children = [operand]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            children = [left, right]
        case ast.BoolOp(values=values):
            children = values
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            for op, right in zip(ops, comparators, strict=True):
                single = isinstance(right, ast.Constant) and (right.value is None or isinstance(right.value, bool))
                if isinstance(op, ast.Is | ast.IsNot) and not single:
                    raise NotUnderstoodError("identity of values")
            children = [left, *comparators]
        case ast.Subscript(value=value, slice=index) if not isinstance(index, ast.Slice):
            children = [value, index]
        case ast.Attribute() if _dotted(node) in _CONSTANTS:
            children = []
        case ast.Call(func=function, args=arguments, keywords=keywords):
            if _is_inside(node, one):
                return
            name = _dotted(function)
            if name == "isinstance" and name not in names and len(arguments) == 2 and not keywords:
                kinds = arguments[1].elts if isinstance(arguments[1], ast.Tuple) else [arguments[1]]
                if not all(isinstance(kind, ast.Name) and kind.id in _TYPES for kind in kinds):
                    raise NotUnderstoodError("isinstance of another type")
                children = arguments[:1]
            elif name is None or (name not in names and name != "candidate" and name not in _FUNCTIONS):
                raise NotUnderstoodError(f"a call of {name}")
            elif any(isinstance(argument, ast.Starred) for argument in arguments) or any(
                k.arg is None for k in keywords
            ):
                raise NotUnderstoodError("arguments from a sequence")
            else:
                children = [*arguments, *(keyword.value for keyword in keywords)]
        case _:
            raise NotUnderstoodError(type(node).__name__)
    for child in children:
        _check(child, one)


def _is_inside(call: ast.Call, one: Assert) -> bool:
    """Return True where this is a call of the program with something that only its own space has: an object of its
    classes, what its setup made, a type.

    Raises:
        NotUnderstoodError: it is, and needs more than that space has, or is no call of what the program was asked for:
            a helper of the test would be worked out where the program can change what it says.
    """
    if not (isinstance(call.func, ast.Name) and call.func.id in one.names | one.inside):
        return False
    nodes = [node for part in (*call.args, *(k.value for k in call.keywords)) for node in ast.walk(part)]
    functions = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    used = [node for node in nodes if isinstance(node, ast.Name)]
    beside = one.inside | one.names
    if not any(node.id in beside or (node.id in _TYPES and id(node) not in functions) for node in used):
        return False
    if call.func.id not in one.asked:
        raise NotUnderstoodError(f"a call of {call.func.id}")
    unknown = {node.id for node in used} - beside - _TYPES.keys() - _FUNCTIONS.keys()
    if unknown:
        raise NotUnderstoodError(f"the name {min(unknown)}")
    return True


def _calls_inside(node: ast.AST, one: Assert) -> list[ast.Call]:
    """The outermost of the calls that are worked out beside the program."""
    if isinstance(node, ast.Call) and _is_inside(node, one):
        return [node]
    return [call for child in ast.iter_child_nodes(node) for call in _calls_inside(child, one)]


def _dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return None


class _Evaluation:
    """Works out one assert, which `_check` has passed."""

    def __init__(self, one: Assert, ask: Ask) -> None:
        self._one, self._ask = one, ask

    async def value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.List():
                return await self._all(node.elts)
            case ast.Tuple():
                return tuple(await self._all(node.elts))
            case ast.Set():
                return _FUNCTIONS["set"](await self._all(node.elts))
            case ast.Dict(keys=keys, values=values):
                return dict(zip(await self._all([k for k in keys if k]), await self._all(values), strict=True))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not await self.truth(operand)
            case ast.UnaryOp(op=op, operand=operand):
                return _UNARY[type(op)](await self.value(operand))
            case ast.BinOp(left=left, op=op, right=right):
                return _BINARY[type(op)](await self.value(left), await self.value(right))
            case ast.BoolOp(op=op, values=values):
                result = None
                for each in values:
                    result = await self.value(each)
                    if bool(result) is isinstance(op, ast.Or):
                        break
                return result
            case ast.Compare():
                return await self._compare(node)
            case ast.Subscript(value=value, slice=index):
                return (await self.value(value))[await self.value(index)]
            case ast.Attribute():
                return _CONSTANTS[_dotted(node) or ""]
            case ast.Call():
                return await self._call(node)
        raise AssertionError(f"{type(node).__name__} was not checked")

    async def truth(self, node: ast.expr) -> Any:
        """A value of which only the truth matters."""
        return await (self._call(node, truth=True) if isinstance(node, ast.Call) else self.value(node))

    async def _all(self, nodes: Sequence[ast.expr]) -> list[Any]:
        return [await self.value(node) for node in nodes]

    async def _compare(self, node: ast.Compare) -> Any:
        left = await self.value(node.left)
        result: Any = True
        for op, comparator in zip(node.ops, node.comparators, strict=True):
            right = await self.value(comparator)
            result = _COMPARE[type(op)](left, right)
            if not result:
                return result
            left = right
        return result

    async def _items(self, node: ast.expr) -> Any:
        """A value of which only the items matter."""
        return await (self._call(node, listed=True) if isinstance(node, ast.Call) else self.value(node))

    async def _call(self, node: ast.Call, *, truth: bool = False, listed: bool = False) -> Any:
        if _is_inside(node, self._one):
            return await self._ask(Question("", expression=ast.unparse(node)))
        name = _dotted(node.func) or ""
        if name == "isinstance" and name not in self._one.names:
            kinds = node.args[1].elts if isinstance(node.args[1], ast.Tuple) else [node.args[1]]
            known = tuple(_TYPES[kind.id] for kind in kinds if isinstance(kind, ast.Name))
            return isinstance(await self.value(node.args[0]), known)
        consumes = name in _CONSUMERS and name not in self._one.names and len(node.args) == 1
        arguments = [await self._items(node.args[0])] if consumes else await self._all(node.args)
        keywords = {keyword.arg or "": await self.value(keyword.value) for keyword in node.keywords}
        if name in self._one.names or name == "candidate":
            return await self._ask(Question(name, tuple(arguments), keywords, truth=truth, listed=listed))
        return _FUNCTIONS[name](*arguments, **keywords)
