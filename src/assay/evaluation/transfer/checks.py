"""What is wrong with a transfer experiment, before anything is spent on it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence

from assay.environments.named import NamedEnvironment
from assay.environments.selection import choose_tasks
from assay.environments.splits import prompt_key
from assay.errors import DataError
from assay.evaluation.transfer.spec import TransferPlan
from assay.types import Task

SEED = 0
"""Held-out tasks are the same whatever the seed of training."""
LOOKED_AT = 2000
"""Training tasks of an environment, from the first on, that are looked at for held-out ones."""


def held_out_tasks(environment: NamedEnvironment, num_tasks: int) -> list[Task]:
    """The tasks that an environment is measured on: the first of its test split at its dials.

    Raises:
        DataError: there are fewer than two, or the dials are out of range.
    """
    source = environment.environment.to_measure()
    tasks = choose_tasks(source, "test", [environment.level], num_tasks, SEED)
    if len(tasks) < 2:
        raise DataError(f"{environment.filed_as} has {len(tasks)} held-out tasks; an interval needs two or more")
    return tasks


def overlaps(plan: TransferPlan, held_out: Mapping[str, Sequence[Task]]) -> list[str]:
    """Return a sentence for each pair of environments where a training task is a held-out one, by what the model sees:
    of each environment the first 2,000 training tasks of every seed."""
    keys = {name: set(map(_key, tasks)) for name, tasks in held_out.items()}
    parts = {part.filed_as: part for arm in plan.fresh for part in arm.parts}
    found: list[str] = []
    for name, part in parts.items():
        trained = {
            _key(task)
            for seed in plan.seeds
            for task in itertools.islice(
                part.environment.tasks("train", complexity=part.complexity, horizon=part.horizon, seed=seed),
                LOOKED_AT // len(plan.seeds),
            )
        }
        for measured, own in keys.items():
            if shared := len(trained & own):
                found.append(f"{shared} of the {len(own)} held-out tasks of {measured} are training tasks of {name}")
    return found


def _key(task: Task) -> str:
    """What makes two tasks one: what the model sees, and what it does not see of the world."""
    return f"{prompt_key(task)} {json.dumps(task.metadata.get('world'), sort_keys=True, default=str)}"
