"""Dials of generated environments: whole numbers in a range, and the numbered tasks of a level."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from assay.environments.arithmetic.permutation import permuted
from assay.errors import DataError
from assay.types import Task

NUM_NUMBERS = 100_000
"""Numbers that a level's tasks are drawn by; a level that has fewer tasks ends earlier."""


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
