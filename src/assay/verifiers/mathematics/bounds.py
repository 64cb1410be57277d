"""Bounds on how large an expression grows when it is worked out; checked before anybody tries."""

from __future__ import annotations

import math
import re

from assay.verifiers.mathematics.node import MAX_DEPTH, MAX_EXPRESSION, Node, rational

_OPENING, _CLOSING = "([{", ")]}"
_POWER = re.compile(
    r"(?<![\d._])(\d++)\^(?:\{([-+]?\d{1,9}+)\}|\(([-+]?\d{1,9}+)\)|([-+]?\d{1,9}+)(?!\d))(?!\^)(?=(\d)?)"
)
"""An integer to the power of an integer, the innermost of a tower."""
_BRACKETED = re.compile(r"[{(]{2}([-+]?\d++)[)}]{2}")
_LARGE = re.compile(r"\^[{(]*[-+]?\d{4}|(?<!\d)\d{4,}+!|![)\]}]*!|\\uparrow")
_DOUBLE_FACTORIAL = re.compile(r"(?<!\d)(\d{1,3})!!(?!!)")
MAX_DIGITS = 10_000
"""Most digits of all powers of integers in an expression, together."""


def is_bomb(text: str) -> bool:
    """Return True for an expression that grows beyond any machine when it is worked out. These are powers beyond
    `MAX_DIGITS`, exponents of four digits on anything but an integer, factorials of large numbers, and brackets nested
    beyond reading."""
    depth = deepest = 0
    for character in text:
        depth += (character in _OPENING) - (character in _CLOSING)
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        return True
    text = _DOUBLE_FACTORIAL.sub(r"\1!", text.replace(" ", "").replace("**", "^"))
    return _LARGE.search(_powers_worked_out(text)) is not None


def _powers_worked_out(text: str) -> str:
    """The text with powers of integers as the numbers that they are, from the innermost of a tower outwards: large ones
    as some large number, those beyond `MAX_DIGITS` as what `_LARGE` finds."""
    num_digits = 0.0

    def value(power: re.Match[str]) -> str:
        nonlocal num_digits
        # int() refuses texts of more than 4,300 digits.
        base = int(power[1]) if len(power[1]) <= MAX_EXPRESSION else 10**MAX_EXPRESSION
        exponent = abs(int(power[2] or power[3] or power[4]))
        digits = exponent * math.log10(max(base, 1))
        num_digits += digits
        number = "9!!" if num_digits > MAX_DIGITS else "9" * 9 if digits > 9 else str(base**exponent)
        return f"{number}*" if power[5] else number

    while True:
        worked_out = _POWER.sub(value, _BRACKETED.sub(r"{\1}", text))
        if worked_out == text or num_digits > MAX_DIGITS:
            return worked_out
        text = worked_out


def num_digits(node: Node) -> float:
    """The digits of a number, or of the largest coefficient of an expression, as an upper bound; infinite where there
    is none below some 10,000."""
    if node.kind in ("number", "numeral"):
        assert node.value is not None
        return math.log10(max(abs(node.value.numerator), node.value.denominator))
    inside = [num_digits(part) for part in node.parts]
    if any(math.isinf(one) for one in inside):
        return math.inf
    if node.kind == "power":
        exponent = rational(node.parts[1])
        if exponent is None:
            # A symbol or a root in the exponent is not worked out; what stands in it may be.
            return max(inside)
        if abs(exponent) > 999 and rational(node.parts[0]) is None:
            return math.inf
        return _bounded(inside[0] * max(1.0, float(abs(exponent)) if abs(exponent) < 10**6 else math.inf))
    if node.kind == "call" and node.text in ("factorial", "double factorial", "binomial"):
        most = inside[0]
        return math.inf if most > 4 else _bounded(math.lgamma(10**most + 1) / math.log(10))
    return _bounded(sum(inside)) if inside else 1.0


def _bounded(digits: float) -> float:
    return digits if digits <= MAX_DIGITS else math.inf
