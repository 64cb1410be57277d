"""The tree that an answer is read into."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Comparison = Literal["same", "different", "unknown"]

MAX_EXPRESSION = 2_000
"""Characters of an expression that is compared as more than text."""
MAX_PARTS = 64
"""Members of a list, set, tuple or matrix row that are compared."""
MAX_DEPTH = 40
"""Nested brackets of an expression."""


@dataclass(frozen=True)
class Node:
    """A part of an answer.

    Expressions: number, numeral (a number in a base), symbol, constant, sum, product, power, call, matrix.
    Answers: words, list, set, tuple, interval, union, difference, builder, matrix, row, equation, relation, and, or,
    member, point, quantity, ratio, clock, and text, which is what the grammar does not read.
    """

    kind: str
    text: str = ""
    """The name of a symbol, constant or call; the signs of a relation; the brackets of an interval; the variable of an
    equation or member, the names of a point; the unit of a quantity in its canonical form."""
    parts: tuple[Node, ...] = ()
    value: Fraction | None = None
    """The value of a number, and of a numeral in its base."""


def number(value: Fraction | int) -> Node:
    return Node("number", value=Fraction(value))


def walk(node: Node) -> list[Node]:
    """The node and all that is in it."""
    found, waiting = [], [node]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting.extend(one.parts)
    return found


def symbols(node: Node) -> set[str]:
    """The names of the symbols in an expression."""
    return {one.text for one in walk(node) if one.kind == "symbol"}


MAX_DIGITS = 2_000
"""Digits of a fraction that is worked out without a worker."""


def rational(node: Node) -> Fraction | None:
    """The value of an expression of rational numbers; None for any other, and for one that is large."""
    if node.kind in ("number", "numeral"):
        return node.value
    if node.kind not in ("sum", "product", "power"):
        return None
    values = [rational(part) for part in node.parts]
    if any(value is None or _size(value) > MAX_DIGITS for value in values):
        return None
    known = [value for value in values if value is not None]
    if node.kind == "power":
        return _power(*known)
    total = known[0]
    for value in known[1:]:
        total = total + value if node.kind == "sum" else total * value
        if _size(total) > MAX_DIGITS:
            return None
    return total


def _power(base: Fraction, exponent: Fraction) -> Fraction | None:
    if exponent.denominator != 1 or (base == 0 and exponent <= 0):
        return None
    if abs(exponent) > MAX_DIGITS or _size(base) * abs(exponent) > MAX_DIGITS:
        return None
    return base ** int(exponent)


def _size(value: Fraction) -> float:
    """The digits of a fraction, roughly."""
    return (value.numerator.bit_length() + value.denominator.bit_length()) * 0.302
