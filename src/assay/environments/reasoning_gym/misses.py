"""Near misses of an answer: what a scorer that is not exact may take for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, localcontext
from fractions import Fraction

from assay.environments.reasoning_gym.numbers import number

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)
_MAX_LINES, _MAX_NUMBERS = 40, 12
GUESSES = ("0", "1", "-1", "0.0", "nan", "inf", "No", "Yes", "True", "False", "[]", "{}", "none", "A", "7, 7")
"""Responses that some tasks are solved by, and no family."""


def near_misses(question: str, gold: str) -> list[tuple[str, str]]:
    """(kind, response) of wrong answers near a gold answer, or near the question where there is none.

    What is the gold answer written in another way is left out: the same words, or the same numbers in the same words.
    """
    seen = {_meaning(gold), _meaning("")}
    found = []
    for kind, response in _candidates(question, gold.strip()):
        meaning = _meaning(response)
        if meaning not in seen:
            seen.add(meaning)
            found.append((kind, response))
    return found


def _meaning(text: str) -> tuple[Fraction | str | None, ...]:
    """The text with its numbers as values, to 13 digits beside a point, less case, white space and a full stop."""
    text = " ".join(text.lower().replace("°", "").split()).removesuffix(".")
    parts: list[Fraction | str | None] = []
    end = 0
    for match in _NUMBER.finditer(text):
        parts += [text[end : match.start()].strip(), _value(match[0])]
        end = match.end()
    return (*parts, text[end:].strip())


def _value(shown: str) -> Fraction | None:
    # Gold answers that were floats have the noise of floats.
    return number(f"{Decimal(shown):.13g}" if "." in shown else shown)


def _candidates(question: str, gold: str) -> Iterator[tuple[str, str]]:
    if gold:
        yield from _cut_short(gold)
        yield from _with_more(gold)
        yield from _other_numbers(gold)
    for shown in list(dict.fromkeys(_NUMBER.findall(question)))[:_MAX_NUMBERS]:
        yield "a number of the prompt", shown
    for line in question.splitlines()[:_MAX_LINES]:
        yield "a line of the prompt", line.strip()
        yield "a line of the prompt", re.sub(r"^\W*\d+[.:)]\s*", "", line.strip().rstrip(".?"))
    yield "the prompt", question
    for guess in GUESSES:
        yield "a guess", guess


def _cut_short(gold: str) -> Iterator[tuple[str, str]]:
    yield "its first word", gold.split()[0]
    for length in {1, len(gold) // 4, len(gold) // 2, len(gold) - 1}:
        yield "a prefix", gold[:length]
    yield "a prefix", " ".join(gold.split()[:-1])
    yield "its last word", gold.split()[-1]


def _with_more(gold: str) -> Iterator[tuple[str, str]]:
    for more in (" or not", ", or not", " 7", ", 7", "\n7", "\nor not", "7", ".5", " + 7", " weeks", ":07"):
        yield "the answer and more", gold + more
    for before in ("not ", "7 ", "7, ", "It is not ", "0 or "):
        yield "more and the answer", before + gold


def _other_numbers(gold: str) -> Iterator[tuple[str, str]]:
    """The sign turned, 1 % more, another last digit, and decimals cut off: of the first, the last, or every number."""
    numbers = list(_NUMBER.finditer(gold))
    for match in numbers[:1] + numbers[1:][-1:]:
        before, shown, after = gold[: match.start()], match[0], gold[match.end() :]
        value = Decimal(shown)
        unit = Decimal(1).scaleb(-len(shown.partition(".")[2]))
        yield "the sign turned", f"{before}{-value}{after}"
        yield "1 % off", f"{before}{_near(value, value * Decimal('1.01'), unit)}{after}"
        yield "1 % off", f"{before}{_near(value, value * Decimal('0.99'), -unit)}{after}"
        # By two, since an exact value in the middle rounds either way.
        yield "another last digit", f"{before}{_sum(value, 2 * unit)}{after}"
        yield "another last digit", f"{before}{_sum(value, -2 * unit)}{after}"
        if unit < Decimal("0.005"):
            yield "0.005 off", f"{before}{_sum(value, Decimal('0.005'))}{after}"
    yield "commas between the digits", re.sub(r"(?<=\d)(?=\d)", ",", gold)
    yield "decimals cut off", re.sub(r"(?<=\d)\.\d+", "", gold)
    yield "no signs", re.sub(r"-(?=\d)", "", gold)


def _sum(value: Decimal, change: Decimal) -> Decimal:
    """The sum with all of its digits: 28 are what a decimal keeps otherwise, and a product may have more."""
    with localcontext(prec=1000):
        return value + change


def _near(value: Decimal, moved: Decimal, unit: Decimal) -> Decimal:
    """Moved, with as many places as the value has; by one unit of its last place where that is the same again."""
    with localcontext(prec=1000):
        moved = moved.quantize(abs(unit))
        return moved if moved != value else value + unit
