"""The units verifier: an answer in the form that its prompt asks for, compared by value."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from fractions import Fraction
from typing import Any, ClassVar, Literal

from assay.environments.units.calendar import WEEKDAYS
from assay.environments.units.topic import Form
from assay.errors import DataError
from assay.types import Rollout, Score, Task
from assay.verifiers.cases import Case
from assay.verifiers.text import AnswerReader, is_cut_off, last_characters, normalise
from assay.verifiers.verifier import Verifier

MAX_ANSWER = 200
"""Characters of an answer that is read whole."""

_NUMBER = r"-?(?:\d{1,3}(?:,\d{3}){1,5}|\d{1,18})(?:\.\d{1,18}|/\d{1,18})?"
_PATTERNS: dict[Form, re.Pattern[str]] = {
    "date": re.compile(r"(?<![\w.-])\d{4}-\d{2}-\d{2}(?![\w-])(?! \d{2}:)"),
    "moment": re.compile(r"(?<![\w.-])\d{4}-\d{2}-\d{2} \d{2}:\d{2}(?![\w:])"),
    "weekday": re.compile(rf"(?<!\w)(?:{'|'.join(WEEKDAYS)})(?!\w)", re.IGNORECASE),
    "number": re.compile(rf"(?<![\w.,/-]){_NUMBER}(?![\w/]|[.,]\d)"),
}
"""Form to what such an answer looks like, within other words."""


def _number(text: str) -> Fraction | None:
    above, _, below = text.replace(",", "").partition("/")
    return None if below and not int(below) else Fraction(above) / (int(below) if below else 1)


def _when(form: str) -> Callable[[str], datetime | None]:
    def read(text: str) -> datetime | None:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            return None

    return read


_READ: dict[Form, Callable[[str], Any]] = {
    "date": _when("%Y-%m-%d"),
    "moment": _when("%Y-%m-%d %H:%M"),
    "weekday": str.casefold,
    "number": _number,
}


class UnitsAnswer(AnswerReader):
    """The date, moment, weekday or number that a task of the environment `units` asks for.

    Numbers are compared as exact fractions: "1.50", "1.5" and "3/2" are the same, and 1.4999 is not. A date is read in
    the form YYYY-MM-DD only, since 03/04 is two dates.
    """

    name: Literal["units"] = "units"
    is_cheap: ClassVar[bool] = True
    reading: Literal["whole", "last"] = "whole"
    """whole: the response, after any reasoning block, is the answer and nothing else. last: the last of its form in the
    response is the answer."""

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        form = task.metadata.get("form")
        if form not in _PATTERNS:
            raise DataError(f"task {task.task_id} does not say the form of its answer; units scores its own tasks")
        if is_cut_off(rollout):
            return Score.failed("cut off")
        found = self._found(self.answer_text(rollout), form)
        value = None if found is None else _READ[form](found)
        if found is None or value is None:
            return Score.failed(f"no {form}")
        right = value == _READ[form](task.answer)
        return Score.solved(evidence=found) if right else Score.failed("wrong", evidence=found)

    def _found(self, text: str, form: Form) -> str | None:
        if self.reading == "last":
            return next(iter(reversed(_PATTERNS[form].findall(normalise(last_characters(text))))), None)
        if len(text) > MAX_ANSWER:
            return None
        said = normalise(text).strip()
        return said if _PATTERNS[form].fullmatch(said) else None

    def lenient(self) -> Verifier | None:
        return None if self.reading == "last" else self.model_copy(update={"reading": "last"})

    def cases(self) -> list[Case]:
        return []
