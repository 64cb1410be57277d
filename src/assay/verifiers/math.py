"""The math verifier: a mathematical expression in a box, compared exactly with the answer."""

from __future__ import annotations

import functools
import importlib.util
import re
import unicodedata
from decimal import Decimal
from typing import ClassVar, Literal

from pydantic import Field

from assay.errors import ConfigError, DataError
from assay.host import current_host
from assay.types import Rollout, Score, Task
from assay.verifiers.cases import Case
from assay.verifiers.expression import (
    MAX_EXPRESSION,
    Comparison,
    clean,
    is_balanced,
    is_bomb,
    last_box,
    parse_answer,
    same,
    undecided,
)
from assay.verifiers.math_cases import math_cases
from assay.verifiers.pool import LimitExceededError, WorkerPool
from assay.verifiers.text import AnswerReader, is_cut_off, last_characters, normalise

_PLAIN_NUMBER = re.compile(r"-?(?:\d{1,30}|\d{1,3}(?:,\d{3}){1,9})(?:\.\d{1,30})?")
MAX_ANSWER = 20_000
"""Characters of an answer that is compared as text or as a number; longer ones are no answers."""


class Math(AnswerReader):
    """The answer in the last box must be the gold answer, as numbers, sets, tuples, intervals, matrices or symbols.

    What is read is the last balanced \\boxed{} or \\fbox{} after the reasoning block; text around it has no influence.
    Numbers are compared as exact fractions, other expressions by math-verify in worker processes with a hard limit on
    the wall clock: an expression that passes it twice, the second time on a fresh worker, has failed with reason
    "limit". Several alternatives are no answer to a question with one. The rules and their cases:
    docs/concepts/math-answers.md.
    """

    name: Literal["math"] = "math"
    is_cheap: ClassVar[bool] = True
    answer_form: Literal["box", "after", "bare"] = "box"
    """Where the answer stands. box: in the last box. after: after the last `marker`, to the end of its line, or in
    the last box there. bare: in the last box, or where there is none it is the whole response."""
    marker: str | None = Field(default=None, min_length=1, max_length=100)
    """Such as "####" or "Answer:"; for "after"."""
    timeout_seconds: float = Field(default=1.0, gt=0, le=600)
    """Of each of the two tries at an expression that is more than a number."""
    num_workers: int | None = Field(default=None, ge=1)
    """Worker processes; None for one a core. They start with the first expression that needs one."""

    def model_post_init(self, context: object) -> None:
        if (self.marker is not None) != (self.answer_form == "after"):
            what = "is needed" if self.marker is None else "has no effect"
            raise ValueError(f"marker {what} with answer_form {self.answer_form!r}")

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        gold = gold_answer(task)
        found, reason = self._find(rollout)
        if found is None:
            return Score.failed(reason)
        evidence = found[:80]
        if not found.strip():
            return Score.failed("empty")
        if len(found) > MAX_ANSWER:
            return Score.failed("too long", evidence=evidence)
        if not found.isprintable() and any(
            unicodedata.category(character) in ("Cc", "Cs") for character in found if character not in "\t\n\r"
        ):
            return Score.failed("unreadable", evidence=evidence)
        verdict = _plainly(gold, found.strip()) or same(parse_answer(gold), parse_answer(found), undecided)
        if verdict == "unknown":
            if len(found) > MAX_EXPRESSION:
                return Score.failed("too long", evidence=evidence)
            if is_bomb(clean(found)):
                return Score.failed("limit", evidence=evidence)
            try:
                verdict = await _pool(self.timeout_seconds, self.num_workers).acall({"gold": gold, "response": found})
            except LimitExceededError:
                return Score.failed("limit", evidence=evidence)
            if verdict == "unreadable":
                return Score.failed("unreadable", evidence=evidence)
        return Score.solved(evidence=evidence) if verdict == "same" else Score.failed("wrong", evidence=evidence)

    def cases(self) -> list[Case]:
        return math_cases(self.marker)

    def gold_response(self, task: Task) -> str:
        answer = gold_answer(task)
        return {"box": f"\\boxed{{{answer}}}", "after": f"{self.marker} {answer}", "bare": answer}[self.answer_form]

    def _find(self, rollout: Rollout) -> tuple[str | None, str]:
        """The answer, or None and why there is none."""
        text = normalise(last_characters(self.answer_text(rollout), MAX_ANSWER))
        cut_off = is_cut_off(rollout)
        if self.answer_form != "after":
            content, left_open = last_box(text)
            if left_open and (cut_off or content is None):
                return None, "cut off" if cut_off else "no answer"
            if content is not None or self.answer_form == "box":
                return content, "no answer"
            return (None, "cut off") if cut_off else (text, "") if is_balanced(text) else (None, "unreadable")
        _, marker, after = text.rpartition(normalise(self.marker or ""))
        if not marker:
            return None, "no answer"
        line, newline, _ = after.lstrip().partition("\n")
        if cut_off and not newline:
            return None, "cut off"
        if not is_balanced(line):
            return None, "unreadable"
        content, _ = last_box(line)
        return line if content is None else content, ""


def gold_answer(task: Task) -> str:
    """The gold answer, out of its box where it has one.

    Raises:
        DataError: it is empty, not a number ("nan", "inf"), or longer than any answer.
    """
    answer = _unboxed(task.answer)
    if (
        not answer
        or answer.lower().lstrip("+-") in ("nan", "inf", "infinity", "none", "null")
        or len(answer) > MAX_ANSWER
    ):
        raise DataError(
            f"the answer {task.answer[:80]!r} of task {task.task_id} is no answer to compare with; correct the task"
        )
    return answer


@functools.lru_cache(maxsize=65_536)
def _unboxed(answer: str) -> str:
    answer = normalise(answer).strip()
    boxed, _ = last_box(answer)
    return (answer if boxed is None else boxed).strip()


def _plainly(gold: str, found: str) -> Comparison | None:
    """The verdict where both are one text, or numbers written out without anything around them; None elsewhere."""
    if gold == found:
        return "same"
    if _PLAIN_NUMBER.fullmatch(gold) and _PLAIN_NUMBER.fullmatch(found):
        return "same" if Decimal(gold.replace(",", "")) == Decimal(found.replace(",", "")) else "different"
    return None


def _pool(timeout_seconds: float, num_workers: int | None) -> WorkerPool:
    key = ("math workers", timeout_seconds, num_workers)
    return current_host().hold(key, lambda: _open_pool(timeout_seconds, num_workers), WorkerPool.close)


def _open_pool(timeout_seconds: float, num_workers: int | None) -> WorkerPool:
    if importlib.util.find_spec("math_verify") is None:
        raise ConfigError(
            "the math verifier compares expressions with math-verify, which is not installed; "
            "install it with: pip install 'math-verify[antlr4_13_2]'"
        )
    return WorkerPool("assay.verifiers.math_worker:judge", num_workers=num_workers, limit_seconds=timeout_seconds)
