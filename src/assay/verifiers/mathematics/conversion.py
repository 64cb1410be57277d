"""From the tree of an expression to sympy's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import sympy

from assay.verifiers.mathematics.bounds import num_digits
from assay.verifiers.mathematics.node import Node
from assay.verifiers.mathematics.terms import is_matrix


class UnreadableError(Exception):
    """An expression that cannot be worked out: sympy raises, or it is too large."""


class TooLargeError(UnreadableError):
    """An expression beyond any machine."""


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
            return sympy.Symbol(one.text, commutative=not (ordered and is_matrix(one.text)))
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
    if name in FUNCTIONS and len(parts) == 1:
        return FUNCTIONS[name](parts[0])
    if name in ("max", "min", "gcd", "lcm"):
        return {"max": sympy.Max, "min": sympy.Min, "gcd": sympy.gcd, "lcm": sympy.lcm}[name](*parts)
    if name == "binomial" or (name == "C" and len(parts) == 2):
        return sympy.binomial(*parts)
    if name in ("P", "A") and len(parts) == 2 and all(part.is_Integer for part in parts):
        return sympy.ff(*parts)
    return sympy.Function(name)(*parts)


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
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
