"""Paired comparison of before and after, on the same tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay.errors import DataError
from assay.evaluation.evaluation import Evaluation
from assay.statistics import PairedDifference, paired_difference, paired_mean_difference


@dataclass(frozen=True)
class ClaimedGain:
    """The smallest of several gains: the one that may be claimed, whichever way the answer is decoded and read."""

    decoding: str
    reading: str
    difference: PairedDifference
    candidates: Mapping[tuple[str, str], PairedDifference]
    """(decoding, reading) to gain, of all that were compared."""

    def to_dict(self) -> dict[str, Any]:
        return {
            **self.difference.to_dict(),
            "decoding": self.decoding,
            "reading": self.reading,
            "candidates": [
                {"decoding": decoding, "reading": reading, **difference.to_dict()}
                for (decoding, reading), difference in self.candidates.items()
            ],
        }


def compare(before: Evaluation, after: Evaluation, reading: str) -> PairedDifference:
    """Gain in accuracy, after - before, with its interval over tasks and a paired test; where a side has no verdicts,
    the gain in mean reward (`paired_mean_difference`).

    Over the tasks that were measured on both sides; `num_tasks` of the result says how many. With several samples a
    task, the share of its samples that were solved, or their mean reward, is what is compared.

    Raises:
        DataError: the two are not of the same tasks, or no task (of rewards: fewer than two) was measured on both
            sides.
    """
    before_counts, after_counts = before.counts(reading), after.counts(reading)
    if unpaired := before_counts.keys() ^ after_counts.keys():
        raise DataError(
            f"{len(unpaired)} tasks are in only one of the two evaluations; a paired comparison needs the same tasks"
        )
    if before.lacks_verdicts(reading) or after.lacks_verdicts(reading):
        rewards = before.rewards(reading), after.rewards(reading)
        both = [task_id for task_id in rewards[0] if task_id in rewards[1]]
        if len(both) < 2:
            raise DataError(
                f"{len(both)} tasks were measured both before and after under {reading!r}, and the interval of a mean "
                "reward takes two; evaluate more tasks"
            )
        return paired_mean_difference(*([side[task_id] for task_id in both] for side in rewards))
    pairs = [
        (before_counts[task_id], after_counts[task_id])
        for task_id in before.task_ids
        if before_counts[task_id][0] and after_counts[task_id][0]
    ]
    if not pairs:
        raise DataError(f"no task was measured both before and after under {reading!r}")
    return paired_difference(
        [solved / measured for (measured, solved), _ in pairs],
        [solved / measured for _, (measured, solved) in pairs],
        num_samples=(sum(measured for (measured, _), _ in pairs), sum(measured for _, (measured, _) in pairs)),
    )


def smallest_gains(evaluations: Mapping[tuple[str, str], tuple[Evaluation, Evaluation]]) -> dict[str, ClaimedGain]:
    """The smallest gain over ways of decoding and reading, so that no artefact of format or sharpening is claimed: by
    its unit, "share" over the readings with verdicts and "reward" over those without.

    Training that only teaches the answer's format gains little under a lenient reading; training that only sharpens
    the distribution gains little under greedy decoding.

    Args:
        evaluations: (decoding, reading), such as ("greedy", "strict"), to (before, after).

    Raises:
        DataError: nothing to compare, or as `compare`.
    """
    if not evaluations:
        raise DataError("there is nothing to compare")
    candidates = {key: compare(before, after, key[1]) for key, (before, after) in evaluations.items()}
    claimed: dict[str, ClaimedGain] = {}
    for unit in ("share", "reward"):
        own = {key: difference for key, difference in candidates.items() if difference.unit == unit}
        if own:
            decoding, reading = min(own, key=lambda key: own[key].value)
            claimed[unit] = ClaimedGain(decoding, reading, own[decoding, reading], own)
    return claimed
