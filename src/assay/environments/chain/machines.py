"""Machines: the small states that a chain keeps, their updates, and how a report of a state is read.

Every update is trivial by itself and depends on the state before it, so that a chain is as hard as it is long.
"""

from __future__ import annotations

import random
import re
from abc import ABC, abstractmethod
from typing import ClassVar

State = tuple[int, ...]

MAX_REPORT_CHARACTERS = 400
"""Characters of a report that are read: a longer one is no report."""
_NUMBER = re.compile(r"(?<![\w.,])-?\d{1,6}(?![\w]|[.,]\d)")


class Machine(ABC):
    """Base class of machines. The complexity dial, whole numbers from 1 to 3, is how much one update has to do with."""

    name: ClassVar[str]

    def __init__(self, complexity: int) -> None:
        self.complexity = complexity

    @abstractmethod
    def start(self, rng: random.Random) -> State:
        """A first state."""

    @abstractmethod
    def draw(self, rng: random.Random, state: State) -> str:
        """An update that the state allows, in words."""

    @abstractmethod
    def can_start(self, state: State) -> bool:
        """Return True for a first state that `start` may give."""

    @abstractmethod
    def allows(self, state: State, update: str) -> bool:
        """Return True for an update that `draw` may give in this state, whatever text it is."""

    @abstractmethod
    def apply(self, state: State, update: str) -> State:
        """The state after an update of `draw`."""

    @abstractmethod
    def shown(self, state: State) -> str:
        """The state as a report says it."""

    @property
    @abstractmethod
    def rules(self) -> str:
        """Return what a model is told of the machine, in a sentence or two."""

    @abstractmethod
    def read(self, report: str) -> State | None:
        """The one state that a report can mean; None where it can mean none, or several."""


def _numbers(report: str) -> list[int]:
    return [] if len(report) > MAX_REPORT_CHARACTERS else [int(text) for text in _NUMBER.findall(report)]


class Register(Machine):
    """One number, to which others are added or from which they are taken; never below 0."""

    name = "register"
    _LARGEST: ClassVar = {1: (99, 9), 2: (99, 9), 3: (999, 99)}

    def start(self, rng: random.Random) -> State:
        return (rng.randint(1, self._LARGEST[self.complexity][0] // 2),)

    def draw(self, rng: random.Random, state: State) -> str:
        largest, step = self._LARGEST[self.complexity]
        amount = rng.randint(1, step)
        adds = self.complexity == 1 or rng.random() < 0.5
        if adds and state[0] + amount > largest:
            adds = False
        elif not adds and state[0] < amount:
            adds = True
        return f"add {amount}" if adds else f"take away {amount}"

    def can_start(self, state: State) -> bool:
        return 1 <= state[0] <= self._LARGEST[self.complexity][0] // 2

    def allows(self, state: State, update: str) -> bool:
        largest, step = self._LARGEST[self.complexity]
        found = re.fullmatch(r"(add|take away) ([1-9]\d?)", update, re.ASCII)
        if found is None or (amount := int(found[2])) > step:
            return False
        if found[1] == "add":
            return state[0] + amount <= largest
        return amount <= state[0] and (self.complexity > 1 or state[0] + amount > largest)

    def apply(self, state: State, update: str) -> State:
        *words, amount = update.split()
        return (state[0] + (int(amount) if words == ["add"] else -int(amount)),)

    def shown(self, state: State) -> str:
        return str(state[0])

    @property
    def rules(self) -> str:
        return "Keep a number."

    def read(self, report: str) -> State | None:
        found = _numbers(report)
        return (found[0],) if len(found) == 1 else None


class Ledger(Machine):
    """Accounts of several people: each update moves some of one to another."""

    name = "ledger"
    _PEOPLE = ("Ann", "Bob", "Cat", "Dan")
    _ENTRY = re.compile(r"\b(Ann|Bob|Cat|Dan)\b[\s:=]*(?:has\s+)?(\d{1,6})(?![\w]|[.,]\d)", re.IGNORECASE)

    @property
    def _people(self) -> tuple[str, ...]:
        return self._PEOPLE[: self.complexity + 1]

    def start(self, rng: random.Random) -> State:
        return tuple(rng.randint(2, 9) for _ in self._people)

    def draw(self, rng: random.Random, state: State) -> str:
        giver = rng.choice([i for i, has in enumerate(state) if has])
        taker = rng.choice([i for i in range(len(state)) if i != giver])
        amount = rng.randint(1, min(state[giver], 9))
        return f"{self._people[giver]} gives {self._people[taker]} {amount}"

    def can_start(self, state: State) -> bool:
        return all(2 <= has <= 9 for has in state)

    def allows(self, state: State, update: str) -> bool:
        found = re.fullmatch(r"(\w+) gives (\w+) ([1-9])", update, re.ASCII)
        if found is None or not {found[1], found[2]} <= set(self._people) or found[1] == found[2]:
            return False
        return int(found[3]) <= state[self._people.index(found[1])]

    def apply(self, state: State, update: str) -> State:
        giver, _, taker, amount = update.split()
        after = list(state)
        after[self._people.index(giver)] -= int(amount)
        after[self._people.index(taker)] += int(amount)
        return tuple(after)

    def shown(self, state: State) -> str:
        return ", ".join(f"{name} {has}" for name, has in zip(self._people, state, strict=True))

    @property
    def rules(self) -> str:
        return "Keep what everybody has."

    def read(self, report: str) -> State | None:
        if len(report) > MAX_REPORT_CHARACTERS:
            return None
        found = [(name.capitalize(), int(has)) for name, has in self._ENTRY.findall(report)]
        if len(found) != len(self._people) or {name for name, _ in found} != set(self._people):
            return None
        return tuple(dict(found)[name] for name in self._people)


class Stack(Machine):
    """A pile of digits: push, pop, swap the two on top, or add them (the last digit of the sum is kept)."""

    name = "stack"

    @property
    def _depth(self) -> int:
        return self.complexity + 2

    def start(self, rng: random.Random) -> State:
        return tuple(rng.randint(0, 9) for _ in range(2))

    def draw(self, rng: random.Random, state: State) -> str:
        allowed = ["push"] if len(state) < self._depth else []
        allowed += ["pop"] if len(state) > 1 else []
        allowed += ["swap", "add"] if len(state) > 1 else []
        update = rng.choice(allowed)
        return f"push {rng.randint(0, 9)}" if update == "push" else update

    def can_start(self, state: State) -> bool:
        return len(state) == 2 and all(0 <= digit <= 9 for digit in state)

    def allows(self, state: State, update: str) -> bool:
        if re.fullmatch(r"push \d", update, re.ASCII):
            return len(state) < self._depth
        return update in ("pop", "swap", "add") and len(state) > 1

    def apply(self, state: State, update: str) -> State:
        word, *digit = update.split()
        if word == "push":
            return (*state, int(digit[0]))
        if word == "pop":
            return state[:-1]
        *below, second, top = state
        return (*below, top, second) if word == "swap" else (*below, (second + top) % 10)

    def shown(self, state: State) -> str:
        return " ".join(map(str, state))

    @property
    def rules(self) -> str:
        return (
            "Keep a stack of digits, its top last. pop removes the top, swap exchanges the two on top, add replaces "
            "them by the last digit of their sum."
        )

    def read(self, report: str) -> State | None:
        found = _numbers(report)
        return tuple(found) if found and all(0 <= digit <= 9 for digit in found) else None


MACHINES: dict[str, type[Machine]] = {each.name: each for each in (Register, Ledger, Stack)}
