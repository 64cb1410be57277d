"""Paired comparison of before and after, on the same tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay.errors import DataError
from assay.evaluation.evaluation import Evaluation
from assay.statistics import PairedDifference, paired_difference


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
    """Gain in accuracy, after - before, with its interval over tasks and a paired test.

    Over the tasks that were measured on both sides; `num_tasks` of the result says how many. With several samples a
    task, the share of its samples that were solved is what is compared.

    Raises:
        DataError: the two are not of the same tasks, or no task was measured on both sides.
    """
    before_counts, after_counts = before.counts(reading), after.counts(reading)
    if unpaired := before_counts.keys() ^ after_counts.keys():
        raise DataError(
            f"{len(unpaired)} tasks are in only one of the two evaluations; a paired comparison needs the same tasks"
        )
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


def smallest_gain(evaluations: Mapping[tuple[str, str], tuple[Evaluation, Evaluation]]) -> ClaimedGain:
    """The smallest gain over ways of decoding and reading, so that no artefact of format or sharpening is claimed.

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
    decoding, reading = min(candidates, key=lambda key: candidates[key].value)
    return ClaimedGain(decoding, reading, candidates[decoding, reading], candidates)
