"""Several samples a task, before and after: pass@k, pass^k and majority@k with their paired differences.

pass@k says how able a model is, pass^k how reliable; majority@k what its commonest answer is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.evaluation.evaluation import Evaluation
from assay.statistics import (
    Interval,
    PairedDifference,
    Votes,
    majority_at_k_difference,
    majority_at_k_interval,
    pass_at_k_difference,
    pass_at_k_interval,
    pass_hat_k_difference,
    pass_hat_k_interval,
)
from assay.types import Verdict

ANSWERS = frozenset(("choice", "exact", "math", "numeric"))
"""Verifiers whose evidence is the answer that they read, so that answers can be counted."""


@dataclass(frozen=True)
class OfK:
    """One measure at one k, before and after."""

    measure: str
    """"pass@k", "pass^k" or "majority@k"."""
    k: int
    before: Interval
    after: Interval
    gain: PairedDifference

    @property
    def name(self) -> str:
        return self.measure.replace("k", str(self.k))

    def to_dict(self) -> dict[str, Any]:
        return {"before": self.before.to_dict(), "after": self.after.to_dict(), "gain": self.gain.to_dict()}


def gains_of_k(before: Evaluation, after: Evaluation, reading: str) -> list[OfK]:
    """Each measure for the powers of two of which every task has as many samples with a verdict on both sides; none of
    majority@k where answers are not known (`ANSWERS`)."""
    sides = [evaluation.counts(reading) for evaluation in (before, after)]
    fewest = min(measured for side in sides for measured, _ in side.values())
    ks = [2**power for power in range(1, 17) if 2**power <= fewest]
    if not ks:
        return []
    counts = [[side[task] for task in sides[0]] for side in sides]
    found = _of("pass@k", ks, pass_at_k_interval, pass_at_k_difference, *counts)
    found += _of("pass^k", ks, pass_hat_k_interval, pass_hat_k_difference, *counts)
    if all(_verifier(evaluation, reading) in ANSWERS for evaluation in (before, after)):
        answers = [_votes(evaluation, reading) for evaluation in (before, after)]
        votes = [[side[task] for task in sides[0]] for side in answers]
        found += _of("majority@k", ks, majority_at_k_interval, majority_at_k_difference, *votes)
    return found


def _of(
    measure: str,
    ks: Sequence[int],
    interval: Callable[[Any, int], Interval],
    difference: Callable[[Any, Any, int], PairedDifference],
    before: Sequence[Any],
    after: Sequence[Any],
) -> list[OfK]:
    return [OfK(measure, k, interval(before, k), interval(after, k), difference(before, after, k)) for k in ks]


def _votes(evaluation: Evaluation, reading: str) -> Mapping[str, Votes]:
    """The answers of each task's measured samples, counted."""
    answers: dict[str, list[tuple[str | None, bool]]] = {}
    for row in evaluation.rows:
        score = row.scores[reading]
        if score.has_verdict:
            answers.setdefault(row.task_id, []).append((score.evidence, score.verdict is Verdict.SOLVED))
    return {task: Votes.of(of_task) for task, of_task in answers.items()}


def _verifier(evaluation: Evaluation, reading: str) -> Any:
    settings = evaluation.settings.get("verifiers", {}).get(reading)
    return settings.get("name") if isinstance(settings, Mapping) else None
