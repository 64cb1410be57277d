"""The parts of expressions: products, quotients, digits in a base, and which letters are functions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from assay.verifiers.mathematics import notation
from assay.verifiers.mathematics.node import Node, number
from assay.verifiers.mathematics.tokens import Token

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MINUS_ONE = number(-1)


def negative(node: Node) -> Node:
    if node.kind == "number" and node.value is not None:
        return number(-node.value)
    return Node("product", parts=(MINUS_ONE, node))


def quotient(top: Node, bottom: Node) -> Node:
    if top.kind == bottom.kind == "number" and top.value is not None and bottom.value:
        return number(top.value / bottom.value)
    return Node("product", parts=(top, Node("power", parts=(bottom, MINUS_ONE))))


def times(first: Node, second: Node) -> Node:
    parts = first.parts if first.kind == "product" else (first,)
    return Node("product", parts=(*parts, second))


def constant_or_symbol(name: str) -> Node:
    return Node("constant", name) if name in ("e", "i") else Node("symbol", name)


def in_base(digits: str, base: int) -> Fraction | None:
    """The value of digits in a base; None where one of them is none of the base.

    Example:
        >>> in_base("1010", 2), in_base("0.1", 2), in_base("12", 2)
        (Fraction(10, 1), Fraction(1, 2), None)
    """
    whole, _, part = digits.upper().replace(",", "").partition(".")
    if len(whole) + len(part) > 200 or not re.fullmatch("[0-9A-Z]*", whole + part) or not whole + part:
        return None
    value = 0
    for digit in whole + part:
        place = _DIGITS.index(digit)
        if place >= base:
            return None
        value = value * base + place
    return Fraction(value, base ** len(part))


def is_function(name: str, inside: Sequence[Token] | None) -> bool:
    """Return True where the parentheses behind a letter hold its argument, and no factor.

    f(x), f'(2) and f_1(x) always; T(n-1), where a capital stands before other letters or several arguments, since
    N(N-1) is a product; y(x), where a small letter stands before one other letter.
    """
    base = name[0] if len(name) < 3 or name[1] in "_'" else name
    if base in notation.FUNCTION_LETTERS or "'" in name:
        return True
    if inside is None or not inside:
        return False
    if base in notation.GREEK_FUNCTIONS or (len(base) == 1 and base.isupper()):
        return not any(token.kind == "run" and base in token.text for token in inside)
    one = inside[0]
    return len(inside) == 1 and len(base) == 1 and one.kind == "run" and len(one.text) == 1 and one.text != base


def is_matrix(name: str) -> bool:
    """Return True for a name of a matrix where some are transposed: one capital, or its transpose "A^T"."""
    letter = name.removesuffix("^T")
    return len(letter) == 1 and letter.isupper() and letter != "T"


def transposes_inside(node: Node) -> Node:
    """The expression with transposes of single symbols only: (AB)^T is B^T A^T."""
    parts = tuple(transposes_inside(part) for part in node.parts)
    if node.kind == "power" and parts[1] == Node("symbol", "T"):
        return _transposed(parts[0])
    return Node(node.kind, node.text, parts, node.value)


def _transposed(node: Node) -> Node:
    if node.kind in ("number", "numeral"):
        return node
    if node.kind == "symbol":
        return Node("symbol", node.text.removesuffix("^T") if node.text.endswith("^T") else f"{node.text}^T")
    if node.kind in ("sum", "product"):
        parts = tuple(_transposed(part) for part in node.parts)
        return Node(node.kind, parts=parts if node.kind == "sum" else parts[::-1])
    if node.kind == "power" and node.parts[1] == MINUS_ONE:
        return Node("power", parts=(_transposed(node.parts[0]), MINUS_ONE))
    return Node("power", parts=(node, Node("symbol", "T")))
