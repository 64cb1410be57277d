"""The numeric verifier: a number somewhere in the response, compared exactly."""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar, Literal

from pydantic import Field

from assay.errors import DataError
from assay.types import Rollout, Score, Task
from assay.verifiers.cases import Case, builtin_cases
from assay.verifiers.number import find_numbers, may_go_on, parse_number
from assay.verifiers.text import AnswerReader, is_cut_off, last_characters, normalise


class Numeric(AnswerReader):
    """A number of the response must equal the answer, as fractions of integers: no rounding, no floats.

    Read is what follows the reasoning block, its last 10,000 characters; `number.find_numbers` says what counts as a
    number there. Where the response was cut off at a limit, a number that the text ends in earns nothing: it may be the
    beginning of a longer one.
    """

    name: Literal["numeric"] = "numeric"
    is_cheap: ClassVar[bool] = True
    reading: Literal["last", "any"] = "last"
    """The number that is read. "last": the last number of the response. It must not be the right-hand side of an
    operator (an expression that was not worked out is no answer), nor unreadable. "any": whichever number fits. This
    most lenient reading is meant for measuring beside the strict ones, since a response that lists every number
    satisfies it."""
    tolerance: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Largest absolute difference that still counts as equal."""

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        gold = parse_number(normalise(task.answer))
        if gold is None:
            raise DataError(
                f"the answer {task.answer[:80]!r} of task {task.task_id} is not a number; "
                "correct the task, or use another verifier"
            )
        text = last_characters(normalise(last_characters(self.answer_text(rollout))))
        numbers = find_numbers(text)
        if not numbers:
            return Score.failed("no number")
        cut_off = is_cut_off(rollout) and may_go_on(text, numbers[-1])
        # str() of a float is the shortest decimal that names it: 0.1 means one tenth.
        margin = Fraction(str(self.tolerance))
        if self.reading == "any":
            complete = numbers[:-1] if cut_off else numbers
            for number in complete:
                if number.value is not None and abs(number.value - gold) <= margin:
                    return Score.solved(evidence=text[number.start : number.end][:80])
            return Score.failed("wrong" if complete else "cut off")
        last = numbers[-1]
        evidence = text[last.start : last.end][:80]
        if cut_off:
            return Score.failed("cut off", evidence=evidence)
        if last.is_operand:
            return Score.failed("not worked out", evidence=evidence)
        if last.value is None:
            return Score.failed("unreadable", evidence=evidence)
        if abs(last.value - gold) > margin:
            return Score.failed("wrong", evidence=evidence)
        return Score.solved(evidence=evidence)

    def lenient(self) -> Numeric | None:
        """Any number of the response."""
        return None if self.reading == "any" else self.model_copy(update={"reading": "any"})

    def cases(self) -> list[Case]:
        return builtin_cases(self.reading)
