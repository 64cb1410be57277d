"""Runs references and mutants of them on a meter: each loop round, call and branch is a tick, and a limit on ticks
ends every run.

What runs here is our own code, with single constants or operators changed. It is no sandbox.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

_TICK = "_tick"


class OverLimitError(BaseException):
    """Raised where the ticks are used up. Not an Exception: no handler of a program catches it."""


@dataclass
class Meter:
    """Counts what a program burns and which of its places it reaches."""

    left: int = 0
    reached: set[int] = field(default_factory=set)

    def tick(self, place: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise OverLimitError
        self.reached.add(place)


class _Instrument(ast.NodeTransformer):
    """Puts a tick at the start of every function, loop and branch."""

    def __init__(self) -> None:
        self.num_places = 0

    def _ticked(self, body: list[ast.stmt]) -> list[ast.stmt]:
        call = ast.Call(ast.Name(_TICK, ast.Load()), [ast.Constant(self.num_places)], [])
        self.num_places += 1
        return [ast.Expr(call), *body]

    def _visit_block(self, node: Any) -> Any:
        self.generic_visit(node)
        node.body = self._ticked(node.body)
        if getattr(node, "orelse", None) and not isinstance(node.orelse[0], ast.If):
            node.orelse = self._ticked(node.orelse)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._visit_block(node)

    def visit_For(self, node: ast.For) -> ast.AST:
        return self._visit_block(node)

    def visit_While(self, node: ast.While) -> ast.AST:
        return self._visit_block(node)

    def visit_If(self, node: ast.If) -> ast.AST:
        return self._visit_block(node)


def instrumented(source: str) -> tuple[ast.Module, int]:
    """The program with ticks, and the number of places that tick."""
    instrument = _Instrument()
    tree = ast.fix_missing_locations(instrument.visit(ast.parse(source)))
    return tree, instrument.num_places


def is_tick(statement: ast.AST) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Call)
        and isinstance(statement.value.func, ast.Name)
        and statement.value.func.id == _TICK
    )


def load(code: CodeType, meter: Meter) -> dict[str, Any]:
    """The names that a program defines."""
    names: dict[str, Any] = {"__name__": "programs", _TICK: meter.tick}
    exec(code, names)
    return names


@dataclass(frozen=True)
class MeteredResult:
    """The result of a call whose ticks are limited."""

    value: Any = None
    ended: str = ""
    """The exception's type, where there is no value."""
    burnt: int = 0

    def same(self, other: MeteredResult) -> bool:
        """Return True where a test that expects one result accepts the other: by ==, as the code verifier compares."""
        return not self.ended and not other.ended and self.value == other.value


def run(function: Callable[..., Any], arguments: Sequence[Any], meter: Meter, max_ticks: int) -> MeteredResult:
    """Calls it. No reference, and so no mutant of one, changes its arguments; `build_suite` makes sure."""
    meter.left = max_ticks
    try:
        value = function(*arguments)
    except (Exception, OverLimitError) as error:
        return MeteredResult(ended=type(error).__name__, burnt=max_ticks - meter.left)
    return MeteredResult(value, burnt=max_ticks - meter.left)
