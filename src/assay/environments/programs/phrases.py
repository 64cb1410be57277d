"""Tests, maps and expressions in English and in Python: the words that specifications are made of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from assay.environments.programs.function import Phrase


def number_test(rng: Random, x: str = "x", *, compound: float = 0.2) -> Phrase:
    """A condition on an integer; its words follow "it": "is even".

    Args:
        compound: how often two are joined.
    """
    if rng.random() < compound:
        first, second = number_test(rng, "x", compound=0), number_test(rng, "x", compound=0)
        joint = rng.choice(("and", "or"))
        code = f"{first.code} {joint} {second.code}"
        if _says_more(code, first.code, second.code):
            return Phrase(f"{first.words} {joint} {second.words}", re.sub(r"\bx\b", x, code))
        return Phrase(first.words, re.sub(r"\bx\b", x, first.code))
    divisor, low, size = rng.randint(2, 9), rng.randint(-10, 12), rng.randint(1, 15)
    remainder, high = rng.randrange(1, divisor), low + rng.randint(2, 20)
    return rng.choice(
        (
            Phrase("is even", f"{x} % 2 == 0"),
            Phrase("is odd", f"{x} % 2 == 1"),
            Phrase("is positive", f"{x} > 0"),
            Phrase("is negative", f"{x} < 0"),
            Phrase(f"is divisible by {divisor}", f"{x} % {divisor} == 0"),
            Phrase(f"is not divisible by {divisor}", f"{x} % {divisor} != 0"),
            Phrase(f"is greater than {low}", f"{x} > {low}"),
            Phrase(f"is less than {high}", f"{x} < {high}"),
            Phrase(f"is at least {low}", f"{x} >= {low}"),
            Phrase(f"is at most {high}", f"{x} <= {high}"),
            Phrase(f"is from {low} to {high} (both included)", f"{low} <= {x} <= {high}"),
            Phrase(f"has remainder {remainder} modulo {divisor}", f"{x} % {divisor} == {remainder}"),
            Phrase(f"has an absolute value greater than {size}", f"abs({x}) > {size}"),
            Phrase(f"has an absolute value of at most {size}", f"abs({x}) <= {size}"),
        )
    )


def _says_more(joined: str, first: str, second: str) -> bool:
    """Return True where two joined tests differ from each of the two and are neither always true nor always false."""
    whole, left, right = (eval(f"[bool({code}) for x in range(-50, 51)]", {}) for code in (joined, first, second))
    return whole not in (left, right) and any(whole) and not all(whole)


def count_test(rng: Random, x: str, low: int = 1, high: int = 4) -> Phrase:
    """A condition on a small count."""
    k = rng.randint(low, high)
    return rng.choice(
        (
            Phrase(f"is at least {k}", f"{x} >= {k}"),
            Phrase(f"is at most {k}", f"{x} <= {k}"),
            Phrase(f"is exactly {k}", f"{x} == {k}"),
            Phrase(f"is not {k}", f"{x} != {k}"),
            Phrase("is odd", f"{x} % 2 == 1"),
            Phrase("is even", f"{x} % 2 == 0"),
        )
    )


def number_map(rng: Random, x: str = "x", *, square: bool = True) -> str:
    """A formula in one integer, as code; never the integer itself."""
    k, m, c = rng.randint(2, 9), rng.randint(2, 5), rng.randint(1, 20)
    formulas = [
        f"{k} * {x}",
        f"{x} + {c}",
        f"{x} - {c}",
        f"{c} - {x}",
        f"abs({x})",
        f"{x} // {k}",
        f"{x} % {k}",
        f"abs({x} - {c})",
        f"{k} * {x} + {c}",
        f"{k} * {x} - {c}",
        f"({x} + {c}) % {k}",
        f"{m} * ({x} - {c})",
        f"min({x}, {c})",
        f"max({x}, {c})",
    ]
    if square:
        formulas += [f"{x} * {x}", f"{x} * {x} - {c}", f"{x} * ({x} + {k})"]
    return rng.choice(formulas)


def maybe_map(rng: Random, x: str = "x", chance: float = 0.6, *, square: bool = True) -> str:
    return number_map(rng, x, square=square) if rng.random() < chance else x


def expression(rng: Random, leaves: Sequence[str], constants: int = 1, largest: int = 12) -> str:
    """An arithmetic expression with each leaf once and some constants, parentheses only where needed."""
    terms: list[tuple[str, int]] = [(leaf, 3) for leaf in leaves]
    terms += [(str(rng.randint(2, largest)), 4) for _ in range(constants)]
    rng.shuffle(terms)
    while len(terms) > 1:
        index = rng.randrange(len(terms) - 1)
        left, right = terms[index], terms[index + 1]
        if left[1] == right[1] == 4:
            # Two constants meet elsewhere, or not at all.
            if all(strength == 4 for _, strength in terms):
                terms = terms[:1]
            else:
                rng.shuffle(terms)
            continue
        terms[index : index + 2] = [_joined(rng, left, right)]
    return terms[0][0]


def _joined(rng: Random, left: tuple[str, int], right: tuple[str, int]) -> tuple[str, int]:
    """(text, strength): 1 a sum, 2 a product, 3 a name or call, 4 a constant."""
    operators = ["+", "-", "*", "+", "-"]
    if right[1] == 4:
        operators += ["//", "%"]
    operator = rng.choice(operators)
    strength = 1 if operator in "+-" else 2
    first = f"({left[0]})" if left[1] < strength else left[0]
    tight = right[1] <= strength if operator != "+" else False
    if operator == "*":
        tight = right[1] < strength or "//" in right[0] or "%" in right[0]
    second = f"({right[0]})" if tight else right[0]
    return f"{first} {operator} {second}", strength


def in_words(rng: Random, formula: str) -> str:
    """A formula of two operands in words; any other as it is."""
    parts = formula.split(" ")
    if len(parts) != 3 or "(" in formula:
        return f"`{formula}`"
    left, operator, right = parts
    words = {
        "+": (f"the sum of {left} and {right}", f"{left} plus {right}"),
        "-": (f"{left} minus {right}", f"the difference {left} - {right}"),
        "*": (f"the product of {left} and {right}", f"{left} times {right}"),
        "//": (f"{left} divided by {right}, rounded down",),
        "%": (f"{left} modulo {right}",),
    }[operator]
    return rng.choice((*words, f"`{formula}`"))


def comparison(rng: Random, names: Sequence[str]) -> Phrase:
    """A whole condition on integers by name: "a is greater than b"."""
    x = rng.choice(names)
    others = [name for name in names if name != x]
    roll = rng.random()
    if others and roll < 0.4:
        y = rng.choice(others)
        return rng.choice(
            (
                Phrase(f"{x} is greater than {y}", f"{x} > {y}"),
                Phrase(f"{x} is less than {y}", f"{x} < {y}"),
                Phrase(f"{x} is at least {y}", f"{x} >= {y}"),
                Phrase(f"{x} is equal to {y}", f"{x} == {y}"),
                Phrase(f"{x} and {y} are different", f"{x} != {y}"),
            )
        )
    if others and roll < 0.6:
        y = rng.choice(others)
        text = rng.choice((f"{x} + {y}", f"{x} - {y}"))
        test = number_test(rng, f"({text})", compound=0)
        return Phrase(f"{text} {test.words}", test.code if "%" in test.code else test.code.replace(f"({text})", text))
    test = number_test(rng, x, compound=0)
    return Phrase(f"{x} {test.words}", test.code)


def condition(rng: Random, names: Sequence[str], compound: float = 0.3) -> Phrase:
    """One comparison, or two joined."""
    first = comparison(rng, names)
    if rng.random() >= compound:
        return first
    second = comparison(rng, names)
    if second.code == first.code:
        return first
    joint = rng.choice(("and", "or"))
    return Phrase(f"{first.words} {joint} {second.words}", f"{first.code} {joint} {second.code}")
