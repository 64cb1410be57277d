"""The instructions verifier: every constraint of the task, checked by a rule of its own."""

from __future__ import annotations

from typing import ClassVar, Literal

from assay.environments.instructions.families import Constraint, is_answer
from assay.environments.instructions.reading import MAX_CHARACTERS, AnswerText
from assay.errors import DataError
from assay.types import Rollout, Score, Task
from assay.verifiers.cases import Case
from assay.verifiers.text import AnswerReader, is_cut_off
from assay.verifiers.verifier import Verifier


class InstructionsFollowed(AnswerReader):
    """Solved where the response obeys every constraint of its task.

    What has no word at all, or repeats itself over and over, obeys nothing. The score's parts are `followed`, the share
    of constraints that were obeyed, and each family with 1 or 0 (the mean, where a task has a family twice).
    """

    name: Literal["instructions"] = "instructions"
    is_cheap: ClassVar[bool] = True
    partial_credit: bool = False
    """True to give a response that obeys some of the constraints their share as its value; it is not solved."""

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        constraints = constraints_of(task)
        said = self.answer_text(rollout)
        if is_cut_off(rollout):
            return Score.failed("cut off")
        if len(said) > MAX_CHARACTERS:
            return Score.failed("too long")
        text = AnswerText(said)
        if not is_answer(text):
            return Score.failed("padding" if text.is_padding else "empty")
        obeyed = [(constraint.family, constraint.obeyed(text)) for constraint in constraints]
        share = sum(followed for _, followed in obeyed) / len(obeyed)
        parts = {"followed": share}
        for family in {family for family, _ in obeyed}:
            values = [followed for other, followed in obeyed if other == family]
            parts[family.partition(":")[2]] = sum(values) / len(values)
        missed = [family.partition(":")[2] for family, followed in obeyed if not followed]
        if missed:
            value = share if self.partial_credit else 0.0
            return Score.failed("not followed", value=value, parts=parts, evidence=", ".join(missed)[:200])
        return Score.solved(parts=parts)

    def gold_response(self, task: Task) -> str | None:
        """The response that a generated task was made with; a prompt of a file has none."""
        return task.answer or None

    def lenient(self) -> Verifier | None:
        return None

    def cases(self) -> list[Case]:
        return []


def constraints_of(task: Task) -> list[Constraint]:
    """Return the constraints of a task.

    Raises:
        DataError: it has none.
    """
    found = task.metadata.get("constraints")
    if not found:
        raise DataError(f"task {task.task_id} states no constraints; the verifier instructions scores its own tasks")
    return [Constraint(each["family"], each["arguments"]) for each in found]
