"""Generated environments: dials that are whole numbers in a range, and the tasks of a level, numbered or drawn."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar

from assay.environments.arithmetic.permutation import permuted
from assay.environments.environment import Environment, Level, require_tasks
from assay.environments.splits import hashed_split
from assay.errors import DataError
from assay.types import Split, Task
from assay.verifiers import EpisodeScore, Verifier

NUM_NUMBERS = 100_000
"""Numbers that a level's tasks are drawn by; a level that has fewer tasks ends earlier."""

MAX_REPEATS = 1000
"""Draws in a row that give nothing new, after which a split counts as given out."""


class Generated(Environment):
    """Base class of generated environments, with whole dials from 1 on and a world that says what was earned.

    A subclass gives `generated`, its name, and how far its dials go.
    """

    max_complexity: ClassVar[int]
    max_horizon: ClassVar[int]
    listed_horizons: ClassVar[tuple[int, ...]] = (1, 2, 4)
    """Horizons that `levels` lists, with every complexity."""
    default_horizon: ClassVar[int] = 1

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        return {"strict": EpisodeScore()}

    def levels(self) -> tuple[Level, ...]:
        """Every complexity with each of the listed horizons."""
        complexities = range(1, self.max_complexity + 1)
        return tuple((float(c), float(h)) for h in self.listed_horizons for c in complexities)

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        """See `Environment.tasks`."""
        level = whole_dial(self.name, "complexity", complexity, 1, self.max_complexity)
        length = whole_dial(self.name, "horizon", horizon, self.usual_horizon(level), self.max_horizon)
        return require_tasks(self.generated(split, level, length, seed), self, split, level, length)

    def usual_horizon(self, complexity: int) -> int:
        """Return the horizon where nobody sets the dial."""
        return self.default_horizon

    def generated(self, split: Split, complexity: int, horizon: int, seed: int) -> Iterator[Task]:
        """Distinct tasks of a level, of one split, in an order fixed by the seed."""
        raise NotImplementedError(f"{type(self).__name__} generates no tasks: write its method `generated`")


def whole_dial(environment: str, dial: str, value: float | None, default: int, largest: int) -> int:
    """Return the value of a dial, or its default where None was asked for.

    Raises:
        DataError: a value that is no whole number from 1 to `largest`.
    """
    if value is None:
        return default
    if not 1 <= value <= largest or value != int(value):
        raise DataError(f"{environment} has no {dial} {value:g}; {dial} is a whole number from 1 to {largest}")
    return int(value)


def numbered_tasks(make: Callable[[int], Task | None], seed: int) -> Iterator[Task]:
    """The tasks that are made from the numbers of range(NUM_NUMBERS), each once, in an order fixed by the seed.

    Args:
        make: the task of a number, which depends on nothing else, with its content under "canonical" in its metadata;
            None where the number has none, or one that is of another split.
    """
    seen: set[str] = set()
    for number in permuted(NUM_NUMBERS, seed):
        task = make(number)
        if task is not None and (canonical := task.metadata["canonical"]) not in seen:
            seen.add(canonical)
            yield task


def drawn_tasks(draw: Callable[[random.Random], Task], split: Split, seed: int) -> Iterator[Task]:
    """The tasks of one split that are drawn one after the other from a stream of random numbers, each once, until
    `MAX_REPEATS` draws in a row have given nothing new.

    Args:
        draw: a task, with its content under "canonical" in its metadata, which decides its split.
        seed: of the stream.
    """
    rng = random.Random(seed)
    seen: set[str] = set()
    repeats = 0
    while repeats < MAX_REPEATS:
        task = draw(rng)
        canonical = task.metadata["canonical"]
        if canonical in seen or hashed_split(task.domain, canonical) != split:
            repeats += 1
            continue
        seen.add(canonical)
        repeats = 0
        yield task
