"""The set of real numbers that an answer describes: intervals, inequalities, unions."""

from __future__ import annotations

from typing import Any

import sympy
from sympy import S

from assay.verifiers.mathematics.conversion import UnreadableError, to_sympy
from assay.verifiers.mathematics.node import Node, symbols, walk


def to_set(node: Node) -> Any:
    """The set of real numbers that a tree describes.

    Raises:
        UnreadableError: it is about several variables, or needs more than solving a linear inequality.
    """
    if node.kind == "space" and node.text == "reals":
        return S.Reals
    if node.kind == "member":
        return to_set(node.parts[0])
    if node.kind in ("set", "list"):
        return sympy.FiniteSet(*(_real(part) for part in node.parts))
    if node.kind in ("interval", "tuple", "point") and len(node.parts) == 2:
        start, end = map(_real, node.parts)
        brackets = node.text if node.kind == "interval" else "()"
        if bool(start > end):
            raise UnreadableError("empty interval")
        return sympy.Interval(start, end, brackets[0] == "(", brackets[-1] == ")")
    if node.kind == "union":
        return sympy.Union(*map(to_set, node.parts))
    if node.kind == "difference":
        return to_set(node.parts[0]) - to_set(node.parts[1])
    if node.kind == "or":
        return sympy.Union(*map(to_set, node.parts))
    if node.kind == "and":
        common = sympy.Intersection(*map(to_set, node.parts))
        # "x < 1, x > 3" joins what cannot hold together.
        return sympy.Union(*map(to_set, node.parts)) if node.text == "comma" and common.is_empty else common
    if node.kind == "relation":
        signs = node.text.split()
        pairs = zip(node.parts, signs, node.parts[1:], strict=False)
        return sympy.Intersection(*(_half_line(left, sign, right) for left, sign, right in pairs))
    if node.kind in ("number", "product", "power", "sum", "constant"):
        return sympy.FiniteSet(_real(node))
    raise UnreadableError(node.kind)


def _real(node: Node) -> Any:
    value = to_sympy(node)
    if not isinstance(value, sympy.Expr) or not value.is_extended_real or value.free_symbols:
        raise UnreadableError("no real number")
    return value


def _half_line(left: Node, sign: str, right: Node) -> Any:
    """Return the set in which a linear inequality of one variable holds."""
    gap = sympy.expand(to_sympy(left) - to_sympy(right))
    unknown = gap.free_symbols
    calls = gap.atoms(sympy.core.function.AppliedUndef)
    if len(calls) == 1:
        name = sympy.Dummy()
        gap, unknown = gap.xreplace({next(iter(calls)): name}), {name}
    if gap.has(sympy.oo, -sympy.oo) or gap is S.NaN:
        # x < \infty
        if right.kind in ("constant", "product") or left.kind in ("constant", "product"):
            return S.Reals
        raise UnreadableError("infinity")
    if len(unknown) != 1:
        raise UnreadableError("not one variable")
    (name,) = unknown
    linear = sympy.Poly(gap, name) if gap.is_polynomial(name) else None
    if linear is None or linear.degree() != 1:
        return _solved(gap, sign, name)
    slope, constant = linear.all_coeffs()
    edge = -constant / slope
    if slope.is_positive is None:
        raise UnreadableError("sign")
    if not slope.is_positive:
        sign = {"<": ">", ">": "<", "le": "ge", "ge": "le"}.get(sign, sign)
    if sign == "ne":
        return S.Reals - sympy.FiniteSet(edge)
    if sign == "=":
        return sympy.FiniteSet(edge)
    if sign in ("<", "le"):
        return sympy.Interval(-sympy.oo, edge, True, sign == "<")
    return sympy.Interval(edge, sympy.oo, sign == ">", True)


def is_open(node: Node) -> bool:
    """Return True for an inequality that is still to be solved: powers of the variable, or an absolute value of more
    than the variable alone."""
    return any(
        (one.kind == "power" and one.parts[0].kind != "number" and symbols(one))
        or (one.kind == "call" and one.text == "abs" and one.parts[0].kind != "symbol" and symbols(one))
        for relation in walk(node)
        if relation.kind == "relation"
        for one in walk(relation)
    )


MAX_DEGREE = 4
"""Largest degree of an inequality that is solved."""


def _solved(gap: Any, sign: str, name: Any) -> Any:
    """Return the set of real numbers in which an inequality beside zero holds: a polynomial with rational numbers, or
    one with the absolute value of a linear one."""
    x = sympy.Dummy("x", real=True)
    gap = gap.xreplace({name: x})
    inside = gap.replace(sympy.Abs, lambda one: one) if gap.has(sympy.Abs) else gap
    polynomial = sympy.Poly(inside, x) if inside.is_polynomial(x) else None
    limit = 1 if gap.has(sympy.Abs) else MAX_DEGREE
    if (
        polynomial is None
        or not 1 <= polynomial.degree() <= limit
        or not polynomial.domain.is_QQ | polynomial.domain.is_ZZ
    ):
        raise UnreadableError("not linear")
    relation = {
        "<": gap < 0,
        ">": gap > 0,
        "le": gap <= 0,
        "ge": gap >= 0,
        "ne": sympy.Ne(gap, 0),
        "=": sympy.Eq(gap, 0),
    }
    return sympy.solveset(relation[sign], x, S.Reals)


_RELATIONS = {"<": sympy.Lt, ">": sympy.Gt, "le": sympy.Le, "ge": sympy.Ge, "ne": sympy.Ne, "=": sympy.Eq}
