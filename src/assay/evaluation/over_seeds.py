"""Runs that differ by their seed, tested on the same tasks: means with intervals over seeds and tasks."""

from __future__ import annotations

from collections.abc import Sequence

from assay.evaluation.evaluation import Evaluation
from assay.statistics import Interval, difference_over_seeds, proportion_over_seeds


def accuracy_over_seeds(evaluations: Sequence[Evaluation], readings: Sequence[str]) -> Interval | None:
    """Mean accuracy of several runs, one evaluation and its reading each.

    Returns:
        Over the tasks that all measured; None where there are fewer than two runs or tasks, or the tasks are not the
        same.
    """
    counts = _counts(evaluations, readings)
    if counts is None:
        return None
    return proportion_over_seeds(_shares(counts), _num_samples(counts))


def gain_over_seeds(
    before: Sequence[Evaluation], after: Sequence[Evaluation], readings: Sequence[str]
) -> Interval | None:
    """Mean gain of several runs, each an evaluation before and one after, in one reading of its own.

    Returns:
        As `accuracy_over_seeds`, over the tasks that all measured before and after.
    """
    counts = _counts([*before, *after], [*readings, *readings])
    if counts is None or len(before) < 2:
        return None
    sides = counts[: len(before)], counts[len(before) :]
    # The same answers for every seed, as those of one model before training are, say no more than once.
    alike = all(of_run == sides[0][0] for of_run in sides[0])
    num_samples = (_num_samples(sides[0][:1] if alike else sides[0]), _num_samples(sides[1]))
    return difference_over_seeds(_shares(sides[0]), _shares(sides[1]), num_samples=num_samples)


Counts = list[list[tuple[int, int]]]
"""The (measured, solved) samples of each task of each run."""


def _counts(evaluations: Sequence[Evaluation], readings: Sequence[str]) -> Counts | None:
    """Return the counts of the tasks that all runs measured, in the order of the first; None for fewer than two such
    tasks or runs, or where the runs have different tasks."""
    found = [evaluation.counts(reading) for evaluation, reading in zip(evaluations, readings, strict=True)]
    if len(found) < 2 or any(one.keys() != found[0].keys() for one in found):
        return None
    tasks = [task_id for task_id in evaluations[0].task_ids if all(one[task_id][0] for one in found)]
    return [[one[task_id] for task_id in tasks] for one in found] if len(tasks) > 1 else None


def _shares(counts: Counts) -> list[list[float]]:
    return [[solved / measured for measured, solved in of_run] for of_run in counts]


def _num_samples(counts: Counts) -> int:
    return sum(measured for of_run in counts for measured, _ in of_run)
