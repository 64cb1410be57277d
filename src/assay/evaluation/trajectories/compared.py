"""Trajectories side by side: runs of one setting against runs of another, on the same tasks, in pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.evaluation.trajectories.measures import areas
from assay.evaluation.trajectories.trajectory import Trajectory
from assay.statistics import Interval, difference_over_seeds, paired_difference


@dataclass(frozen=True)
class SeedRuns:
    """Runs of one setting that differ by their seed, or one run."""

    name: str
    runs: tuple[Trajectory, ...]


@dataclass(frozen=True)
class Compared:
    """A difference between two sides, on one skill."""

    skill: str
    measure: str
    """"area", the mean solved share along the axis up to where the shortest of the runs ends; or "last", the solved
    share at the last probe."""
    difference: Interval
    """Second side minus first."""
    num_tasks: int
    covers_seeds: bool
    """True where the interval covers seeds and tasks; else tasks alone: another seed would give another model."""

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "difference": self.difference.to_dict()}


def compare_trajectories(first: SeedRuns, second: SeedRuns, axis: str) -> list[Compared]:
    """Paired differences of every skill that both sides have, over the tasks that all their runs measured throughout.
    The list is empty where their probes have no two tasks in common."""
    runs = [*first.runs, *second.runs]
    until = min(float(run.axis(axis)[-1]) for run in runs)
    found: list[Compared] = []
    for name in first.runs[0].skills:
        if not all(name in run.skills for run in runs):
            continue
        of_runs = {
            "area": [areas(run.skills[name], run.axis(axis), until) for run in runs],
            "last": [_last(run, name) for run in runs],
        }
        for measure, values in of_runs.items():
            compared = _difference(values[: len(first.runs)], values[len(first.runs) :])
            if compared is not None:
                found.append(Compared(name, measure, *compared))
    return found


def _last(run: Trajectory, name: str) -> dict[str, float]:
    skill = run.skills[name]
    last = zip(skill.task_ids, skill.solved[-1], strict=True)
    return {task_id: float(share) for task_id, share in last if not np.isnan(share)}


def _difference(
    first: Sequence[dict[str, float]], second: Sequence[dict[str, float]]
) -> tuple[Interval, int, bool] | None:
    tasks = [task_id for task_id in first[0] if all(task_id in values for values in [*first, *second])]
    if len(tasks) < 2:
        return None
    before, after = ([[values[task_id] for task_id in tasks] for values in side] for side in (first, second))
    if len(before) == len(after) > 1:
        return difference_over_seeds(before, after), len(tasks), True
    means = [np.mean(side, axis=0).tolist() for side in (before, after)]
    return paired_difference(*means).interval, len(tasks), False
