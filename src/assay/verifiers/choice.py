"""The choice verifier: one letter of a multiple-choice question."""

from __future__ import annotations

import re
from typing import ClassVar, Literal

from pydantic import Field

from assay.errors import DataError
from assay.types import Rollout, Score, Task
from assay.verifiers.cases import Case
from assay.verifiers.expression import clean, last_box
from assay.verifiers.shape_cases import choice_cases
from assay.verifiers.text import AnswerReader, is_cut_off, last_characters, normalise

_STATED = re.compile(
    r"(?i:answer|choice)(?: is ?:?| would be| ?[:=]) ?(?i:option |choice )?[*_(\[]*([A-Z]|(?<=[*_(\[])[a-z])[*_)\]]*"
    r"(?= ?(?:[.!,;:]|$))(?! ?[,;/] ?(?:or |and )?[*_(\[]*[A-Z](?![A-Za-z]))"
)
_LABEL = re.compile(r"[*_\s]*(?:[(\[]([A-Z])[)\]][*_.:]*|([A-Z])[*_]*[).:][*_]*)(?:\s|\\ ?|~|(?=\d))+(.*)", re.DOTALL)
"""A letter with the option's text behind it: "(E) 12", "E. 12", "E: twelve"."""
_ALONE = re.compile(r"[*_(\[\s]*([A-Z])[*_)\].:\s]*", re.IGNORECASE)


_STYLED = re.compile(r"\\(?:text|mathrm|textbf|mathbf|textrm|bf|rm)\s*\{([^{}]*)\}")


class Choice(AnswerReader):
    """The last letter that is given as the answer: in a box, after "answer is" and the like, or as the whole response.

    Two different letters in the last box, or a letter beyond the options, are no answer. A letter that merely occurs in
    a sentence is none either.
    """

    name: Literal["choice"] = "choice"
    is_cheap: ClassVar[bool] = True
    options: str = Field(default="ABCDE", pattern=r"^[A-Z]{2,26}$")
    """The letters that may be chosen."""

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        gold = self._letter(task.answer)
        if gold is None:
            raise DataError(
                f"the answer {task.answer[:80]!r} of task {task.task_id} is none of {', '.join(self.options)}; "
                "correct the task, or set options"
            )
        # White space first: the patterns must not meet long runs of it.
        text = " ".join(normalise(last_characters(self.answer_text(rollout))).split())
        content, left_open = last_box(text)
        if content is not None and not left_open:
            letter = self._boxed(content)
        else:
            stated = _STATED.findall(text)
            letter = stated[-1].upper() if stated else self._letter(text)
            if letter is not None and letter not in self.options:
                letter = None
        if letter is None:
            return Score.failed("no answer")
        if is_cut_off(rollout) and content is None and text.rstrip().endswith((letter, letter.lower())):
            # "The answer is A" may go on to "A mistake would be ...".
            return Score.failed("cut off", evidence=letter)
        return Score.solved(evidence=letter) if letter == gold else Score.failed("wrong", evidence=letter)

    def cases(self) -> list[Case]:
        return choice_cases()

    def gold_response(self, task: Task) -> str:
        return f"\\boxed{{{task.answer}}}"

    def _boxed(self, content: str) -> str | None:
        """The letter of a box: alone, or with the text of its option behind it."""
        plain = _STYLED.sub(r"\1", content)
        letter = self._letter(clean(plain))
        label = _LABEL.fullmatch(plain) if letter is None else None
        if label is None:
            return letter
        letter, text = label[1] or label[2], label[3]
        another = self._letter(text) or re.search(r"[(\[][A-Z][)\]]|(?:^|(?:or|and|,|;|/) ?)[A-Z](?:[.:)]|$)", text)
        return letter if letter in self.options and text.strip() and not another else None

    def _letter(self, text: str) -> str | None:
        match = _ALONE.fullmatch(text)
        return match.group(1).upper() if match and match.group(1).upper() in self.options else None
