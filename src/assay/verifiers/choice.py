"""The choice verifier: one letter of a multiple-choice question."""

from __future__ import annotations

import re
from typing import ClassVar, Literal

from pydantic import Field

from assay.errors import DataError
from assay.types import Rollout, Score, Task
from assay.verifiers.cases import Case
from assay.verifiers.mathematics.boxes import last_box
from assay.verifiers.shape_cases import choice_cases
from assay.verifiers.text import AnswerReader, is_cut_off, last_characters, normalise

_STATED = re.compile(
    r"(?:(?i:answer|choice|(?:correct|right|best) option)[*_]*(?: is ?:?| would be| ?[:=])|答案(?:是|为)? ?:?)[*_]* ?"
    r"(?i:option |choice )?(?:\\\(|\$|[*_(\[])*(?:([A-Z])|(?<=[*_(\[])([a-z]))[*_]*"
    r"(?:\\\)|\$|[*_)\]])*(?= ?(?:[.!,;:。\n]|$))"
    r"(?![*_]* ?(?:[,;/]|or\b|and\b) ?(?:or |and )?[*_(\[]*[A-Z](?![A-Za-z]))"
)
_ALONE = re.compile(r"[*_(\[\s]*([A-Z])[*_)\].:\s]*", re.IGNORECASE)
_LOOKS = re.compile(
    r"\\(?:text(?:bf|rm|it|sf|tt)?|math(?:rm|bf|sf|tt|it)|boldsymbol|bm|mbox|operatorname)(?![a-zA-Z])"
    r"|\\(?:left|right|bf|rm|sf|it|tt|large|Large|displaystyle)(?![a-zA-Z])|\\[,;:!> ]|\\q?quad(?![a-zA-Z])|[{}$~]"
)
_ANNOUNCED = re.compile(r"^[*_\s]*(?:option|choice|answer)\s*:?\s+", re.IGNORECASE)
_LABELLED = re.compile(
    r"[*_\s]*(?:[*_]*[(\[]([A-Za-z])[)\]][*_]*|([A-Z])[*_]*[.:)](?=\s|[*_]))[*_.:]*\s*(.*)",
    re.IGNORECASE | re.DOTALL,
)
_OTHER_LABEL = re.compile(
    r"(?:^|[\s,;/&(*])(?:(?i:and|or)\s+)?[(\[]?([A-Z])[)\].:](?=\s|$|[\\,;*])"
    r"|\b(?i:or|and) [(\[]?[A-Z]\b|^[,;/&]\s*[(\[]?[A-Z]\b"
)


def _spaced(text: str) -> str:
    """The text with one space, or one line end, for each run of white space."""
    return "\n".join(" ".join(line.split()) for line in text.splitlines() if line.strip())


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
        text = _spaced(normalise(last_characters(self.answer_text(rollout))))
        content, left_open = last_box(text)
        if content is not None and not left_open:
            letter = self._boxed(content)
        else:
            stated = _STATED.findall(text)
            letter = "".join(stated[-1]).upper() if stated else self._letter(text)
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
        """The letter in a box: alone, or as the label before the text of its option: (E) 12, E. 12, E: a score."""
        plain = _ANNOUNCED.sub("", " ".join(_LOOKS.sub(" ", content).split()))
        letter = self._letter(plain)
        labelled = _LABELLED.fullmatch(plain) if letter is None else None
        if labelled is None or self._letter(labelled[3]) or _OTHER_LABEL.search(labelled[3]):
            return letter
        return self._letter(labelled[1] or labelled[2])

    def _letter(self, text: str) -> str | None:
        match = _ALONE.fullmatch(text)
        return match.group(1).upper() if match and match.group(1).upper() in self.options else None
