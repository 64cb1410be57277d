"""Tasks that no verifier can judge: found by their own reference, counted, and given to no model."""

from __future__ import annotations

from assay.host import current_host

_KEY = "tasks left out"


class LeftOutTasks(set[str]):
    """The ids of the tasks of a run that are left out."""


def leave_out(task_id: str) -> None:
    """Leaves a task out from now on: a file's environment hands it out no more."""
    current_host().hold(_KEY, LeftOutTasks, lambda found: None).add(task_id)


def left_out_tasks() -> frozenset[str]:
    """Return the ids of the tasks that were left out until now."""
    return frozenset().union(*(found for _, found in current_host().held(LeftOutTasks)))
