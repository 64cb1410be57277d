"""The trajectory of a run: which held-out tasks it solved after how many tokens, updates and seconds."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from assay.errors import RunFolderError
from assay.evaluation.row import EvalRow
from assay.observe.store import BEFORE_TRAINING, RunStore
from assay.statistics import Interval, clustered_proportion, pass_at_k_interval

PROBE = "validation"
"""The split whose tasks are the probe: the same ones at every measurement of a run, and in runs of its settings."""
ALL = "all"
"""Name of the skill of all tasks together."""
AXES = {
    "sampled_tokens": "rollout/total_sampled_tokens",
    "trained_tokens": "train/num_tokens",
    "updates": "train/num_updates",
    "seconds": "time/step_seconds",
}
"""Axis of a trajectory to the metric behind it. All count from the start of training; seconds are those of its steps,
measurement left out."""
UNNAMED = "failed"
"""Kind of an error that nobody named."""
_RUNNING_TOTALS = ("sampled_tokens",)
ENTROPY = "policy/entropy_nats"


def probe_row(row: EvalRow, reading: str) -> dict[str, Any]:
    """Return what a run keeps of one attempt at a task of its probe."""
    return {
        "task_id": row.task_id,
        "sample": row.sample,
        "domain": row.domain,
        "level": row.level,
        "verdict": row.scores[reading].verdict.value,
        "error": row.scores[reading].reason,
        "num_tokens": row.num_tokens,
    }


@dataclass(frozen=True, eq=False)
class Skill:
    """The tasks of one environment and level, at every probe. T probes, P tasks."""

    name: str
    task_ids: tuple[str, ...]
    """[P]"""
    solved: np.ndarray
    """[T, P] float, share of the task's greedy attempts that were solved; NaN where none was measured."""
    sampled: tuple[tuple[tuple[int, int], ...], ...]
    """[T][P] (attempts measured, solved) at temperature 1, (0, 0) for a task without; empty at a probe where there were
    none."""
    tokens: tuple[float | None, ...]
    """[T] mean sampled tokens of a greedy attempt; None where that is not known."""
    errors: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Kind of error to [T, P] float, share of the task's greedy attempts that failed by it, the commonest kind first;
    empty where no kinds were kept."""

    def curve(self) -> list[Interval | None]:
        """Return the solved share at each probe, with its interval over tasks; None where nothing was measured."""
        return _over_tasks(self.solved)

    def error_curves(self) -> dict[str, list[Interval | None]]:
        """Return the share that failed by each kind of error, in the same way."""
        return {kind: _over_tasks(shares) for kind, shares in self.errors.items()}

    def pass_at(self, k: int) -> list[Interval | None]:
        """Return pass@k at each probe, over the tasks with k attempts at temperature 1; None where there is none."""
        found: list[Interval | None] = []
        for counts in self.sampled:
            enough = [count for count in counts if count[0] >= k]
            found.append(pass_at_k_interval(enough, k) if enough else None)
        return found

    @property
    def most_samples(self) -> int:
        """The largest number of attempts at temperature 1 that any task has; 0 where there are none."""
        return max((measured for counts in self.sampled for measured, _ in counts), default=0)


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A run's probes along its training."""

    name: str
    steps: tuple[int, ...]
    """[T] steps made before each probe; 0 for the untrained model."""
    axes: Mapping[str, tuple[float, ...]]
    """Axis to [T] values; an axis that the run did not record is missing."""
    skills: Mapping[str, Skill]
    """Name to skill: `ALL` first, then each level, after its environment where there are several."""
    entropy: tuple[tuple[int, float], ...] = ()
    """(steps made, nats a token) of training."""

    def axis(self, name: str) -> np.ndarray:
        """[T] float, the values of an axis.

        Raises:
            RunFolderError: the run did not record it.
        """
        if name not in self.axes:
            raise RunFolderError(f"{self.name} has no axis {name!r}; it has {', '.join(self.axes)}")
        return np.asarray(self.axes[name], dtype=np.float64)


def read_trajectory(folder: Path) -> Trajectory:
    """The trajectory of a run, ended or under way, from its store.

    Raises:
        RunFolderError: no run, or one whose probe was kept at fewer than two steps.
    """
    with RunStore.open_readonly(folder) as store:
        steps = sorted({record.step for record in store.evaluations() if record.split == PROBE})
        greedy = [store.evaluation_rows(step, PROBE, "greedy") for step in steps]
        sampled = [store.evaluation_rows(step, PROBE, "sampled") for step in steps]
        metrics = store.metrics()
    kept = [index for index, rows in enumerate(greedy) if rows]
    if len(kept) < 2:
        raise RunFolderError(
            f"{folder} keeps the answers of {len(kept)} probes, and a trajectory needs two: train with "
            "evaluation.every_steps above 0 (runs of before probes were kept have none)"
        )
    if all(row["verdict"] in ("graded", "not_measured") for index in kept for row in greedy[index]):
        raise RunFolderError(
            f"{folder}: its rewards are numbers without a verdict, and a trajectory is of what was solved and when; "
            "assay show has the mean rewards, and solved_at of the verifier says what solves"
        )
    made = tuple(0 if steps[index] == BEFORE_TRAINING else steps[index] + 1 for index in kept)
    return Trajectory(
        name=Path(folder).resolve().name,
        steps=made,
        axes=_axes(metrics, made),
        skills=_skills([greedy[index] for index in kept], [sampled[index] for index in kept]),
        entropy=tuple((step + 1, value) for step, value in metrics.get(ENTROPY, []) if value is not None),
    )


def _axes(
    metrics: Mapping[str, Sequence[tuple[int, float | None]]], made: Sequence[int]
) -> dict[str, tuple[float, ...]]:
    """The value of each recorded axis once so many steps were made."""
    found: dict[str, tuple[float, ...]] = {"steps": tuple(map(float, made))}
    for axis, metric in AXES.items():
        points = metrics.get(metric, [])
        if any(value is None for _, value in points) or len(points) < max(made):
            continue
        values = [value or 0.0 for _, value in points]
        totals = [0.0, *(values if axis in _RUNNING_TOTALS else itertools.accumulate(values))]
        found[axis] = tuple(totals[count] for count in made)
    return found


def _skills(
    greedy: Sequence[Sequence[Mapping[str, Any]]], sampled: Sequence[Sequence[Mapping[str, Any]]]
) -> dict[str, Skill]:
    several = len({row["domain"] for row in greedy[0]}) > 1
    tasks: dict[str, list[str]] = {ALL: []}
    for row in greedy[0]:
        name = f"{row['domain']} {row['level']}" if several else row["level"]
        for skill in (ALL, name):
            if row["task_id"] not in tasks.setdefault(skill, []):
                tasks[skill].append(row["task_id"])
    if len(tasks) == 2:
        del tasks[next(reversed(tasks))]  # one level: the same as all
    of_greedy, of_sampled = [_counts(rows) for rows in greedy], [_counts(rows) for rows in sampled]
    lengths = [_lengths(rows) for rows in greedy]
    return {
        name: Skill(
            name,
            tuple(ids),
            np.array([[_share(counts.get(task_id)) for task_id in ids] for counts in of_greedy], dtype=np.float64),
            tuple(tuple(counts.get(task_id, (0, 0)) for task_id in ids) if counts else () for counts in of_sampled),
            tuple(_mean([of_task[task_id] for task_id in ids if task_id in of_task]) for of_task in lengths),
            _errors(greedy, ids),
        )
        for name, ids in tasks.items()
    }


def _over_tasks(values_TP: np.ndarray) -> list[Interval | None]:
    found: list[Interval | None] = []
    for values in values_TP:
        measured = values[~np.isnan(values)]
        found.append(clustered_proportion(measured.tolist(), len(measured)) if len(measured) else None)
    return found


def by_kind(shares: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return kinds of errors to their [T, P] shares, the commonest first; those that nobody made left out."""
    total = {kind: float(np.nansum(values)) for kind, values in shares.items()}
    return {kind: shares[kind] for kind in sorted(shares, key=lambda kind: (-total[kind], kind)) if total[kind]}


def _errors(greedy: Sequence[Sequence[Mapping[str, Any]]], ids: Sequence[str]) -> dict[str, np.ndarray]:
    """The share of each task's attempts that failed by each kind; none where a probe is of before kinds were kept."""
    measured = [row for rows in greedy for row in rows if row["verdict"] == "failed"]
    if any("error" not in row for row in measured):
        return {}
    kinds = {row["error"] or UNNAMED for row in measured}
    counts = [_counts(rows) for rows in greedy]
    made = [
        Counter((row["task_id"], row["error"] or UNNAMED) for row in rows if row["verdict"] == "failed")
        for rows in greedy
    ]
    return by_kind(
        {
            kind: np.array(
                [
                    [_share((of.get(task_id, (0, 0))[0], by[task_id, kind])) for task_id in ids]
                    for of, by in zip(counts, made, strict=True)
                ],
                dtype=np.float64,
            )
            for kind in kinds
        }
    )


def _counts(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    counts: dict[str, tuple[int, int]] = {}
    for row in rows:
        measured, solved = counts.get(row["task_id"], (0, 0))
        verdict = row["verdict"]
        counts[row["task_id"]] = measured + (verdict in ("solved", "failed")), solved + (verdict == "solved")
    return counts


def _lengths(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {row["task_id"]: float(row["num_tokens"]) for row in rows if row["num_tokens"] is not None}


def _share(count: tuple[int, int] | None) -> float:
    return float("nan") if count is None or not count[0] else count[1] / count[0]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
