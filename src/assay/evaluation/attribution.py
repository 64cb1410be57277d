"""What a gain is owed to: every task that changed is put down to one cause, so that the parts add up to the gain.

A task that was failed before and is solved after, under greedy decoding and the strict reading, is put down to the
first of these that holds; a task that was solved and is failed, to the same cause with the sides exchanged, and counts
against it.

| cause         | holds where                                                                                      |
|---------------|--------------------------------------------------------------------------------------------------|
| seen          | the task was trained on                                                                          |
| constant      | the response after is the one that is given to most tasks, and `cautions` says that it is so     |
| format        | the response before held the answer: another reading accepts it                                  |
| length        | the response before was cut off                                                                  |
| decoding      | the model before solved the task in half or more of several attempts at temperature 1: what      |
|               | failed was greedy decoding alone                                                                 |
| sharpening    | the model before solved the task in some attempt at temperature 1: it could, and now it does     |
| beyond        | none of these: a new solution, or one that the model before has in more attempts than were made  |

What cannot be told is said beside the parts. The order is from what says least of a skill to what says most, and so the
last part is what may be claimed of new solutions at most.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from assay.evaluation.cautions import BEYOND_ANSWERS, SAME_RESPONSE_SHARE, commonest_answer, commonest_response
from assay.evaluation.evaluation import Evaluation
from assay.evaluation.row import EvalRow
from assay.statistics import Interval, paired_difference
from assay.types import Verdict

CAUSES = {
    "seen": "tasks that were trained on",
    "constant": "one response given to most tasks",
    "format": "form alone: the answer was there before",
    "length": "responses that were cut off before",
    "decoding": "greedy decoding alone: solved before in half or more of the attempts at temperature 1",
    "sharpening": "sharpening: solved before in some attempt at temperature 1",
    "beyond": "beyond what the model solved before in the attempts made",
}
"""Cause to what it is called, in the order in which they are tried."""


@dataclass(frozen=True)
class GainPart:
    """The part of a gain that is put down to one cause."""

    cause: str
    gain: Interval
    """Tasks won less tasks lost, over all tasks: the parts of all causes add up to the whole gain."""
    num_won: int
    num_lost: int

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "meaning": CAUSES[self.cause], "gain": self.gain.to_dict()}


@dataclass(frozen=True)
class Attribution:
    """A gain in parts."""

    total: Interval
    """The gain under greedy decoding and the strict reading, over tasks measured on both sides."""
    num_tasks: int
    parts: tuple[GainPart, ...]
    untold: tuple[str, ...]
    """What cannot be told from what was measured, in sentences."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "total": self.total.to_dict(),
            "num_tasks": self.num_tasks,
            "parts": [part.to_dict() for part in self.parts],
            "untold": list(self.untold),
        }


def attribute(
    before: Mapping[str, Evaluation],
    after: Mapping[str, Evaluation],
    *,
    trained_on: Collection[str] | None = None,
) -> Attribution | None:
    """The gain of a closing test in parts.

    Args:
        before: decoding to evaluation; "greedy" with the reading "strict" is what is taken apart, other readings and
            the decoding "sampled" tell causes.
        after: the same tasks.
        trained_on: ids of the tasks that were trained on; None where that is not known.

    Returns:
        None where there is no greedy decoding under a strict reading, or no task was measured on both sides.
    """
    sides = [_first_rows(side.get("greedy")) for side in (before, after)]
    tasks = [task_id for task_id, row in sides[0].items() if _measured(row) and _measured(sides[1].get(task_id))]
    if not tasks:
        return None
    attempts = [_attempts(side.get("sampled")) for side in (before, after)]
    constants = [_constant(side["greedy"]) for side in (before, after)]
    causes: dict[str, tuple[str, int]] = {}
    for task_id in tasks:
        rows = [side[task_id] for side in sides]
        change = _solved(rows[1]) - _solved(rows[0])
        if change:
            # The side that failed, and the one that solved: exchanged where the task was lost.
            failed, solved = (0, 1) if change > 0 else (1, 0)
            cause = _cause(
                rows[failed],
                rows[solved],
                is_seen=trained_on is not None and task_id in trained_on,
                constant=constants[solved],
                attempts=attempts[failed].get(task_id, (0, 0)),
            )
            causes[task_id] = cause, change
    parts = []
    for cause in CAUSES:
        won = [float(causes.get(task_id) == (cause, 1)) for task_id in tasks]
        lost = [float(causes.get(task_id) == (cause, -1)) for task_id in tasks]
        parts.append(GainPart(cause, paired_difference(lost, won).interval, int(sum(won)), int(sum(lost))))
    first, last = ([float(_solved(side[task_id])) for task_id in tasks] for side in sides)
    untold = tuple(_untold(before, trained_on))
    return Attribution(paired_difference(first, last).interval, len(tasks), tuple(parts), untold)


def _cause(failed: EvalRow, solved: EvalRow, *, is_seen: bool, constant: str | None, attempts: tuple[int, int]) -> str:
    """The first cause that holds.

    Args:
        attempts: measured and solved at temperature 1, of the side that failed.
    """
    if is_seen:
        return "seen"
    if constant is not None and solved.response.strip() == constant:
        return "constant"
    if any(score.verdict is Verdict.SOLVED for reading, score in failed.scores.items() if reading != "strict"):
        return "format"
    if failed.ending == "truncated: length":
        return "length"
    num_measured, num_solved = attempts
    if num_measured > 1 and 2 * num_solved >= num_measured:
        return "decoding"
    return "sharpening" if num_solved else "beyond"


def _untold(before: Mapping[str, Evaluation], trained_on: Collection[str] | None) -> list[str]:
    found: list[str] = []
    if trained_on is None:
        found.append("whether tasks were seen in training: the ids of the training tasks are not kept")
    if len(before["greedy"].readings) < 2:
        found.append("what form alone is worth: there is one reading of the answers")
    if "sampled" not in before:
        found.append("sharpening from new solutions: the model before was not sampled at temperature 1")
    else:
        counts = before["sampled"].counts("strict").values()
        attempts = sum(measured for measured, _ in counts) / max(len(counts), 1)
        found.append(
            f"sharpening from new solutions beyond {attempts:.3g} attempt{'' if attempts == 1 else 's'} a task of the "
            "model before: with more, part of what is beyond them may prove to be sharpening (evaluation.test_samples)"
        )
        if attempts < 2:
            found.append(
                "greedy decoding alone from sharpening: both are tasks that the model before solved in its one attempt "
                "at temperature 1 (evaluation.test_samples)"
            )
    return found


def _constant(evaluation: Evaluation) -> str | None:
    """The response given to most tasks, where it is given to more than gold answers repeat themselves; else None."""
    response = commonest_response(evaluation)
    is_constant = response.share >= max(SAME_RESPONSE_SHARE, commonest_answer(evaluation).share + BEYOND_ANSWERS)
    # Below that, one response that is right for many tasks may be their answer.
    return response.text if is_constant else None


def _first_rows(evaluation: Evaluation | None) -> dict[str, EvalRow]:
    if evaluation is None or "strict" not in evaluation.readings:
        return {}
    return {row.task_id: row for row in evaluation.rows if row.sample == 0}


def _attempts(evaluation: Evaluation | None) -> Mapping[str, tuple[int, int]]:
    """Task to the number of its attempts that were measured, and of those that were solved."""
    return {} if evaluation is None or "strict" not in evaluation.readings else evaluation.counts("strict")


def _measured(row: EvalRow | None) -> bool:
    return row is not None and row.scores["strict"].has_verdict


def _solved(row: EvalRow) -> int:
    return int(row.scores["strict"].verdict is Verdict.SOLVED)
