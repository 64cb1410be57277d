"""Constant-answer baselines: the part of a score that one answer given to every task would earn.

A policy rewarded for right answers can learn the commonest one, and then earns its share without reading the task. The
score goes up, with an interval that excludes chance, and nothing was learned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from assay.errors import DataError
from assay.evaluation.evaluation import Evaluation

SAME_RESPONSE_SHARE = 0.5
"""The share of identical responses from which on there is a caution, unless gold answers repeat themselves as much."""
BEYOND_ANSWERS = 0.3
"""Largest difference between the share of identical responses and that of identical gold answers without a caution: a
model that says "yes" to 60 % of questions that are half of them "yes" has not collapsed."""
SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Commonest:
    """The text that occurs most often, the first of them in case of a tie."""

    text: str
    share: float
    """Share of all texts, those that are empty included; 0 without any."""

    @classmethod
    def of(cls, texts: Iterable[str]) -> Commonest:
        counts = Counter(text.strip() for text in texts)
        total = counts.total()
        del counts[""]  # nothing said, or nothing known of the gold answer: no constant answer to speak of
        if not counts:
            return cls("", 0.0)
        text, count = counts.most_common(1)[0]
        return cls(text, count / total)

    def to_dict(self) -> dict[str, Any]:
        return {"text": _short(self.text), "share": self.share}


def commonest_response(evaluation: Evaluation) -> Commonest:
    """Return the commonest response of the model."""
    return Commonest.of(row.response for row in evaluation.rows)


def commonest_answer(evaluation: Evaluation) -> Commonest:
    """The gold answer of most tasks: its share is what saying it every time would earn."""
    return Commonest.of({row.task_id: row.answer for row in evaluation.rows}.values())


def cautions(evaluation: Evaluation, reading: str) -> list[str]:
    """Sentences a reader of this accuracy should have beside it; none where one answer explains nothing.

    Raises:
        DataError: there is no such reading.
    """
    if reading not in evaluation.readings:
        raise DataError(f"no reading {reading!r} in this evaluation; it has {', '.join(evaluation.readings)}")
    response, answer = commonest_response(evaluation), commonest_answer(evaluation)
    found: list[str] = []
    if response.share >= max(SAME_RESPONSE_SHARE, answer.share + BEYOND_ANSWERS):
        found.append(f"{100 * response.share:.0f} % of the responses are the same text: {_short(response.text)!r}")
    counts = evaluation.counts(reading).values()
    repeats = round(answer.share * evaluation.num_tasks) > 1
    if repeats and any(measured for measured, _ in counts):
        accuracy = evaluation.accuracy(reading)
        if accuracy.low <= answer.share:
            found.append(
                f"always answering {_short(answer.text)!r} would earn {100 * answer.share:.1f} %; "
                f"{accuracy.as_percent()} is not shown to be above it"
            )
    return found


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."
