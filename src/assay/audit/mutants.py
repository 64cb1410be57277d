"""Mutants of a reference program: small changes that tests ought to notice (DeMillo, Lipton and Sayward 1978)."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable
from dataclasses import dataclass

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_REPLACED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
}
_JOINED: dict[type[ast.boolop], type[ast.boolop]] = {ast.And: ast.Or, ast.Or: ast.And}


@dataclass(frozen=True)
class Mutant:
    """A program that differs from the reference in one place."""

    change: str
    """The kind of change, with its line: "line 3: < to <="."""
    program: str


def mutants_of(program: str, *, most: int = 12) -> list[Mutant]:
    """Return changed copies of a Python program, spread evenly over its places; none where it does not parse.

    Kinds: comparisons and their bounds, arithmetic, and/or, constants off by one, conditions turned round, a branch
    left out. A mutant may be equivalent to the reference, which no test can notice: a survivor is to be looked at.

    Args:
        most: mutants at most.
    """
    try:
        tree = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError):
        return []
    places = [(place, number) for place, node in enumerate(ast.walk(tree)) for number in range(len(_changes(node)))]
    step = max(len(places) / most, 1.0)
    original = ast.unparse(tree)
    chosen = [_mutant(tree, *places[int(index * step)]) for index in range(min(most, len(places)))]
    return list({mutant.program: mutant for mutant in chosen if mutant and mutant.program != original}.values())


def _mutant(tree: ast.Module, place: int, number: int) -> Mutant | None:
    """The tree with one change of the node that a walk through it meets at this place."""
    changed = copy.deepcopy(tree)
    node = next(node for index, node in enumerate(ast.walk(changed)) if index == place)
    what, change = _changes(node)[number]
    change()
    try:
        return Mutant(f"line {getattr(node, 'lineno', 0)}: {what}", ast.unparse(ast.fix_missing_locations(changed)))
    except (ValueError, RecursionError):
        return None


def _changes(node: ast.AST) -> list[tuple[str, Callable[[], None]]]:
    """What can be changed about a node: the kind of the change, and what makes it."""
    found: list[tuple[str, Callable[[], None]]] = []
    if isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            if other := _COMPARED.get(type(operator)):
                found.append((f"{_shown(operator)} to {_shown(other())}", _set(node.ops, index, other())))
    elif isinstance(node, ast.BinOp) and (other_operator := _REPLACED.get(type(node.op))):
        new = other_operator()
        found.append((f"{_shown(node.op)} to {_shown(new)}", lambda: setattr(node, "op", new)))
    elif isinstance(node, ast.BoolOp):
        joined = _JOINED[type(node.op)]()
        found.append((f"{_shown(node.op)} to {_shown(joined)}", lambda: setattr(node, "op", joined)))
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        value = node.value
        found += [
            (f"{value} to {near}", lambda near=near: setattr(node, "value", near)) for near in (value + 1, value - 1)
        ]
    elif isinstance(node, ast.If):
        found.append(("a branch left out", lambda: setattr(node, "body", [ast.Pass()])))
    elif isinstance(node, ast.Return) and node.value is not None:
        found.append(("nothing returned", lambda: setattr(node, "value", ast.Constant(None))))
    return found


def _set(members: list[ast.cmpop], index: int, member: ast.cmpop) -> Callable[[], None]:
    return lambda: members.__setitem__(index, member)


def _shown(operator: ast.AST) -> str:
    return type(operator).__name__
