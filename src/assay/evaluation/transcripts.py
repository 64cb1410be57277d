"""Responses of the model before and after training, on tasks that nobody picked."""

from __future__ import annotations

from typing import Any

from assay.errors import DataError
from assay.evaluation.evaluation import Evaluation
from assay.evaluation.row import EvalRow

RULE = "the first tasks of the test list, first sample of each"
"""The rule by which the tasks of `transcripts` are chosen; printed beside them."""


def transcripts(before: Evaluation, after: Evaluation, reading: str, *, count: int = 3) -> list[dict[str, Any]]:
    """The first `count` tasks (see `RULE`) as plain data.

    Returns:
        One {"task_id", "level", "prompt", "answer", "before", "before_verdict", "before_reason", "before_ending",
        "after", ...} a task: what the model said and what came of it. Where there were several turns, "before_turns"
        and "after_turns" hold them as lines, {"who", "text"} each.

    Raises:
        DataError: a task is missing on one side, or there is no such reading.
    """
    found: list[dict[str, Any]] = []
    after_rows = _first_samples(after)
    for task_id, row in list(_first_samples(before).items())[:count]:
        if task_id not in after_rows:
            raise DataError(f"task {task_id} is only in the evaluation before; transcripts need the same tasks")
        task = {"task_id": task_id, "level": row.level, "prompt": row.prompt, "answer": row.answer}
        found.append(task | _side("before", row, reading) | _side("after", after_rows[task_id], reading))
    return found


def _first_samples(evaluation: Evaluation) -> dict[str, EvalRow]:
    return {row.task_id: row for row in evaluation.rows if row.sample == 0}


def _side(side: str, row: EvalRow, reading: str) -> dict[str, Any]:
    if reading not in row.scores:
        raise DataError(f"no reading {reading!r} in this evaluation; it has {', '.join(row.scores)}")
    score = row.scores[reading]
    lines = [line.to_dict() for number, turn in enumerate(row.turns) for line in turn.lines(number)]
    return {
        side: row.response,
        f"{side}_verdict": score.verdict.value,
        f"{side}_reason": score.reason,
        f"{side}_ending": row.ending,
        **({f"{side}_turns": lines} if lines else {}),
    }
