"""Measures: amounts in many units, added up exactly."""

from __future__ import annotations

import random
import re
from fractions import Fraction
from typing import Any

from assay.environments.units.topic import Form, Topic

METRIC, CUSTOMARY = "metric", "customary"
UNITS: dict[str, dict[str, tuple[str, Fraction]]] = {
    "length": {
        "mm": (METRIC, Fraction(1, 1000)),
        "cm": (METRIC, Fraction(1, 100)),
        "m": (METRIC, Fraction(1)),
        "km": (METRIC, Fraction(1000)),
        "inches": (CUSTOMARY, Fraction(254, 10000)),
        "feet": (CUSTOMARY, Fraction(3048, 10000)),
        "yards": (CUSTOMARY, Fraction(9144, 10000)),
        "miles": (CUSTOMARY, Fraction(1609344, 1000)),
    },
    "mass": {
        "g": (METRIC, Fraction(1, 1000)),
        "kg": (METRIC, Fraction(1)),
        "tonnes": (METRIC, Fraction(1000)),
        "ounces": (CUSTOMARY, Fraction(45359237, 16 * 10**8)),
        "pounds": (CUSTOMARY, Fraction(45359237, 10**8)),
    },
    "volume": {
        "ml": (METRIC, Fraction(1, 1000)),
        "cl": (METRIC, Fraction(1, 100)),
        "litres": (METRIC, Fraction(1)),
        "US pints": (CUSTOMARY, Fraction(3785411784, 8 * 10**9)),
        "US quarts": (CUSTOMARY, Fraction(3785411784, 4 * 10**9)),
        "US gallons": (CUSTOMARY, Fraction(3785411784, 10**9)),
    },
}
"""Quantity to unit to (system, size in the SI unit or the litre). Exact by definition: the yard is 0.9144 m and the
pound 0.45359237 kg (international agreement of 1959), the US gallon 231 cubic inches."""
SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600}
BRIDGES = {"length": ("inches", "cm"), "mass": ("pounds", "g"), "volume": ("US gallons", "litres")}
"""The definition that joins the two systems; prompts that need it state it."""
MAX_SIZE = 10**12
"""Numerators and denominators of what a task comes to."""

_NUMBER = r"(\d+(?:\.\d+)?)"
_UNIT = "(" + "|".join(unit for units in UNITS.values() for unit in sorted(units, key=len, reverse=True)) + ")"
_START = re.compile(rf"Start with {_NUMBER} {_UNIT}\.(?: \(1 .*\))?")
_AMOUNT = re.compile(rf"(Add|Take away) {_NUMBER} {_UNIT}\.")
_RATE = re.compile(rf"(Add|Take away) what {_NUMBER} {_UNIT} per (second|minute|hour) come to in {_NUMBER} (\w+)\.")
_QUESTION = re.compile(rf"How many {_UNIT} is that\?")


def quantity_of(unit: str) -> str:
    """Return the quantity that a unit measures."""
    return next(quantity for quantity, units in UNITS.items() if unit in units)


def shown(value: Fraction) -> str:
    """Return a number as a whole number or a decimal where it is one of at most 12 places, else as a fraction."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    places = next((n for n in range(13) if 10**n % value.denominator == 0), None) if rest == 1 else None
    if places is None:
        return f"{value.numerator}/{value.denominator}"
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    sign = "-" if value < 0 else ""
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)


class Measures(Topic):
    """An amount of one quantity, as (quantity, size in its base unit)."""

    name = "measures"

    def start(self, rng: random.Random, complexity: int) -> str:
        quantity = rng.choice(tuple(UNITS))
        systems = {1: (METRIC,), 2: (CUSTOMARY,), 4: (METRIC,)}.get(complexity, (METRIC, CUSTOMARY))
        unit = _pick(rng, quantity, systems)
        bridge = ""
        if complexity == 3:
            one, other = BRIDGES[quantity]
            size = UNITS[quantity][one][1] / UNITS[quantity][other][1]
            bridge = f" (1 {one.removesuffix('s').replace('inche', 'inch')} is exactly {shown(size)} {other}.)"
        return f"Start with {_amount(rng, 20)} {unit}.{bridge}"

    def opened(self, sentence: str) -> tuple[str, Fraction]:
        found = _START.fullmatch(sentence)
        if found is None:
            raise ValueError(f"{sentence!r} is no such sentence")
        return quantity_of(found[2]), _size(found[1], found[2])

    def step(self, rng: random.Random, complexity: int, state: Any, *, at_level: bool) -> str:
        quantity, _ = state
        verb = rng.choice(("Add", "Take away"))
        if complexity == 4 and (at_level or rng.random() < 0.5):
            per, during = rng.sample(tuple(SECONDS), 2)
            unit = _pick(rng, quantity, (METRIC,))
            return (
                f"{verb} what {_amount(rng, 12)} {unit} per {per.removesuffix('s')} come to in {rng.randint(2, 45)} "
                f"{during}."
            )
        systems = {1: (METRIC,), 2: (CUSTOMARY,), 4: (METRIC,)}.get(complexity, (METRIC, CUSTOMARY))
        if complexity == 3 and at_level:
            systems = (rng.choice((METRIC, CUSTOMARY)),)
        return f"{verb} {_amount(rng, 99)} {_pick(rng, quantity, systems)}."

    def after(self, state: Any, sentence: str) -> tuple[str, Fraction]:
        quantity, size = state
        if found := _RATE.fullmatch(sentence):
            verb, number, unit, per, count, during = found.groups()
            change = _size(number, unit) * Fraction(count) * SECONDS[during] / SECONDS[f"{per}s"]
        elif found := _AMOUNT.fullmatch(sentence):
            verb, number, unit = found.groups()
            change = _size(number, unit)
        else:
            raise ValueError(f"{sentence!r} is no such sentence")
        later = size + change if verb == "Add" else size - change
        if quantity_of(unit) != quantity or later <= 0 or max(later.numerator, later.denominator) > MAX_SIZE:
            raise ValueError(f"{sentence} leaves nothing, or too much")
        return quantity, later

    def question(self, rng: random.Random, complexity: int, first: Any, last: Any) -> tuple[str, Form]:
        systems = {2: (CUSTOMARY,), 3: (METRIC, CUSTOMARY)}.get(complexity, (METRIC,))
        return f"How many {_pick(rng, last[0], systems)} is that?", "number"

    def answer(self, question: str, first: Any, last: Any) -> str:
        found = _QUESTION.fullmatch(question)
        assert found is not None, "a question of ours"
        return shown(last[1] / UNITS[last[0]][found[1]][1])


def _pick(rng: random.Random, quantity: str, systems: tuple[str, ...]) -> str:
    return rng.choice([unit for unit, (system, _) in UNITS[quantity].items() if system in systems])


def _amount(rng: random.Random, most: int) -> str:
    whole = rng.randint(1, most)
    return str(whole) if rng.random() < 0.6 else f"{whole}.{rng.randint(1, 9)}"


def _size(number: str, unit: str) -> Fraction:
    return Fraction(number) * UNITS[quantity_of(unit)][unit][1]
