"""Compares what needs algebra: expressions, equations and sets, by sympy. Runs in a worker process (see `pool`)."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import sympy
from sympy import S

from assay.verifiers.mathematics.bounds import num_digits
from assay.verifiers.mathematics.comparison import SETS, Tolerance
from assay.verifiers.mathematics.node import Comparison, Node, symbols, walk

DIGITS = 60
"""Digits to which two constants are worked out first, and of which `AGREEING` must be the same."""
AGREEING = 40
MANY_DIGITS = 1_000
"""Digits that settle what sympy cannot prove, where no number in the expressions is longer than `SHORT`."""
SHORT = 12
POINTS = 3
"""Places at which two expressions with symbols are compared before sympy is asked to prove them equal."""


class UnreadableError(Exception):
    """An expression that cannot be worked out: sympy raises, or it is too large."""


class TooLargeError(UnreadableError):
    """An expression beyond any machine."""


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


# From the tree to sympy


def to_sympy(node: Node, log_base: Any = sympy.E, ordered: bool = False) -> Any:
    """The expression as sympy has it."""
    digits = num_digits(node)
    if math.isinf(digits):
        raise TooLargeError(node.kind)

    def convert(one: Node) -> Any:
        parts = [convert(part) for part in one.parts]
        if one.kind in ("number", "numeral"):
            assert one.value is not None
            return sympy.Rational(one.value.numerator, one.value.denominator)
        if one.kind == "symbol":
            is_matrix = ordered and len(one.text) == 1 and one.text.isupper() and one.text != "T"
            return sympy.Symbol(one.text, commutative=not is_matrix)
        if one.kind == "constant":
            return _CONSTANTS[one.text]
        if one.kind == "sum":
            return _added(parts)
        if one.kind == "product":
            product = parts[0]
            for part in parts[1:]:
                product = product * part
            return product
        if one.kind == "power":
            return _raised(parts[0], parts[1])
        if one.kind == "call":
            return _called(one.text, parts, log_base)
        if one.kind == "row":
            return parts
        if one.kind == "matrix":
            if len({len(row) for row in parts}) != 1 or len(parts) * len(parts[0]) > 100:
                raise UnreadableError("matrix")
            matrix = sympy.ImmutableMatrix(parts)
            return matrix.det() if one.text == "determinant" else matrix
        raise UnreadableError(one.kind)

    try:
        return convert(node)
    except UnreadableError:
        raise
    except (ValueError, TypeError, ZeroDivisionError, AttributeError, NotImplementedError, OverflowError) as error:
        raise UnreadableError(str(error)) from None


_CONSTANTS = {"pi": sympy.pi, "e": sympy.E, "i": sympy.I, "infinity": sympy.oo}


def _added(parts: list[Any]) -> Any:
    total = parts[0]
    for part in parts[1:]:
        if isinstance(total, sympy.MatrixBase) != isinstance(part, sympy.MatrixBase):
            raise UnreadableError("a matrix and a number")
        total = total + part
    return total


def _raised(base: Any, exponent: Any) -> Any:
    if isinstance(base, sympy.MatrixBase):
        if exponent == sympy.Symbol("T"):
            return base.T
        if exponent.is_Integer and abs(int(exponent)) <= 20:
            return base**exponent
        raise UnreadableError("power of a matrix")
    return base**exponent


def _called(name: str, parts: list[Any], log_base: Any) -> Any:
    if name == "log":
        return sympy.log(parts[0]) / sympy.log(parts[1] if len(parts) > 1 else log_base)
    if name in _FUNCTIONS and len(parts) == 1:
        return _FUNCTIONS[name](parts[0])
    if name in ("max", "min", "gcd", "lcm"):
        return {"max": sympy.Max, "min": sympy.Min, "gcd": sympy.gcd, "lcm": sympy.lcm}[name](*parts)
    if name == "binomial" or (name == "C" and len(parts) == 2):
        return sympy.binomial(*parts)
    if name in ("P", "A") and len(parts) == 2 and all(part.is_Integer for part in parts):
        return sympy.ff(*parts)
    return sympy.Function(name)(*parts)


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    **{
        name: getattr(sympy, name) for name in ("sin", "cos", "tan", "cot", "sec", "csc", "exp", "sinh", "cosh", "tanh")
    },
    **{name: getattr(sympy, name) for name in ("coth", "sech", "csch")},
    **{f"arc{name}": getattr(sympy, f"a{name}") for name in ("sin", "cos", "tan", "cot", "sec", "csc")},
    **{f"arc{name}": getattr(sympy, f"a{name}") for name in ("sinh", "cosh", "tanh")},
    "ln": sympy.log,
    "lg": lambda x: sympy.log(x) / sympy.log(10),
    "cis": lambda x: sympy.exp(sympy.I * x),
    "abs": sympy.Abs,
    "floor": sympy.floor,
    "ceil": sympy.ceiling,
    "factorial": sympy.factorial,
    "double factorial": sympy.factorial2,
    "degrees": lambda x: x * sympy.pi / 180,
    "Gamma": sympy.gamma,
}


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
    return bool(sympy.simplify(gap) == 0 or sympy.simplify(sympy.expand_trig(sympy.expand_log(gap))) == 0)


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
            calls = {part.text for part in node.parts if part.kind == "call" and part.text not in _FUNCTIONS}
            names = calls or names
        return next(iter(names)) if len(names) == 1 else ",".join(sorted(names)) or None
    return None


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
        raise UnreadableError("not linear")
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
