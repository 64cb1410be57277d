"""The complexity dial: one grammar of functions a level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from assay.environments.programs.function import Function
from assay.environments.programs.levels import (
    conditionals,
    dictionaries,
    dynamic,
    expressions,
    graphs,
    lists,
    loops,
    nested,
    recursions,
    strings,
)


@dataclass(frozen=True)
class Level:
    """One level of complexity: its name, and the grammar that its functions are drawn from."""

    name: str
    make: Callable[[Random], Function]
    """A function drawn from the level's grammar; the same for the same random state."""


LEVELS = {
    1: Level("one arithmetic expression", expressions.make),
    2: Level("conditionals and comparisons", conditionals.make),
    3: Level("strings and slices", strings.make),
    4: Level("loops with accumulators", loops.make),
    5: Level("list processing", lists.make),
    6: Level("dictionaries and counting", dictionaries.make),
    7: Level("nested loops, two data structures", nested.make),
    8: Level("recursion", recursions.make),
    9: Level("dynamic programming", dynamic.make),
    10: Level("graph search", graphs.make),
}
"""The levels by complexity."""
