"""Numbers in answers to reasoning-gym: their exact values, and what is a rounding of what. The texts are hostile."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction

MAX_FORMULA = 10_000
"""Characters."""
MAX_NUMBER = 400
"""Characters of one number."""

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
# A number that begins with 0 has no thousands: where a comma is a point, 0,125 is an eighth.
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?", re.ASCII)
_ARITHMETIC = re.compile(r"[0-9+\-*/()\s]*")
_OPERATIONS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def exact_value(text: str) -> Fraction | None:
    """The value of whole numbers under + - * / and brackets; None of anything else."""
    return arithmetic(text) if _ARITHMETIC.fullmatch(text) else None


def number(text: str) -> Fraction | None:
    """The value of one number, its thousands grouped by commas or not; None of anything else."""
    text = text.strip()
    if len(text) > MAX_NUMBER:
        return None
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    return Fraction(Decimal(text)) if _NUMBER.fullmatch(text) else None


def is_rounding(text: str, exact: Fraction, step: Fraction, *, finer: bool = False) -> bool:
    """Return True where a number is `exact`, or `exact` rounded to `step`. With `finer`, it may also be rounded to the
    last place of the text, where that is smaller. Ties go either way."""
    value = number(text)
    if value is None or value == exact:
        return value is not None
    exponent = Decimal(text.replace(",", "")).as_tuple().exponent
    assert isinstance(exponent, int)
    if finer:
        step = min(step, Fraction(10) ** exponent)
    return value % step == 0 and 2 * abs(value - exact) <= step


def last_digit(exact: Fraction, digits: int) -> Fraction:
    """The place value of a number's last significant digit, of `digits`."""
    with localcontext() as context:
        context.prec = 60
        return Fraction(10) ** ((Decimal(exact.numerator) / Decimal(exact.denominator)).adjusted() - digits + 1)


def arithmetic(text: str) -> Fraction | None:
    """The value of numbers under + - * / and brackets; None of anything else. Not for responses, whose exponents may be
    large."""
    if len(text) > MAX_FORMULA:
        return None
    try:
        return _value_of(ast.parse(text.strip(), mode="eval").body)
    except (ValueError, SyntaxError, ArithmeticError, MemoryError, RecursionError):
        # A response may nest deeper than the parser goes.
        return None


def _value_of(node: ast.expr) -> Fraction:
    match node:
        case ast.Constant(value=int() | float() as value):
            return Fraction(str(value))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value_of(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value_of(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            return _OPERATIONS[type(op)](_value_of(left), _value_of(right))
        case _:
            raise ValueError(f"{type(node).__name__} is no arithmetic")
