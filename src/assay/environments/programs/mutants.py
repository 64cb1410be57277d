"""Mutants of a reference: the same program with one small mistake.

No mutation makes a product or a power, so numbers do not grow beyond what a limit on ticks bounds.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

from assay.environments.programs.metered import is_tick

_BOUNDARY = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
_OPPOSITE = {
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_OPERATOR = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mod, ast.Mod: ast.FloorDiv}
_CALLS = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "sorted": "list",
    "sum": "len",
    "upper": "lower",
    "lower": "upper",
    "startswith": "endswith",
    "endswith": "startswith",
    "find": "rfind",
    "rjust": "ljust",
    "ljust": "rjust",
    "popleft": "pop",
}
_DROPPED = (ast.Assign, ast.AugAssign, ast.Expr, ast.Break, ast.Continue, ast.Return)

STEP_LEFT_OUT = "step left out"

Change = tuple[str, Callable[[], None], Callable[[], None]]
"""The mistake's name, how to make it in the tree, how to take it back."""


def mutants(tree: ast.Module, function: str, keep: Callable[[int], list[int]]) -> Iterator[tuple[str, CodeType]]:
    """(mistake, compiled program) of each mutant of one function of the program.

    Args:
        keep: given the number of mutants that can be made, which of them to make.
    """
    (node,) = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == function)
    changes = list(_changes(node))
    for index in keep(len(changes)):
        mistake, apply, revert = changes[index]
        apply()
        try:
            code = compile(tree, "<mutant>", "exec")
        except (SyntaxError, ValueError):
            continue
        finally:
            revert()
        yield mistake, code


def _changes(function: ast.FunctionDef) -> Iterator[Change]:
    names = [argument.arg for argument in function.args.args]
    hints = {argument.arg: ast.dump(argument.annotation) for argument in function.args.args if argument.annotation}
    for statement in function.body:
        for node in _walk(statement):
            yield from _node_changes(node)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names:
                other = next((n for n in names if n != node.id and hints.get(n) == hints.get(node.id)), None)
                if other is not None:
                    yield _set(f"{node.id} becomes {other}", node, "id", other)
    for owner in ast.walk(function):
        yield from _dropped(owner)


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """The node and what is below it, without ticks."""
    if is_tick(node):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _walk(child)


def _set(mistake: str, node: Any, name: str, value: Any) -> Change:
    old = getattr(node, name)
    return mistake, lambda: setattr(node, name, value), lambda: setattr(node, name, old)


def _put(mistake: str, items: list[Any], index: int, value: Any) -> Change:
    old = items[index]
    return mistake, lambda: items.__setitem__(index, value), lambda: items.__setitem__(index, old)


def _node_changes(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.Constant):
        yield from _constant_changes(node)
    elif isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            for table, mistake in ((_BOUNDARY, "boundary"), (_OPPOSITE, "opposite comparison")):
                if type(operator) in table:
                    yield _put(mistake, node.ops, index, table[type(operator)]())
    elif isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in _OPERATOR:
        yield _set("other operator", node, "op", _OPERATOR[type(node.op)]())
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Sub, ast.FloorDiv, ast.Mod)):
            yield _swapped(node)
    elif isinstance(node, ast.BoolOp):
        yield _set("and/or", node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield _set("sign left out", node, "op", ast.UAdd())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        twice = ast.copy_location(ast.UnaryOp(ast.Not(), node.operand), node)
        yield _set("not left out", node, "operand", twice)
    elif isinstance(node, (ast.If, ast.While, ast.IfExp)):
        for value in (True, False):
            yield _set(f"condition is {value}", node, "test", _constant(node.test, value))
    elif isinstance(node, ast.comprehension):
        for index, test in enumerate(node.ifs):
            yield _put("condition left out", node.ifs, index, _constant(test, True))
    elif isinstance(node, ast.Slice):
        for name in ("lower", "upper", "step"):
            if getattr(node, name) is not None:
                yield _set(f"slice without {name}", node, name, None)
    elif isinstance(node, ast.Call):
        yield from _call_changes(node)


def _constant_changes(node: ast.Constant) -> Iterator[Change]:
    value = node.value
    if isinstance(value, bool):
        yield _set("opposite constant", node, "value", not value)
    elif isinstance(value, int):
        yield _set("constant + 1", node, "value", value + 1)
        yield _set("constant - 1", node, "value", value - 1)
    elif isinstance(value, str):
        yield _set("other text", node, "value", value + "x" if not value else value[1:])


def _call_changes(node: ast.Call) -> Iterator[Change]:
    if isinstance(node.func, ast.Name) and node.func.id == "range":
        end = 0 if len(node.args) == 1 else 1
        for operator, mistake in ((ast.Add(), "range one longer"), (ast.Sub(), "range one shorter")):
            bound = ast.copy_location(ast.BinOp(node.args[end], operator, _constant(node, 1)), node)
            yield _put(mistake, node.args, end, bound)
        if end == 0:
            yield _set("range from 1", node, "args", [_constant(node, 1), *node.args])
        return
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    if name in _CALLS:
        where = "id" if isinstance(node.func, ast.Name) else "attr"
        yield _set(f"{name} becomes {_CALLS[name]}", node.func, where, _CALLS[name])
    if len(node.args) == 2:
        yield _set("arguments swapped", node, "args", node.args[::-1])
    for index, keyword in enumerate(node.keywords):
        without = node.keywords[:index] + node.keywords[index + 1 :]
        yield _set(f"without {keyword.arg}", node, "keywords", without)


def _swapped(node: ast.BinOp) -> Change:
    left, right = node.left, node.right

    def apply() -> None:
        node.left, node.right = right, left

    def revert() -> None:
        node.left, node.right = left, right

    return "operands swapped", apply, revert


def _dropped(owner: ast.AST) -> Iterator[Change]:
    for name in ("body", "orelse"):
        body = getattr(owner, name, None)
        if not isinstance(body, list):
            continue
        for index, statement in enumerate(body):
            last_of_function = isinstance(owner, ast.FunctionDef) and index == len(body) - 1
            if isinstance(statement, _DROPPED) and not is_tick(statement) and not last_of_function:
                if _is_step(statement):
                    yield _without_step(statement, body, index, owner)
                else:
                    yield _put("statement left out", body, index, ast.copy_location(ast.Pass(), statement))


def _is_step(statement: ast.stmt) -> bool:
    """Return True for a step of a pipeline, `result = ...`."""
    if not isinstance(statement, ast.Assign):
        return False
    target = statement.targets[0]
    return isinstance(target, ast.Name) and target.id == "result"


def _without_step(statement: Any, body: list[Any], index: int, owner: ast.AST) -> Change:
    """The first step is left out by handing on the argument that it takes."""
    names = {node.id for node in ast.walk(statement.value) if isinstance(node, ast.Name)}
    if "result" not in names and isinstance(owner, ast.FunctionDef):
        given = next((argument.arg for argument in owner.args.args if argument.arg in names), None)
        if given is not None:
            return _set(
                STEP_LEFT_OUT, statement, "value", ast.copy_location(ast.Name(given, ast.Load()), statement.value)
            )
    return _put(STEP_LEFT_OUT, body, index, ast.copy_location(ast.Pass(), statement))


def _constant(place: Any, value: Any) -> ast.Constant:
    return ast.copy_location(ast.Constant(value), place)
