"""The choice of the levels and tasks of an environment that are measured."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from assay.environments.environment import Environment, Level, checked_tasks
from assay.types import Split, Task


def choose_tasks(
    environment: Environment, split: Split, levels: Sequence[Level], num_tasks: int | None, seed: int
) -> list[Task]:
    """The first tasks of each level, or all of them; one that an easier level has too is taken there."""
    found: dict[str, Task] = {}
    for complexity, horizon in levels:
        tasks = environment.tasks(split, complexity=complexity, horizon=horizon, seed=seed)
        fresh = (task for task in checked_tasks(tasks, environment) if task.task_id not in found)
        found |= {task.task_id: task for task in itertools.islice(fresh, num_tasks)}
    return list(found.values())


def choose_levels(environment: Environment, complexities: list[float], horizons: list[float]) -> Sequence[Level]:
    """The listed levels that have the wanted dials; where none has them, the dials as they were asked for."""
    listed = [
        (complexity, horizon)
        for complexity, horizon in environment.levels()
        if (not complexities or complexity in complexities) and (not horizons or horizon in horizons)
    ]
    asked = list(itertools.product(complexities or [None], horizons or [None]))
    if complexities and horizons:
        return asked
    return listed or asked
