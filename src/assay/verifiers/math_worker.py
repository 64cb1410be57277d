"""Compares answers that are more than numbers, inside a worker process (see `pool`)."""

from __future__ import annotations

import logging
import re
from typing import Any, Literal

from assay.verifiers.mathematics import algebra, conversion, notation
from assay.verifiers.mathematics.comparison import AnswerComparer, Tolerance
from assay.verifiers.mathematics.node import Comparison, Node
from assay.verifiers.mathematics.reader import read_answer
from assay.verifiers.mathematics.tokens import spelled, tokenize

ROUNDING_DIGITS = 15
"""Decimals to which math-verify compares a float: as many as it has, so that 0.333333 is not 1/3."""
_COMMAND = re.compile(r"\\[a-zA-Z]+")
_COMMAND_OR_CAPITAL = re.compile(r"\\[a-zA-Z]+|[A-Z]")
MAX_PARSED = 4096
"""Expressions kept parsed: gold answers come again and again."""


class _UnreadableError(Exception):
    """A response that its reader, or sympy, fails on."""


def judge(
    gold: str, response: str, relative_tolerance: float = 0.0, decimals: int | None = None
) -> Literal["same", "different", "unreadable", "limit"]:
    """Compare two answers and say whether they are the same.

    Raises:
        Exception: the gold answer cannot be compared even with itself.
    """
    tolerance = Tolerance(relative_tolerance, decimals)
    mine, theirs = read_answer(gold), read_answer(response)
    problem: Literal["unreadable", "limit"] | None = None

    def by_algebra(one: Node, other: Node) -> Comparison:
        nonlocal problem
        if "text" in (one.kind, other.kind):
            return "different"
        try:
            return algebra.compare(one, other, tolerance)
        except conversion.TooLargeError:
            problem = "limit"
        except conversion.UnreadableError:
            problem = "unreadable"
        return "different"

    try:
        verdict = AnswerComparer(by_algebra, tolerance).same(mine, theirs)
        if verdict == "same":
            return "same"
        if any(sign in text for sign in notation.HEAVY for text in (gold, response)):
            heavy = (spelled(tokenize(text)) for text in (gold, response))
            return "same" if _by_math_verify(*heavy) == "same" else "different"
    except _UnreadableError:
        return "unreadable"
    return problem or "different"


def warm_up() -> None:
    """Has everything imported and its tables built before the clock runs."""
    logging.disable(logging.CRITICAL)
    algebra.warm_up()
    _compare("\\sum_{n=1}^{3} n", "6")


def _by_math_verify(gold: str, response: str) -> Comparison:
    """Two expressions with sums, integrals and limits, which the grammar does not have."""
    try:
        return _compare(gold, response)
    except (MemoryError, RecursionError):
        raise
    except Exception:
        _compare(gold, gold)
    raise _UnreadableError


def _compare(gold: str, response: str) -> Comparison:
    from math_verify import verify

    if gold != response and any(denied in gold + response for denied in ("'", "\\circ")):
        # math-verify would drop primes and degrees.
        return "different"
    gold, response = _cases_apart(gold, response)
    first, second = _parse(gold), _parse(response)
    if not first or not second:
        return "different"
    equal = verify(first, second, float_rounding=ROUNDING_DIGITS, timeout_seconds=None)
    return "same" if equal and _agree(first[0], second[0]) else "different"


def _cases_apart(*expressions: str) -> list[str]:
    """The same expressions with capitals that math-verify would take for their small letters under other names."""
    letters = {letter for expression in expressions for letter in _COMMAND.sub("", expression) if letter.isalpha()}
    both = {letter for letter in letters if letter.isupper() and letter.lower() in letters}
    if not both or any("_" in expression for expression in expressions):
        return list(expressions)
    return [
        _COMMAND_OR_CAPITAL.sub(
            lambda match: f"{match.group()}_{{0}}" if match.group() in both else match.group(), expression
        )
        for expression in expressions
    ]


def _agree(first: Any, second: Any) -> bool:
    """Return True where two constants are the same to 40 digits. math-verify drops what is below 2e-15 and rounds
    decimals."""
    from sympy import Expr

    constants = [value for value in (first, second) if isinstance(value, Expr) and not value.free_symbols]
    if len(constants) < 2:
        return True
    a, b = (_exact(value).evalf(60) for value in constants)
    if not (a.is_number and b.is_number):
        return True
    if a.is_infinite or b.is_infinite:
        return bool(a == b)
    difference, size = abs(a - b), max(abs(a), abs(b))
    return bool(difference <= size * 10**-40)


def _exact(value: Any) -> Any:
    """Decimals as the fractions that they are."""
    from sympy import Float, Rational

    return value.xreplace({number: Rational(str(number)) for number in value.atoms(Float)})


_parsed: dict[str, list[Any]] = {}


def _parse(expression: str) -> list[Any]:
    """Return what math-verify reads in an expression. What it could not read is tried again the next time."""
    if expression not in _parsed:
        from latex2sympy2_extended import NormalizationConfig
        from math_verify import LatexExtractionConfig, parse

        if expression.count("{") != expression.count("}") or "\\boxed" in expression or "\\fbox" in expression:
            # math-verify would look for another box.
            return []
        found = parse(
            f"\\boxed{{{expression}}}",
            extraction_config=[
                LatexExtractionConfig(
                    boxed_match_priority=0,
                    # Its units are letters too: to it 42t is 42.
                    normalization_config=NormalizationConfig(units=False, malformed_operators=True, nits=True),
                )
            ],
            fallback_mode="no_fallback",
            extraction_mode="first_match",
            parsing_timeout=None,  # pyright: ignore[reportArgumentType]
        )
        if not found:
            return []
        if len(_parsed) >= MAX_PARSED:
            _parsed.clear()
        _parsed[expression] = found
    return _parsed[expression]
