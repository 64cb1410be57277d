"""Links: how a question comes to need the answer of another one, without a word of it being understood.

The first whole number of a question is replaced by X, and X is said to be the last answer plus or minus what makes it
that number. So the question still is the one that its environment's gold answer and verifier are for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from assay.types import Task

_ANSWER = re.compile(r"-?\d{1,15}|-?[1-9]\d{0,2}(?:,\d{3}){1,4}")
_NUMBER = re.compile(r"""(?:(?<=[\s("])|^)\d{1,9}(?=[?!,;:.)"](?!\d)|\s|$)""", re.MULTILINE)
"""A whole number that stands alone: no part of a word, a decimal, a fraction, a time or a price."""
_GIVEN = re.compile(r"X is (?:the last answer|the answer to question \d+)(?: (plus|minus) (\d+))?\.")


@dataclass(frozen=True)
class Link:
    """A question of another environment that can be chained."""

    task: Task
    answer: int
    number: int
    """The first whole number of its text."""

    @property
    def text(self) -> str:
        return self.task.prompt[-1].content

    def after(self, previous: int, named: str) -> str:
        """The question in which X, which the previous answer leads to, stands for its first number.

        Args:
            previous: the answer of the question before.
            named: that answer in words.
        """
        offset = self.number - previous
        change = f" {'plus' if offset > 0 else 'minus'} {abs(offset)}" if offset else ""
        found = first_number(self.text)
        assert found is not None, "a link has a number"
        return f"X is {named}{change}. {self.text[: found.start()]}X{self.text[found.end() :]}"


def first_number(text: str) -> re.Match[str] | None:
    """Return where a text first has a whole number that stands alone and numbers no line of a list."""
    for found in _NUMBER.finditer(text):
        begins_line = found.start() == 0 or text[found.start() - 1] == "\n"
        if not (begins_line and text[found.end() : found.end() + 1] in (".", ")")):
            return found
    return None


def link_of(task: Task) -> Link | str:
    """Return the link that a task can be, or why it can be none."""
    if task.suite is not None:
        return "its answer is a program"
    if not _ANSWER.fullmatch(task.answer.strip()):
        return f"its answer {task.answer[:40]!r} is no whole number"
    found = first_number(task.prompt[-1].content)
    if found is None:
        return f"its question {task.prompt[-1].content[:60]!r} has no whole number that an answer could stand for"
    if re.search(r"\bX\b", task.prompt[-1].content):
        return f"its question {task.prompt[-1].content[:60]!r} has an X of its own"
    return Link(task, int(task.answer.strip().replace(",", "")), int(found[0]))


def restored(text: str, previous: int) -> str:
    """Return the question that a chained one stands for, given the previous answer; as it is where it names no X."""
    given = _GIVEN.search(text)
    if given is None:
        return text
    change = int(given[2] or 0) * (-1 if given[1] == "minus" else 1)
    return re.sub(r"\bX\b", str(previous + change), text[given.end() :].strip())
