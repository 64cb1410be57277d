"""Code breaking: a hidden word, and how near each guess was."""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from assay.environments.adapt.trials import Played, Trials
from assay.environments.moves import listed, plain
from assay.environments.splits import hashed_split
from assay.types import Split

LETTERS = "BCDFGHKLMNPRSTVW"
SHAPES = {1: (2, 4), 2: (3, 4), 3: (3, 6), 4: (4, 6)}
"""Complexity to the length of a code, and the number of letters that it may be of."""
GUESSES = {1: 6, 2: 7, 3: 8, 4: 10}
"""Complexity to the guesses at a code: at least what the expert may need."""


def drawn(complexity: int, horizon: int, split: Split, rng: random.Random) -> dict[str, Any] | None:
    """A world of this many codes of the split; None where the letters drawn have none."""
    length, num_letters = SHAPES[complexity]
    letters = "".join(sorted(rng.sample(LETTERS, num_letters)))
    codes = [code for code in map("".join, itertools.product(letters, repeat=length)) if split_of(code) == split]
    return {"letters": letters, "codes": [rng.choice(codes) for _ in range(horizon)]} if codes else None


def split_of(code: str) -> Split:
    """The split of a code, whatever letters it could have had."""
    return hashed_split("adapt code", code)


def nearness(guess: str, code: str) -> tuple[int, int]:
    """Return the letters that are in their place, and those that are in the code at another."""
    right = sum(map(str.__eq__, guess, code))
    return right, (Counter(guess) & Counter(code)).total() - right


class CodeBreaking(Trials):
    """Codes one after the other; a code that was found early gains all in the guesses that it did not need."""

    def __init__(self, complexity: int, world: Mapping[str, Any]) -> None:
        self._guesses = GUESSES[complexity]
        super().__init__([self._guesses] * len(world["codes"]), self._guesses - 1)
        self._codes: Sequence[str] = world["codes"]
        self._letters: str = world["letters"]
        self._said: list[str] = []

    @property
    def state(self) -> str:
        return f"code {self.at[0]} after {' '.join(self._said)}"

    def show(self) -> str:
        stretch, place = self.at
        return f"Code {stretch + 1}, guess {place + 1} of {self._guesses}:"

    def play(self, text: str) -> Played:
        stretch, place = self.at
        code = self._codes[stretch]
        guess = read_code(text, self._letters, len(code))
        self._said.append(guess or "-")
        if guess is None:
            self.record(0.0)
            illegal = f"Say {len(code)} letters out of {listed(self._letters, 'and')}."
            result = ""
        else:
            right, misplaced = nearness(guess, code)
            found = right == len(code)
            self.record(right / len(code), self._guesses - place if found else 1)
            result = "Found." if found else f"{guess}: {right} right, {misplaced} misplaced."
            illegal = ""
        if self.at[0] != stretch:
            self._said.clear()
            result = f"{result} Next code.".strip()
        return Played(result, illegal)


def read_code(text: str, letters: str, length: int) -> str | None:
    """Return the one guess that a message makes, its letters together or apart; None where it makes none, or two."""
    said = plain(text).upper()
    found = {word for word in re.findall(r"[A-Z]+", said) if len(word) == length and set(word) <= set(letters)}
    together = re.sub(r"[ ,.\-]", "", said)
    if not found and len(together) == length and set(together) <= set(letters):
        return together
    return found.pop() if len(found) == 1 else None


def opening(complexity: int, world: Mapping[str, Any]) -> str:
    """Return the rules as the model is told them."""
    codes = "a secret code" if len(world["codes"]) == 1 else f"{len(world['codes'])} secret codes, one after the other,"
    return (
        f"Guess {codes} of {SHAPES[complexity][0]} letters out of {listed(world['letters'], 'and')}. A letter may come "
        "again. Right means a letter in its place, misplaced one at another place. Say only the letters."
    )


class CodeExpert:
    """Guesses the first code that agrees with all that was said."""

    def __init__(self, complexity: int) -> None:
        self._length = SHAPES[complexity][0]
        self._letters = ""
        self._left: list[str] = []

    def move(self, shown: str) -> str:
        """The next move, given what was shown last."""
        if rules := re.search(r" out of ([A-Z, and]+)\. A letter", shown):
            self._letters = "".join(re.findall(r"[A-Z]", rules[1]))
        if "guess 1 of" in shown:
            self._left = list(map("".join, itertools.product(self._letters, repeat=self._length)))
        elif told := re.search(r"([A-Z]+): (\d) right, (\d) misplaced", shown):
            wanted = int(told[2]), int(told[3])
            self._left = [code for code in self._left if nearness(told[1], code) == wanted]
        return self._left[0]
