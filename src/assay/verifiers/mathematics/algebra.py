"""Compares what needs algebra: expressions, equations and sets, by sympy. Runs in a worker process (see `pool`)."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import sympy
from sympy import S

from assay.verifiers.mathematics.comparison import SETS, Tolerance
from assay.verifiers.mathematics.conversion import FUNCTIONS, UnreadableError, to_sympy
from assay.verifiers.mathematics.node import Comparison, Node, symbols, walk
from assay.verifiers.mathematics.real_sets import is_open, to_set
from assay.verifiers.mathematics.terms import transposes_inside

DIGITS = 60
"""Digits to which two constants are worked out first, and of which `AGREEING` must be the same."""
AGREEING = 40
MANY_DIGITS = 1_000
"""Digits that settle what sympy cannot prove, where no number in the expressions is longer than `SHORT`."""
SHORT = 12
POINTS = 3
"""Places at which two expressions with symbols are compared before sympy is asked to prove them equal."""


def compare(gold: Node, response: Node, tolerance: Tolerance) -> Comparison:
    """Compare two trees by value: sets as sets, equations up to a factor, expressions as symbols.

    Raises:
        UnreadableError: one of them cannot be worked out.
    """
    if "equation" in (gold.kind, response.kind):
        return _verdict(_equations(gold, response))
    if {gold.kind, response.kind} & (SETS - {"interval"}):
        return _verdict(_sets(gold, response))
    # \log is that of base e, or of base 10, whichever both agree in.
    bases = (sympy.E, sympy.Integer(10)) if _has_open_log(gold) or _has_open_log(response) else (sympy.E,)
    return _verdict(any(_expressions(gold, response, base, tolerance) for base in bases))


def _verdict(equal: bool) -> Comparison:
    return "same" if equal else "different"


def _has_open_log(node: Node) -> bool:
    return any(one.kind == "call" and one.text == "log" and len(one.parts) == 1 for one in walk(node))


def _expressions(gold: Node, response: Node, base: Any, tolerance: Tolerance) -> bool:
    if _matrices(gold) != _matrices(response):
        return False
    ordered = _is_ordered(gold) or _is_ordered(response)
    if ordered:
        gold, response = transposes_inside(gold), transposes_inside(response)
    first, second = (to_sympy(node, base, ordered) for node in (gold, response))
    if isinstance(first, sympy.MatrixBase) or isinstance(second, sympy.MatrixBase):
        if not (isinstance(first, sympy.MatrixBase) and isinstance(second, sympy.MatrixBase)):
            return False
        return first.shape == second.shape and all(
            is_equal(a, b, gold, response, tolerance) for a, b in zip(first.flat(), second.flat(), strict=True)
        )
    return is_equal(first, second, gold, response, tolerance)


def _matrices(node: Node) -> bool:
    return any(one.kind == "matrix" and one.text != "determinant" for one in walk(node))


def _is_ordered(node: Node) -> bool:
    """Return True where capitals in the expression are matrices, whose order counts: one is transposed, or inverted
    beside another."""
    capitals = [one for one in symbols(node) if len(one) == 1 and one.isupper()]
    powers = [one for one in walk(node) if one.kind == "power"]
    transposed = any(one.parts[1] == Node("symbol", "T") and not _is_numeric(one.parts[0]) for one in powers)
    inverse = any(
        one.parts[1] == Node("number", value=Fraction(-1))
        and one.parts[0].kind == "symbol"
        and one.parts[0].text.isupper()
        for one in powers
    )
    return bool(capitals) and (transposed or (inverse and len(capitals) > 1 and capitals == list(symbols(node))))


def _is_numeric(node: Node) -> bool:
    return not symbols(node)


# Expressions


def is_equal(first: Any, second: Any, gold: Node, response: Node, tolerance: Tolerance) -> bool:
    """Return True where two expressions have the same value, for all values of their symbols."""
    if first == second:
        # Infinity is what is written so, and nothing that grows to it.
        return first.is_finite is not False or _is_infinity(gold) is _is_infinity(response) is True
    for one in (first, second):
        if one is S.NaN or one is S.ComplexInfinity:
            return False
    if first.is_infinite or second.is_infinite:
        return False
    unknown = first.free_symbols | second.free_symbols
    if first.free_symbols != second.free_symbols and _misses(first, second):
        return False
    if not unknown and not (
        first.atoms(sympy.core.function.AppliedUndef) | second.atoms(sympy.core.function.AppliedUndef)
    ):
        return _constants(first, second, gold, response, tolerance)
    return _with_symbols(first, second, unknown)


def _is_infinity(node: Node) -> bool:
    return node.kind == "constant" or (node.kind == "product" and all(one.kind != "call" for one in node.parts))


def _misses(first: Any, second: Any) -> bool:
    """Return True for two single symbols that differ."""
    both = first.free_symbols & second.free_symbols
    return not both and first.is_Symbol and second.is_Symbol


def _constants(first: Any, second: Any, gold: Node, response: Node, tolerance: Tolerance) -> bool:
    a, b = first.evalf(DIGITS), second.evalf(DIGITS)
    if not (a.is_number and b.is_number) or a.has(S.NaN) or b.has(S.NaN):
        return False
    size = max(abs(a), abs(b))
    difference = abs(a - b)
    if not tolerance.is_exact and a.is_real and b.is_real:
        margin = abs(a) * sympy.Float(str(tolerance.relative), 30)
        if tolerance.decimals is not None:
            margin = max(margin, sympy.Rational(1, 2 * 10**tolerance.decimals))
        if difference <= margin * (1 + sympy.Float("1e-25")):
            return True
    if bool(difference > size * sympy.Float(10) ** -AGREEING):
        return False
    gap = first - second
    if gap.is_Rational:
        return bool(gap == 0)
    if _is_short(gold) and _is_short(response):
        a, b = first.evalf(MANY_DIGITS), second.evalf(MANY_DIGITS)
        return bool(abs(a - b) <= max(abs(a), abs(b)) * sympy.Float(10, MANY_DIGITS) ** (50 - MANY_DIGITS))
    return bool(sympy.expand(gap) == 0 or sympy.simplify(gap) == 0 or gap.equals(0))


def _is_short(node: Node) -> bool:
    """Return True where no number is so long that two values could differ in digits beyond all that are worked out."""
    return all(
        one.value is None or max(one.value.numerator.bit_length(), one.value.denominator.bit_length()) < 3.3 * SHORT
        for one in walk(node)
    )


def _with_symbols(first: Any, second: Any, unknown: set[Any]) -> bool:
    draw = random.Random(0)
    names = sorted(unknown, key=str)
    if all(name.is_commutative for name in names):
        for i in range(POINTS):
            # Of both signs: the root of x squared is not x.
            values = {
                name: sympy.Rational(draw.randint(5, 60), draw.choice((7, 11, 13))) * (-1 if (i + j) % 2 else 1)
                for j, name in enumerate(names)
            }
            if _differ(first, second, values):
                return False
    gap = first - second
    if sympy.expand(gap) == 0:
        return True
    if gap.is_rational_function(*names):
        return bool(sympy.cancel(sympy.together(gap)) == 0)
    if sympy.simplify(gap) == 0 or sympy.simplify(sympy.expand_trig(sympy.expand_log(gap))) == 0:
        return True
    # Both agree at points of both signs: for real numbers, |x| is the root of x squared.
    real = {name: sympy.Dummy(str(name), real=True) for name in names if name.is_commutative}
    return bool(sympy.simplify(gap.xreplace(real)) == 0)


def _differ(first: Any, second: Any, values: dict[Any, Any]) -> bool:
    """Return True where two expressions have different values at a point; False where they have none."""
    try:
        a, b = (one.xreplace(values).evalf(30) for one in (first, second))
        if not (a.is_number and b.is_number) or a.has(S.NaN, S.ComplexInfinity) or b.has(S.NaN, S.ComplexInfinity):
            return False
        return bool(abs(a - b) > (abs(a) + abs(b) + 1) * 1e-15)
    except (TypeError, ValueError, ZeroDivisionError, AttributeError):
        return False


# Equations and sets


def _equations(gold: Node, response: Node) -> bool:
    """Return True where two equations are the same up to a factor, or up to the order of their sides."""
    gaps = []
    for node in (gold, response):
        if node.kind != "equation":
            return False
        sides = (Node("symbol", node.text), node.parts[0]) if node.text else node.parts
        if len(sides) != 2:
            return False
        left, right = (to_sympy(side) for side in sides)
        if isinstance(left, sympy.MatrixBase) or isinstance(right, sympy.MatrixBase):
            return False
        gaps.append(left - right)
    return _proportional(*gaps) is not None


def _proportional(first: Any, second: Any) -> Any:
    """Return the ratio of one expression to the other, where that is a number; else None."""
    if first.free_symbols != second.free_symbols or not first.free_symbols:
        return None
    values = {name: sympy.Rational(7 * i + 5, 11) for i, name in enumerate(sorted(first.free_symbols, key=str))}
    divisor = second.xreplace(values)
    if divisor == 0 or divisor.has(S.NaN, S.ComplexInfinity):
        return None
    factor = sympy.nsimplify(first.xreplace(values) / divisor)
    if factor == 0 or not factor.is_number:
        return None
    names = set(first.free_symbols)
    gap = first - factor * second
    if sympy.expand(gap) == 0 or (
        not _differ(first, factor * second, {n: -v + 1 for n, v in values.items()}) and sympy.simplify(gap) == 0
    ):
        return factor
    del names
    return None


def _sets(gold: Node, response: Node) -> bool:
    first, second = _name_of(gold), _name_of(response)
    if first is not None and second is not None and first != second:
        # x > 3 and y > 3; but names of sets (x in S) have none of their own.
        return False
    if is_open(response) and not is_open(gold):
        # The question again: x squared < 9 where -3 < x < 3 is the answer.
        return False
    try:
        sets = [to_set(node) for node in (gold, response)]
    except UnreadableError:
        return _relations(gold, response)
    if sets[0] == sets[1]:
        return True
    gap = sympy.SymmetricDifference(*sets) if all(s.is_FiniteSet for s in sets) else None
    if gap is not None:
        return bool(gap.is_empty)
    return bool((sets[0] - sets[1]).is_empty and (sets[1] - sets[0]).is_empty)


def _name_of(node: Node) -> str | None:
    """The variable that a condition is about; None for a set."""
    if node.kind == "member":
        return node.text
    if node.kind in ("relation", "or", "and"):
        names = {name for part in node.parts if (name := _name_of(part)) is not None}
        if node.kind == "relation":
            names = {name for part in node.parts for name in symbols(part)}
            calls = {part.text for part in node.parts if part.kind == "call" and part.text not in FUNCTIONS}
            names = calls or names
        return next(iter(names)) if len(names) == 1 else ",".join(sorted(names)) or None
    return None


_TURNED = {"<": ">", ">": "<", "le": "ge", "ge": "le", "ne": "ne", "=": "="}


def _relations(gold: Node, response: Node) -> bool:
    """Inequalities of several variables: one of them up to a factor, or a chain from either end."""
    if gold.kind in ("or", "and") and gold.kind == response.kind and len(gold.parts) == len(response.parts) <= 6:
        free = list(response.parts)
        for part in gold.parts:
            place = next((i for i, other in enumerate(free) if part == other or _relations(part, other)), None)
            if place is None:
                return False
            del free[place]
        return True
    if gold.kind != "relation" or response.kind != "relation":
        return False
    pairs = [
        [
            (sign, to_sympy(a), to_sympy(b))
            for a, sign, b in zip(node.parts, node.text.split(), node.parts[1:], strict=False)
        ]
        for node in (gold, response)
    ]
    if len(pairs[0]) != len(pairs[1]):
        return False
    turned = [(_TURNED[sign], b, a) for sign, a, b in reversed(pairs[1])]
    return any(
        all(_same_relation(first, second) for first, second in zip(pairs[0], other, strict=True))
        for other in (pairs[1], turned)
    )


def _same_relation(first: tuple[str, Any, Any], second: tuple[str, Any, Any]) -> bool:
    gaps = [a - b for _, a, b in (first, second)]
    if gaps[0] == gaps[1] and first[0] == second[0]:
        return True
    if not gaps[0].free_symbols or any(gap.has(sympy.oo, -sympy.oo, S.NaN) for gap in gaps):
        return False
    factor = _proportional(*gaps)
    if factor is None:
        return False
    return first[0] == (second[0] if factor.is_positive else _TURNED[second[0]])


def warm_up() -> None:
    """Has sympy's tables built before the clock runs."""
    x = sympy.Symbol("x")
    is_equal((x + 1) ** 2, x**2 + 2 * x + 1, Node("text"), Node("text"), Tolerance())
    _constants(sympy.sqrt(3) / 2, sympy.sqrt(sympy.Rational(3, 4)), Node("text"), Node("text"), Tolerance())
    sympy.simplify(sympy.sin(x) ** 2 + sympy.cos(x) ** 2)
    _ = sympy.Interval(0, 1) - sympy.FiniteSet(0)
