"""The Domain protocol: where tasks come from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Protocol

from assay.errors import DataError
from assay.types import Split, Task


class Domain(Protocol):
    """A source of tasks with two dials, and three splits that cannot share a task.

    `check_domain` holds an implementation to this.
    """

    @property
    def name(self) -> str: ...

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        """Distinct tasks of one split at one setting of the dials, in an order fixed by the seed.

        Ends when the split has no further task. A dial of None means the domain's default level. Splits are disjoint by
        construction: which split a task is in depends only on the task itself, never on the seed. Dials are monotone in
        difficulty.

        Raises:
            DataError: a dial out of the domain's range (names the range), or an empty split.
        """
        ...

    def levels(self) -> tuple[tuple[float | None, float | None], ...]:
        """The (complexity, horizon) settings a table of this domain lists, easiest first."""
        ...


def require_tasks(
    tasks: Iterator[Task], domain: Domain, split: Split, complexity: float | None, horizon: float | None
) -> Iterator[Task]:
    """The same tasks, after making sure that there is at least one.

    Raises:
        DataError: the split is empty at this setting of the dials.
    """
    first = next(tasks, None)
    if first is None:
        if complexity is None and horizon is None and not any(level != (None, None) for level in domain.levels()):
            raise DataError(f"the {split} split of {domain.name} is empty: too few tasks for three splits; add tasks")
        raise DataError(
            f"the {split} split of {domain.name} is empty at complexity {_shown(complexity)}, horizon "
            f"{_shown(horizon)}: that level has too few tasks for three splits; choose a larger complexity or horizon"
        )
    return itertools.chain((first,), tasks)


def _shown(dial: float | None) -> str:
    return "default" if dial is None else f"{dial:g}"
