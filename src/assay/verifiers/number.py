"""Numbers in text, as exact fractions. Linear in the length of the text, and no number is built beyond the bounds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

MAX_EXPONENT = 1_000
"""Largest power of ten, either way, that scientific notation may name. Digits written out have no such limit."""

# Possessive quantifiers (++, *+, ?+) never give back what they matched, so no input makes these patterns slow.
_TOKEN = re.compile(
    r"""
    (?P<number>
        \\[dt]?frac [ ]?+ \{ (?P<frac_top>-?+\d++) \} [ ]?+ \{ (?P<frac_bottom>\d++) \}
      | 10 [ ]?+ \^ [ ]?+ (?: \{ (?P<braced_power>[+-]?+\d++) \} | (?P<bare_power>[+-]?+\d++) )
      | (?: (?P<whole>\d++) [ ] )? (?P<top>\d++) [ ]?+ / [ ]?+ (?P<bottom>\d++) (?! [.,]?\d )
      | (?P<digits> (?: \d | \.(?=\d) ) (?: \d | (?: [.,] | \{,\} | \\[,!;:] )(?=\d) )*+ )
        (?: [eE] (?P<exponent>[+-]?+\d++)
          | [ ]?+ (?: [×*] | \\times | \\cdot ) [ ]?+ 10 [ ]?+ \^ [ ]?+
            (?: \{ (?P<braced_scale>[+-]?+\d++) \} | (?P<bare_scale>[+-]?+\d++) )
        )?+
    )
  | (?P<operator> \*\* | [-+*/^×÷·±:] | \\ (?: times | cdot | div | pm ) (?! [a-zA-Z] ) )
  | (?P<word> \\?+ [A-Za-z_\u00c0-\u1fff] [0-9A-Za-z_\u00c0-\u1fff]*+ )
  | (?P<currency> \\?+ [$€£¥] )
  | (?P<opening> [({] )
  | (?P<closing> \) )
  | (?P<other> \S )
    """,
    re.VERBOSE,
)
_PLAIN = re.compile(r"(?:[1-9]\d{0,2}(?:(?:,|\{,\}|\\[,!;:])\d{3})++|\d++)?+(?:\.\d++)?+")
_SEPARATOR = re.compile(r",|\{,\}|\\[,!;:]")
# What a longer text could have gone on from, to more of the same number.
_UNFINISHED = re.compile(r"[.,/^*eE{\\]?|\{,|\\[,!;:]|\{,\}")


@dataclass(frozen=True)
class Number:
    """One number as it stands in a text."""

    start: int
    """Place in the text at which the number starts, its sign included."""
    end: int
    value: Fraction | None
    """None where it cannot be read: out of bounds, divided by zero, or glued to something that changes its meaning."""
    is_operand: bool = False
    """Right-hand side of an operator, as 45 in "37 + 45": part of an expression that nobody worked out."""


def find_numbers(text: str) -> list[Number]:
    """Every number of a normalised text, in order.

    Read are integers of any length; decimals; 1,234,567 and 1{,}234{,}567 and 1\\,234\\,567; a/b, "a b/c" and
    \\frac{a}{b}; 1.5e3, 1.5 * 10^3 and 10^3. A sign counts where it touches the number and no other number stands
    before it: "10-12" holds 10 and 12, and the dash of a list is no minus. Currency signs before and units or a percent
    sign after are read over: 50% is 50. Digits inside a word (x2, H2O) are no numbers. What is written like a number
    and is none that we can vouch for (1.2.3, 12,34, 2^5, 0x2A, 1/0) has no value.
    """
    tokens = list(_TOKEN.finditer(text))
    return [_number(tokens, index) for index, token in enumerate(tokens) if token.lastgroup == "number"]


def parse_number(text: str) -> Fraction | None:
    """The value of a normalised text that is one number and nothing else; None for any other text."""
    text = text.strip()
    found = (token for token in _TOKEN.finditer(text) if token.lastgroup == "number")
    if next(found, None) is None or next(found, None) is not None:
        return None
    numbers = find_numbers(text)
    if len(numbers) == 1 and (numbers[0].start, numbers[0].end) == (0, len(text)):
        return numbers[0].value
    return None


def may_go_on(text: str, number: Number) -> bool:
    """Return True where a longer text could have gone on with more of the same number: "8" of "82", "1," of "1,234"."""
    return _UNFINISHED.fullmatch(text, number.end) is not None


def _number(tokens: Sequence[re.Match[str]], index: int) -> Number:
    """The number at a token, judged by what stands around it."""
    leftmost = index
    if _touching(tokens, index - 1) and tokens[index - 1].lastgroup == "currency":
        leftmost -= 1
    sign = _sign(tokens, leftmost)
    if sign:
        leftmost -= 1
    governor = leftmost - 1
    while governor >= 0 and tokens[governor].lastgroup == "opening":
        governor -= 1
    readable = not _spoilt_before(tokens, index, leftmost, governor, sign) and not _spoilt_after(tokens, index)
    value = _value(tokens[index]) if readable else None
    return Number(
        start=tokens[leftmost].start(),
        end=tokens[index].end(),
        value=-value if sign == "-" and value is not None else value,
        is_operand=_is_binary(tokens, governor),
    )


def _sign(tokens: Sequence[re.Match[str]], leftmost: int) -> str:
    """The + or - that belongs to the number; empty for none, for a minus between numbers and for a hyphen in a word."""
    sign = leftmost - 1
    if not _touching(tokens, sign) or tokens[sign].group() not in ("+", "-") or _is_binary(tokens, sign):
        return ""
    if _touching(tokens, sign - 1) and tokens[sign - 1].group()[0].isalpha():
        return ""
    return tokens[sign].group()


def _is_binary(tokens: Sequence[re.Match[str]], index: int) -> bool:
    """Return True where the token is an operator with a value before it.

    Spaces on both sides or on neither: in "37 -45" the minus is a sign, in "37 **82**" the stars are emphasis.
    """
    if index < 1 or tokens[index - 1].lastgroup not in ("number", "closing"):
        return False
    token = tokens[index]
    if token.lastgroup != "operator" and token.group() not in ("x", "X"):
        return False
    return _touching(tokens, index - 1) == _touching(tokens, index)


def _spoilt_before(tokens: Sequence[re.Match[str]], index: int, leftmost: int, governor: int, sign: str) -> bool:
    """Return True where what stands before gives the digits another meaning: an exponent, a subscript, a double
    sign."""
    if _touching(tokens, index - 1) and tokens[index - 1].lastgroup == "number":
        return True
    if governor < 0:
        return False
    before = tokens[governor].group()
    if before in ("^", "±", "\\pm") or before.endswith("_"):
        return True
    return bool(sign) and before in ("+", "-") and governor == leftmost - 1 and _touching(tokens, governor)


def _spoilt_after(tokens: Sequence[re.Match[str]], index: int) -> bool:
    """Return True where what stands after gives the digits another meaning: a power, a date, a hexadecimal."""
    if index + 1 == len(tokens):
        return False
    following = tokens[index + 1]
    if following.group() == "^":
        return True
    if not _touching(tokens, index):
        return False
    if following.lastgroup == "word":
        based = tokens[index].group() == "0" and following.group()[0] in "xXbBoO"
        return based or any(map(str.isdigit, following.group()))
    if following.group() == "/":
        return index + 2 < len(tokens) and tokens[index + 2].lastgroup == "number"
    return following.lastgroup == "number"


def _touching(tokens: Sequence[re.Match[str]], index: int) -> bool:
    """Return True where no space lies between this token and the next."""
    return 0 <= index < len(tokens) - 1 and tokens[index].end() == tokens[index + 1].start()


def _value(token: re.Match[str]) -> Fraction | None:
    part = token.groupdict()
    if part["frac_top"]:
        return _ratio(part["frac_top"], part["frac_bottom"])
    if part["top"]:
        ratio = _ratio(part["top"], part["bottom"])
        return ratio if ratio is None or part["whole"] is None else _integer(part["whole"]) + ratio
    power = part["braced_power"] or part["bare_power"]
    if power:
        return _power_of_ten(power)
    if not _PLAIN.fullmatch(part["digits"]):
        return None
    # Decimal, not int: it is exact and has no limit of 4,300 digits.
    value = Fraction(Decimal(_SEPARATOR.sub("", part["digits"])))
    scale = part["exponent"] or part["braced_scale"] or part["bare_scale"]
    if not scale:
        return value
    factor = _power_of_ten(scale)
    return None if factor is None else value * factor


def _ratio(top: str, bottom: str) -> Fraction | None:
    denominator = _integer(bottom)
    return Fraction(_integer(top), denominator) if denominator else None


def _integer(digits: str) -> int:
    return int(Decimal(digits))


def _power_of_ten(exponent: str) -> Fraction | None:
    # The length first: int() itself refuses very long texts.
    if len(exponent) > len(f"-{MAX_EXPONENT}") or abs(int(exponent)) > MAX_EXPONENT:
        return None
    return Fraction(10) ** int(exponent)
