"""A stream of training tasks: one environment at one level, shuffled anew each time that its split was gone through."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from assay.curriculum.curriculum import LevelSettings
from assay.environments import Environment, require_tasks
from assay.seeds import derive_seed
from assay.types import Task

_NUM_NAMING = 16
"""Tasks of a level without dials by which it is named."""


class TaskStream:
    """Hands out the training tasks of one environment at one level, without an end. Which task comes depends on the
    seed and on how many were handed out; within an epoch no task comes twice, and each epoch has an order of its own.

    Args:
        seed: of the run.
        index: of the stream among those of its curriculum, so that each has an order of its own.

    Raises:
        DataError: a level outside the environment's range, or with an empty train split.
    """

    def __init__(self, environment: Environment, level: LevelSettings, *, seed: int, index: int) -> None:
        self._environment = environment
        self._level = level
        self._seed = seed
        self._index = index
        self._epoch = 0
        self._position = 0
        self._tasks: Iterator[Task] | None = None
        """The rest of this epoch; None until it is needed."""
        num_naming = _NUM_NAMING if None in (level.complexity, level.horizon) else 1
        first = list(itertools.islice(self._tasks_of(0), num_naming))
        self.dials = _common(task.complexity for task in first), _common(task.horizon for task in first)
        """Complexity and horizon of the stream's tasks, as they carry them; None where they differ."""
        self.name = replace(first[0], complexity=self.dials[0], horizon=self.dials[1]).level
        """The level by its dials: "c2 h1"."""

    def draw(self) -> Task:
        """Return the next task."""
        if self._tasks is None:
            self._tasks = itertools.islice(self._tasks_of(self._epoch), self._position, None)
        task = next(self._tasks, None)
        if task is None:
            self._epoch, self._position = self._epoch + 1, 0
            self._tasks = self._tasks_of(self._epoch)
            task = next(self._tasks)
        self._position += 1
        return task

    def state(self) -> dict[str, Any]:
        """Return how often the whole split was gone through, and the tasks given out since, as JSON."""
        return {"name": self.name, "epoch": self._epoch, "position": self._position}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was taken, exactly."""
        self._epoch, self._position, self._tasks = state["epoch"], state["position"], None

    def _tasks_of(self, epoch: int) -> Iterator[Task]:
        complexity, horizon = self._level.complexity, self._level.horizon
        seed = derive_seed(self._seed, "curriculum", self._index, epoch)
        tasks = self._environment.tasks("train", complexity=complexity, horizon=horizon, seed=seed)
        return require_tasks(tasks, self._environment, "train", complexity, horizon)


def _common(values: Iterator[float | None]) -> float | None:
    """The one value that all of them are; None where they differ."""
    different = set(values)
    return different.pop() if len(different) == 1 else None
