"""Kinds of argument: the type hint, what is valid, which values are tried first, how others are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol, TypeVar


@dataclass(frozen=True)
class Hints:
    """Constants of the program under test: values near them tell its branches apart."""

    numbers: tuple[int, ...] = ()
    texts: tuple[str, ...] = ()


T = TypeVar("T")


def pick(rng: Random, values: Sequence[T]) -> T:
    """One of them; sooner than `rng.choice`, and values are drawn by the thousand."""
    return values[int(rng.random() * len(values))]


def between(rng: Random, low: int, high: int) -> int:
    """An integer of a range, both ends included; sooner than `rng.randint`."""
    return low + int(rng.random() * (high - low + 1))


class Kind(Protocol):
    """The values that an argument may have: None, bool, int, str, and lists, tuples and dicts of them."""

    @property
    def annotation(self) -> str: ...

    def limits(self, subject: str) -> list[str]:
        """Return the limits on valid values beyond the annotation, as sentences about the subject without their full
        stop."""
        ...

    def edges(self) -> list[Any]:
        """Values at the edge of what is valid."""
        ...

    def sample(self, rng: Random, hints: Hints) -> Any: ...


@dataclass(frozen=True)
class Integer:
    """An integer of a range, both ends included."""

    low: int = -100
    high: int = 100

    annotation = "int"

    def limits(self, subject: str) -> list[str]:
        # Where negative numbers come too, bounds matter to nobody who writes the function.
        return [] if self.low < 0 else [f"{subject} is from {self.low} to {self.high}"]

    def edges(self) -> list[Any]:
        near = [value for value in (0, 1, -1, 2) if self.low <= value <= self.high]
        return [*near, self.low, self.high]

    def sample(self, rng: Random, hints: Hints) -> Any:
        if hints.numbers and rng.random() < 0.35:
            value = pick(rng, hints.numbers) * pick(rng, (1, 1, 1, -1)) + pick(rng, (-1, 0, 0, 1))
            if self.low <= value <= self.high:
                return value
        if rng.random() < 0.6:
            low = max(self.low, -12)
            return between(rng, low, min(self.high, low + 24))
        return between(rng, self.low, self.high)

    def related(self, rng: Random, other: int, hints: Hints) -> int:
        """Draw an integer equal or next to another, or with a sum or difference near a hint: where comparisons of two
        numbers turn."""
        hint = pick(rng, (0, *hints.numbers))
        value = pick(rng, (other, other + hint, other - hint, hint - other)) + pick(rng, (-1, 0, 0, 1))
        return min(max(value, self.low), self.high)


@dataclass(frozen=True)
class Text:
    """A string over an alphabet."""

    alphabet: str = "aabbcdeeiost ABEZ"
    low: int = 0
    high: int = 12
    about: str = ""
    """A description of the string's characters, where one is needed."""

    annotation = "str"

    def limits(self, subject: str) -> list[str]:
        size = "may be empty" if self.low == 0 else "is not empty"
        return [f"{subject} {size}" + (f"; it {self.about}" if self.about else "")]

    def edges(self) -> list[Any]:
        first = self.alphabet[0]
        return [text for text in ("", first, first * 2, self.alphabet[-1]) if self.low <= len(text) <= self.high]

    def sample(self, rng: Random, hints: Hints) -> Any:
        texts = [text for text in (*hints.texts, *map(str, hints.numbers)) if text and set(text) <= set(self.alphabet)]
        letters = self.alphabet if rng.random() < 0.7 else pick(rng, self.alphabet) + pick(rng, self.alphabet)
        text = "".join(pick(rng, letters) for _ in range(between(rng, self.low, self.high)))
        if texts and rng.random() < 0.5:
            place = pick(rng, (0, len(text), between(rng, 0, len(text))))
            text = (text[:place] + pick(rng, texts) + text[place:])[: self.high]
        if rng.random() < 0.1:
            text = (text[: len(text) // 2] + text[: len(text) // 2][::-1]) or text
        return text


@dataclass(frozen=True)
class ListOf:
    """A list of values of one kind."""

    item: Kind
    low: int = 0
    high: int = 8

    @property
    def annotation(self) -> str:
        return f"list[{self.item.annotation}]"

    def limits(self, subject: str) -> list[str]:
        size = "may be empty" if self.low == 0 else f"has at least {self.low} item{'s' if self.low > 1 else ''}"
        return [f"{subject} {size}", *self.item.limits(f"each item of {subject}")]

    def edges(self) -> list[Any]:
        items = self.item.edges()
        lists = [[], [items[0]], [items[-1]], [items[0], items[0]], items[: self.high], items[::-1][: self.high]]
        return [values for values in lists if self.low <= len(values) <= self.high]

    def sample(self, rng: Random, hints: Hints) -> Any:
        size = between(rng, self.low, self.high)
        values = [self.item.sample(rng, hints) for _ in range(size)]
        shape = rng.random()
        if shape < 0.25 and values:
            few = values[: max(1, size // 2)]
            return [pick(rng, few) for _ in range(size)]
        if shape < 0.35 and all(isinstance(value, int) for value in values):
            return sorted(values)
        if shape < 0.6 and size > 1 and isinstance(self.item, Integer):
            first = between(rng, 0, size - 2)
            second = between(rng, first + 1, size - 1)
            values[second] = self.item.related(rng, values[first], hints)
        return values


@dataclass(frozen=True)
class TupleOf:
    """A tuple with one kind for each place."""

    items: tuple[Kind, ...]
    ordered: bool = False
    """True where the numbers rise strictly."""

    @property
    def annotation(self) -> str:
        return f"tuple[{', '.join(item.annotation for item in self.items)}]"

    def limits(self, subject: str) -> list[str]:
        places = ("first", "second", "third")
        found = [
            limit
            for place, item in zip(places, self.items, strict=False)
            for limit in item.limits(f"the {place} value of {subject}")
        ]
        return [*found, f"{subject} has its smaller number first, and two different numbers"] if self.ordered else found

    def edges(self) -> list[Any]:
        if self.ordered:
            return [(0, 1), (1, 3)]
        return [tuple(values) for values in zip(*(item.edges() for item in self.items), strict=False)]

    def sample(self, rng: Random, hints: Hints) -> Any:
        values = [item.sample(rng, hints) for item in self.items]
        if self.ordered:
            values.sort()
            values[-1] += values[0] == values[-1]
        return tuple(values)


@dataclass(frozen=True)
class MappingOf:
    """A dictionary."""

    key: Kind
    value: Kind
    high: int = 6

    @property
    def annotation(self) -> str:
        return f"dict[{self.key.annotation}, {self.value.annotation}]"

    def limits(self, subject: str) -> list[str]:
        return [f"{subject} may be empty", *self.value.limits(f"each value of {subject}")]

    def edges(self) -> list[Any]:
        keys, values = self.key.edges(), self.value.edges()
        return [{}, {keys[0]: values[0]}, dict.fromkeys(keys, values[0]), dict.fromkeys(keys, values[-1])]

    def sample(self, rng: Random, hints: Hints) -> Any:
        size = between(rng, 0, self.high)
        return {self.key.sample(rng, hints): self.value.sample(rng, hints) for _ in range(size)}


@dataclass(frozen=True)
class Grid:
    """Rows of equal length, of integers (lists) or of characters (strings)."""

    cells: Kind | str = Integer(-9, 9)
    """A kind of integer, or the characters to draw from."""
    max_rows: int = 4
    max_columns: int = 4
    low: int = 1

    @property
    def annotation(self) -> str:
        return "list[str]" if isinstance(self.cells, str) else "list[list[int]]"

    def limits(self, subject: str) -> list[str]:
        size = (
            f"{subject} has at least one row and one column"
            if self.low
            else f"{subject} may be empty, its rows are not"
        )
        if isinstance(self.cells, str):
            *others, last = [repr(cell) for cell in dict.fromkeys(self.cells)]
            shown = f"{', '.join(others)} and {last}"
            return [f"{size}; its rows are strings of the same length, made of {shown}"]
        return [f"{size}; its rows have the same length", *self.cells.limits(f"each number in {subject}")]

    def edges(self) -> list[Any]:
        cells = list(dict.fromkeys(self.cells)) if isinstance(self.cells, str) else self.cells.edges()
        grids = [
            [[cells[0]]],
            [[cells[-1]]],
            [[cells[0]] * self.max_columns],
            [[cells[0]]] * self.max_rows,
            [[cells[0]] * self.max_columns] * self.max_rows,
        ]
        return ([] if self.low else [[]]) + [[self._row(row) for row in grid] for grid in grids]

    def sample(self, rng: Random, hints: Hints) -> Any:
        rows, columns = between(rng, self.low, self.max_rows), between(rng, 1, self.max_columns)
        if isinstance(self.cells, str):
            few = self.cells if rng.random() < 0.7 else self.cells + self.cells[0] * len(self.cells)
            return ["".join(pick(rng, few) for _ in range(columns)) for _ in range(rows)]
        return [[self.cells.sample(rng, hints) for _ in range(columns)] for _ in range(rows)]

    def _row(self, row: list[Any]) -> Any:
        return "".join(row) if isinstance(self.cells, str) else list(row)


@dataclass(frozen=True)
class NestedList:
    """A list whose items are integers and such lists."""

    item: Integer = Integer(-9, 9)
    max_depth: int = 3

    annotation = "list"

    def limits(self, subject: str) -> list[str]:
        return [f"{subject} is a list of integers and of such lists, to any depth; lists may be empty"]

    def edges(self) -> list[Any]:
        return [[], [0], [[]], [1, [2]], [[[3]]], [-1, [0, [5]], 2]]

    def sample(self, rng: Random, hints: Hints) -> Any:
        return self._list(rng, hints, self.max_depth)

    def _list(self, rng: Random, hints: Hints, depth: int) -> list[Any]:
        return [
            self._list(rng, hints, depth - 1) if depth > 1 and rng.random() < 0.4 else self.item.sample(rng, hints)
            for _ in range(between(rng, 0, 4))
        ]


@dataclass(frozen=True)
class BinaryTree:
    """None, or a tuple (value, left, right)."""

    value: Integer = Integer(-9, 9)
    max_depth: int = 4

    annotation = "tuple | None"

    def limits(self, subject: str) -> list[str]:
        tree = "None for the empty tree, or a tuple (value, left, right) of an integer and two trees"
        return [f"{subject} is a binary tree: {tree}"]

    def edges(self) -> list[Any]:
        return [None, (0, None, None), (1, (2, None, None), None), (1, None, (-2, None, None))]

    def sample(self, rng: Random, hints: Hints) -> Any:
        return self._tree(rng, hints, between(rng, 1, self.max_depth))

    def _tree(self, rng: Random, hints: Hints, depth: int) -> Any:
        if depth == 0 or rng.random() < 0.15:
            return None
        value = self.value.sample(rng, hints)
        return (value, self._tree(rng, hints, depth - 1), self._tree(rng, hints, depth - 1))


@dataclass(frozen=True)
class Edges:
    """Edges between the nodes 0 to `nodes` - 1: pairs, or triples with a weight."""

    nodes: int = 6
    weighted: bool = False
    high: int = 9

    @property
    def annotation(self) -> str:
        return "list[tuple[int, int, int]]" if self.weighted else "list[tuple[int, int]]"

    def limits(self, subject: str) -> list[str]:
        weight = ", weights are from 1 to 9" if self.weighted else ""
        nodes = f"nodes are numbers from 0 to {self.nodes - 1}{weight}, and an edge may come twice"
        return [f"{subject} may be empty; {nodes}"]

    def edges(self) -> list[Any]:
        path = [self._edge(node, node + 1, 2) for node in range(self.nodes - 1)]
        return [[], path[:1], path, [*path[:2], self._edge(2, 0, 1)]]

    def sample(self, rng: Random, hints: Hints) -> Any:
        found = []
        for _ in range(between(rng, 0, self.high)):
            tail, turn = between(rng, 0, self.nodes - 1), between(rng, 1, self.nodes - 1)
            found.append(self._edge(tail, (tail + turn) % self.nodes, between(rng, 1, 9)))
        return found

    def _edge(self, tail: int, head: int, weight: int) -> tuple[int, ...]:
        return (tail, head, weight) if self.weighted else (tail, head)


INTEGER = Integer()
TEXT = Text(about="holds letters and spaces")
WORD = Text("aabbcdeeiost", 1, 6, "holds small letters")
LETTERS = Text("aabbcdeeiostABEZ", 0, 8, "holds letters")
NUMBERS = ListOf(Integer(-50, 50))
WORDS = ListOf(WORD, high=6)
