"""What a trajectory says: when a threshold was reached, how much was solved along the way, what was forgotten.

Intervals are over the tasks of the probe, which are the same at every probe: tasks are drawn again whole, with all that
became of them, so that a curve keeps its shape. Shape letters: T probes, P tasks, D draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.evaluation.trajectories.trajectory import Skill
from assay.seeds import derive_seed
from assay.statistics import Interval, clustered_proportion, pass_at_k_difference, wilson

NUM_DRAWS = 1000
"""Bootstrap draws of an interval."""
MIN_PLATEAU_PROBES = 4
"""Probes that a plateau has at least."""


@dataclass(frozen=True)
class Reached:
    """When a threshold was reached. Not reached is no number: infinity here, null in JSON."""

    value: float
    low: float
    high: float
    share: float
    """Share of the bootstrap draws in which it was."""

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, and whether it was reached; null where it was not."""
        ends = {key: value if math.isfinite(value) else None for key, value in vars(self).items()}
        return {**ends, "is_reached": math.isfinite(self.value)}

    def __str__(self) -> str:
        return f"{_number(self.value)} [{_number(self.low)}, {_number(self.high)}]"


def _number(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else "not reached"


def draws_of(skill: Skill, seed: int = 0, num_draws: int = NUM_DRAWS) -> np.ndarray:
    """[D, T] solved shares, each draw of as many tasks as there are; NaN where a draw measured none."""
    generator = np.random.default_rng(derive_seed(seed, "trajectories", skill.name))
    num_tasks = len(skill.task_ids)
    weights_DP = generator.multinomial(num_tasks, np.full(num_tasks, 1 / num_tasks), size=num_draws).astype(np.float64)
    known_TP = ~np.isnan(skill.solved)
    solved_DT = weights_DP @ np.where(known_TP, skill.solved, 0.0).T
    measured_DT = weights_DP @ known_TP.T.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return solved_DT / measured_DT


def first_reached(shares_T: np.ndarray, axis_T: np.ndarray, threshold: float) -> float:
    """The point on the axis where the solved share first reaches a threshold, and is at it or above at the next probe
    too: one lucky probe reaches nothing. Linear between probes.

    Returns:
        Infinity where it does not; the last probe alone cannot be confirmed, and does not.

    Example:
        >>> first_reached(np.array([0.0, 0.4, 0.6, 0.8]), np.array([0.0, 10.0, 20.0, 30.0]), 0.5)
        15.0
    """
    above = shares_T >= threshold
    for index in range(len(shares_T) - 1):
        if above[index] and above[index + 1]:
            if index == 0 or math.isnan(shares_T[index - 1]) or above[index - 1]:
                return float(axis_T[index])
            before, at = float(shares_T[index - 1]), float(shares_T[index])
            part = (threshold - before) / (at - before)
            return float(axis_T[index - 1] + part * (axis_T[index] - axis_T[index - 1]))
    return math.inf


def time_to(skill: Skill, axis_T: np.ndarray, threshold: float) -> Reached:
    """When the solved share of a skill reached a threshold, with a percentile interval over tasks.

    A draw in which it was not reached counts as later than any: the upper end is "not reached" where more than 2.5 % of
    the draws are so.
    """
    found = np.sort([first_reached(shares_T, axis_T, threshold) for shares_T in draws_of(skill)])
    value = first_reached(_shares(skill), axis_T, threshold)
    low, high = found[int(0.025 * len(found))], found[math.ceil(0.975 * len(found)) - 1]
    return Reached(value, min(float(low), value), max(float(high), value), float(np.isfinite(found).mean()))


def areas(skill: Skill, axis_T: np.ndarray, until: float | None = None) -> dict[str, float]:
    """Task to the mean over the axis of whether it was solved: the area under its curve, in [0, 1], by trapezoids.

    Of tasks measured at every probe up to `until`; the end of the axis where that is not given.
    """
    end = float(axis_T[-1]) if until is None else min(until, float(axis_T[-1]))
    inside = axis_T < end
    length = end - float(axis_T[0])
    if length <= 0.0:
        return {}
    grid_T = np.append(axis_T[inside], end)
    found: dict[str, float] = {}
    for task_id, solved_T in zip(skill.task_ids, skill.solved.T, strict=True):
        values_T = np.interp(grid_T, axis_T, solved_T)
        if not np.isnan(values_T).any():
            found[task_id] = min(max(float(np.trapezoid(values_T, grid_T)) / length, 0.0), 1.0)
    return found


def area(skill: Skill, axis_T: np.ndarray, until: float | None = None) -> Interval | None:
    """Mean over tasks of `areas`, with its interval; None where no task was measured throughout."""
    values = list(areas(skill, axis_T, until).values())
    return clustered_proportion(values, len(values)) if values else None


@dataclass(frozen=True)
class Turnover:
    """Tasks by what became of them: a share of all, with its interval."""

    forgotten: Interval
    """Solved at two probes in a row, and failed at the last."""
    relearned: Interval
    """Solved at two probes in a row, failed at a later one, and solved at the last."""
    never: Interval
    """Solved at no probe."""

    def to_dict(self) -> dict[str, Any]:
        return {key: interval.to_dict() for key, interval in vars(self).items()}


def turnover(skill: Skill) -> Turnover | None:
    """What was forgotten and relearned, task by task, over the tasks measured at every probe; None without any. Greedy
    answers of one model repeat themselves, so that what changes is the model."""
    known = ~np.isnan(skill.solved).any(axis=0)
    solved = skill.solved[:, known] > 0.5
    num = int(known.sum())
    if not num:
        return None
    twice_TP = solved[:-1] & solved[1:]
    learned = twice_TP.any(axis=0)
    first = np.where(learned, twice_TP.argmax(axis=0) + 1, len(solved))
    failed_after = np.array([bool((~solved[start:, task]).any()) for task, start in enumerate(first)])
    last = solved[-1]
    return Turnover(
        wilson(int((learned & ~last).sum()), num),
        wilson(int((learned & failed_after & last).sum()), num),
        wilson(int((~solved.any(axis=0)).sum()), num),
    )


@dataclass(frozen=True)
class Sharpening:
    """What became of one attempt and of k attempts at temperature 1, from the first probe that had them to the last, in
    pairs of the same tasks: is the model sharper, or more able?"""

    k: int
    num_tasks: int
    pass_at_1: Interval
    """The change of pass@1."""
    pass_at_k: Interval
    """The change of pass@k."""

    @property
    def verdict(self) -> str:
        """What the two intervals allow, in a sentence."""
        one, many = self.pass_at_1, self.pass_at_k
        if many.low > 0:
            return f"more able: tasks are solved in {self.k} attempts that were not"
        if many.high < 0:
            sharper = "sharper and narrower: one attempt solves more, and" if one.low > 0 else "less able:"
            return f"{sharper} {self.k} attempts solve less"
        if one.low > 0:
            return f"sharper: one attempt solves more, and that {self.k} attempts do is not shown"
        if one.high < 0:
            return f"less sharp: one attempt solves less, and that {self.k} attempts do is not shown"
        return "neither sharper nor more able is shown"

    def to_dict(self) -> dict[str, Any]:
        ends = {"pass_at_1": self.pass_at_1.to_dict(), "pass_at_k": self.pass_at_k.to_dict()}
        return {**vars(self), **ends, "verdict": self.verdict}


def sharpening(skill: Skill) -> Sharpening | None:
    """Changes of pass@1 and pass@k from the first probe with attempts at temperature 1 to the last, over the tasks that
    have k of them at both. None where there are no two such probes, no two such tasks, or one attempt a task."""
    probes = [counts for counts in skill.sampled if counts]
    k = skill.most_samples
    if len(probes) < 2 or k < 2:
        return None
    pairs = [(one, other) for one, other in zip(probes[0], probes[-1], strict=True) if one[0] >= k and other[0] >= k]
    if len(pairs) < 2:
        return None
    before, after = zip(*pairs, strict=True)
    one, many = (pass_at_k_difference(before, after, of).interval for of in (1, k))
    return Sharpening(k, len(pairs), one, many)


@dataclass(frozen=True)
class Plateau:
    """A stretch of probes whose solved shares all lie within a margin of their mean."""

    start: float
    end: float
    """Where on the axis it begins and ends."""
    share: float
    """Mean solved share."""
    num_probes: int

    def to_dict(self) -> dict[str, float]:
        return dict(vars(self))


def plateaus(skill: Skill, axis_T: np.ndarray, margin: float = 0.05) -> list[Plateau]:
    """Stretches in which nothing moved: the longest first, then what it leaves of the others, in the order of the axis.

    Of at least `MIN_PLATEAU_PROBES` probes and a fifth of the axis. A margin below the probe's own interval sees
    plateaus in luck, and misses those that noise breaks.
    """
    shares_T = _shares(skill)
    least = (float(axis_T[-1]) - float(axis_T[0])) / 5
    found: list[tuple[int, int]] = []
    for length in range(len(shares_T), MIN_PLATEAU_PROBES - 1, -1):
        for start in range(len(shares_T) - length + 1):
            stop = start + length
            part = shares_T[start:stop]
            is_free = all(stop <= other or start >= end for other, end in found)
            is_long = float(axis_T[stop - 1]) - float(axis_T[start]) >= least
            if is_free and is_long and bool((np.abs(part - part.mean()) <= margin).all()):
                found.append((start, stop))
    return [
        Plateau(float(axis_T[start]), float(axis_T[stop - 1]), float(shares_T[start:stop].mean()), stop - start)
        for start, stop in sorted(found)
    ]


@dataclass(frozen=True)
class SkillOrder:
    """How often one skill was reached before another."""

    first: str
    second: str
    num_runs: int
    """Runs that reached either."""
    share: Interval
    """Share of those runs in which the first came first; a tie is half. Over runs."""
    probability: float
    """The same over runs and draws of their tasks: below 1 where the probe is too small to tell, too."""

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "share": self.share.to_dict()}


def order_of_skills(
    runs: Sequence[tuple[dict[str, Skill], np.ndarray]], threshold: float
) -> tuple[list[str], list[SkillOrder]]:
    """The order in which skills reach a threshold, and each pair of them with its uncertainty over runs.

    Args:
        runs: skills by name, and the axis, of each run; the skills that all have are compared.

    Returns:
        Names in the order of how often each comes before the others, and every pair of two.
    """
    names = [name for name in runs[0][0] if name != "all" and all(name in skills for skills, _ in runs)]
    times = [
        {
            name: (
                first_reached(_shares(skills[name]), axis_T, threshold),
                np.array([first_reached(shares_T, axis_T, threshold) for shares_T in draws_of(skills[name])]),
            )
            for name in names
        }
        for skills, axis_T in runs
    ]
    pairs: list[SkillOrder] = []
    wins = dict.fromkeys(names, 0.0)
    for index, first in enumerate(names):
        for second in names[index + 1 :]:
            reached = [run for run in times if math.isfinite(min(run[first][0], run[second][0]))]
            if not reached:
                continue
            score = [_is_first(run[first][0], run[second][0]) for run in reached]
            drawn = [float(np.mean(_firsts(run[first][1], run[second][1]))) for run in reached]
            mean = sum(score) / len(score)
            wins[first] += mean
            wins[second] += 1 - mean
            pairs.append(SkillOrder(first, second, len(reached), clustered_proportion(score, len(score)), _mean(drawn)))
    return sorted(names, key=lambda name: -wins[name]), pairs


def _is_first(first: float, second: float) -> float:
    return 0.5 if first == second else float(first < second)


def _firsts(first_D: np.ndarray, second_D: np.ndarray) -> np.ndarray:
    return np.where(first_D == second_D, 0.5, first_D < second_D)


def _shares(skill: Skill) -> np.ndarray:
    """[T] solved share of the measured tasks; NaN where there is none."""
    known_TP = ~np.isnan(skill.solved)
    with np.errstate(invalid="ignore"):
        return np.where(known_TP, skill.solved, 0.0).sum(axis=1) / known_TP.sum(axis=1)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
