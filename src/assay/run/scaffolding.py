"""Scaffolding: which of a run's groups have the scaffold, so that it can be faded out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from assay.environments import Environment, Episode, SingleTurn
from assay.scaffolds import Plain, Scaffold
from assay.seeds import derive_seed, uniform
from assay.types import PROPOSAL, Task

SCAFFOLD = "scaffold"
"""Key of a training task's metadata with the name of the scaffold that its attempts have."""


class Scaffolding:
    """Puts a scaffold around a share of the groups. Which ones depends on the seed, the group and how far training has
    come, so that all attempts of a group have it or none, and a resumed run goes on as it would have.

    Args:
        num_groups: of the whole training, at which the share is the final one.
    """

    def __init__(self, scaffold: Scaffold, environment: Environment, *, seed: int, num_groups: int) -> None:
        self._scaffold = scaffold
        self._environment = environment
        self._seed = derive_seed(seed, SCAFFOLD)
        self._num_groups = num_groups

    def marked(self, next_task: Callable[[int], Task]) -> Callable[[int], Task]:
        """Return what gives each group its task, with the scaffold's name in the metadata of those that have it."""

        def give(group_id: int) -> Task:
            task = next_task(group_id)
            share = self._scaffold.share_at(group_id / self._num_groups)
            if isinstance(self._scaffold, Plain) or PROPOSAL in task.metadata or uniform(self._seed, group_id) >= share:
                return task
            return dataclasses.replace(task, metadata={**task.metadata, SCAFFOLD: self._scaffold.name})

        return give

    def turns(self, task: Task) -> int:
        """Return the number of turns after which an episode of the task is truncated."""
        if PROPOSAL in task.metadata:
            return 1
        turns = self._environment.turns_of(task)
        return self._scaffold.max_turns(turns) if SCAFFOLD in task.metadata else turns

    def episode(self, task: Task) -> Episode:
        """A fresh episode, with the scaffold where the task is marked."""
        if PROPOSAL in task.metadata:
            return SingleTurn(task)
        episode = self._environment.episode(task)
        return self._scaffold.around(episode, task) if SCAFFOLD in task.metadata else episode
