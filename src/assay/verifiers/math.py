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
from assay.verifiers.math_cases import math_cases
from assay.verifiers.mathematics import notation
from assay.verifiers.mathematics.bounds import is_bomb
from assay.verifiers.mathematics.boxes import boxed_answer, is_balanced
from assay.verifiers.mathematics.comparison import AnswerComparer, Tolerance
from assay.verifiers.mathematics.labels import letter_of, without_label
from assay.verifiers.mathematics.node import MAX_EXPRESSION, Comparison, Node
from assay.verifiers.mathematics.prose import prose_answer, without_emphasis
from assay.verifiers.mathematics.reader import last_side, read_answer
from assay.verifiers.mathematics.tokens import tidy
from assay.verifiers.pool import LimitExceededError, WorkerPool
from assay.verifiers.text import AnswerReader, is_cut_off, last_characters, normalise

_PLAIN_NUMBER = re.compile(r"-?(?:\d{1,30}|[1-9]\d{0,2}(?:,\d{3}){1,9})(?:\.\d{1,30})?")
MAX_ANSWER = 20_000
"""Characters of an answer that is compared as text or as a number; longer ones are no answers."""


_ESCAPED_TWICE = re.compile(
    r"(?<!\\)\\\\(?=(?:[dt]?frac|left|right|boxed|fbox|sqrt|leq?|geq?|neq?|pi|text|mathrm|circ|infty|cup|cdot|times|quad|theta)"
    r"(?![a-zA-Z]))"
)
"""Commands behind two backslashes, as JSON that was escaped twice has them."""
_OVERLINED = re.compile("(?:[0-9]\u0305)+")
_SENTENCES = re.compile(r"[.!?]\s+[A-Z(\\$]|\n\s*\n")
MAX_GOLD_WORDS = 30
"""Words of a gold answer without a box; what has more is a solution."""


class Math(AnswerReader):
    """The answer in the last box must be the gold answer, as numbers, sets, tuples, intervals, matrices or symbols.

    What is read is the last balanced \\boxed{} or \\fbox{} after the reasoning block, with the boxes that it is
    joined to by a comma, "and" or "or"; text around it has no influence. Numbers are compared as exact fractions,
    other expressions by sympy in worker processes with a hard limit on the wall clock: an expression that passes it
    twice, the second time on a fresh worker, has failed with reason "limit". Several alternatives are no answer to a
    question with one. The rules and their cases: docs/concepts/math-answers.md.
    """

    name: Literal["math"] = "math"
    is_cheap: ClassVar[bool] = True
    answer_form: Literal["box", "after", "bare", "prose"] = "box"
    """Place of the answer. box: in the last box. after: after the last `marker`, to the end of its line, or in the last
    box there. bare: in the last box, or where there is none it is the whole response. prose: in the last box, else
    after a stated form ("The answer is 34."), else the last expression of the last sentence that has one."""
    marker: str | None = Field(default=None, min_length=1, max_length=100)
    """Such as "####" or "Answer:"; for "after"."""
    relative_tolerance: float = Field(default=0.0, ge=0.0, le=0.5, allow_inf_nan=False)
    """Largest difference from the gold number, as a share of it, that still counts as equal."""
    decimals: int | None = Field(default=None, ge=0, le=30)
    """Decimals to which the gold numbers were rounded: an answer that rounds to one counts as equal."""
    timeout_seconds: float = Field(default=1.0, gt=0, le=600)
    """Seconds for each of the two tries at an expression that is more than a number."""
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
        verdict, reason = await self._compare(gold, found)
        if verdict != "same" and (labelled := without_label(found)) is not None:
            # "(C) 12" is C, and it is 12.
            letter, rest = labelled
            if letter and (wanted := letter_of(gold)) is not None:
                verdict = "same" if letter == wanted else verdict
            else:
                verdict, reason = await self._compare(gold, rest)
        return Score.solved(evidence=evidence) if verdict == "same" else Score.failed(reason, evidence=evidence)

    async def _compare(self, gold: str, found: str) -> tuple[Comparison, str]:
        """The verdict, and the reason where it is not "same"."""
        tolerance = Tolerance(self.relative_tolerance, self.decimals)
        verdict = _plainly(gold, found.strip(), tolerance)
        if verdict is None:
            mine, theirs = _read_gold(gold), read_answer(found)
            is_statement = theirs.kind == "equation" and not theirs.text
            if self.answer_form == "prose" and is_statement and (mine.kind != "equation" or mine.text):
                # "37 + 45 = 82": a sentence ends with what was worked out.
                found = last_side(found)
                theirs = read_answer(found)
            verdict = AnswerComparer(tolerance=tolerance).same(mine, theirs)
            if verdict == "different" and any(sign in text for sign in notation.HEAVY for text in (gold, found)):
                verdict = "unknown"
        if verdict != "unknown":
            return verdict, "wrong"
        if len(found) > MAX_EXPRESSION:
            return "different", "too long"
        if is_bomb(tidy(found)):
            return "different", "limit"
        arguments = {"gold": gold, "response": found}
        if not tolerance.is_exact:
            arguments |= {"relative_tolerance": self.relative_tolerance, "decimals": self.decimals}
        try:
            judged = await _pool(self.timeout_seconds, self.num_workers).acall(arguments)
        except LimitExceededError:
            return "different", "limit"
        return ("same", "") if judged == "same" else ("different", "wrong" if judged == "different" else judged)

    def cases(self) -> list[Case]:
        return math_cases(self.marker)

    def gold_response(self, task: Task) -> str:
        answer = gold_answer(task)
        if self.answer_form == "after":
            return f"{self.marker} {answer}"
        return answer if self.answer_form == "bare" else f"\\boxed{{{answer}}}"

    def _find(self, rollout: Rollout) -> tuple[str | None, str]:
        """The answer, or None and why there is none."""
        text = _normalised(last_characters(self.answer_text(rollout), MAX_ANSWER))
        cut_off = is_cut_off(rollout)
        if self.answer_form == "after":
            return self._find_after(text, cut_off)
        content, left_open = boxed_answer(text)
        if left_open and (cut_off or content is None):
            return None, "cut off" if cut_off else "no answer"
        if content is not None or self.answer_form == "box":
            return content, "no answer"
        if self.answer_form == "bare":
            return (None, "cut off") if cut_off else (text, "") if is_balanced(text) else (None, "unreadable")
        said = prose_answer(text)
        if said is None:
            return None, "no answer"
        if cut_off and said[1]:
            return None, "cut off"
        return said[0], ""

    def _find_after(self, text: str, cut_off: bool) -> tuple[str | None, str]:
        """Return what follows the last marker: the rest of its line, or the formula on the lines below it."""
        sought = normalise(self.marker or "")
        text = text if "*" in sought or "_" in sought else without_emphasis(text)
        _, marker, after = text.rpartition(sought)
        if not marker:
            return None, "no answer"
        after = after.lstrip(" \t\n*")
        line, is_whole = _display(after)
        if cut_off and not is_whole:
            return None, "cut off"
        if not is_balanced(line):
            return None, "unreadable"
        content, _ = boxed_answer(line)
        return line.strip("*` ") if content is None else content, ""


def _display(after: str) -> tuple[str, bool]:
    """The first line, or the formula that begins there, over all of its lines; and whether it is whole."""
    for opening, closing in (("$$", "$$"), ("\\[", "\\]")):
        if after.startswith(opening):
            inside, closed, _ = after[len(opening) :].partition(closing)
            if closed and "\n\n" not in inside.strip():
                return inside, True
    line, newline, _ = after.partition("\n")
    return line, bool(newline)


def gold_answer(task: Task) -> str:
    """The gold answer, out of its box where it has one, or from behind "####" as GSM8K writes it.

    Raises:
        DataError: it is empty, no number ("nan", "inf"), longer than any answer, or a solution without an answer that
            can be told.
    """
    answer = _unboxed(task.answer)
    if (
        answer is None
        or not answer
        or answer.lower().lstrip("+-") in ("nan", "inf", "infinity", "none", "null")
        or len(answer) > MAX_ANSWER
    ):
        why = "is a solution whose answer is in no box" if answer is None else "is no answer to compare with"
        raise DataError(f"the answer {task.answer[:80]!r} of task {task.task_id} {why}; correct the task")
    return answer


@functools.lru_cache(maxsize=65_536)
def _unboxed(answer: str) -> str | None:
    """The answer that a gold text names; None for a solution that names none."""
    answer = _normalised(answer).strip()
    if "\\boxed" in answer or "\\fbox" in answer:
        # TeX boxes one digit of \boxed 42; who writes a gold answer so means the number.
        answer = re.sub(r"(\\(?:boxed|fbox))\s*(\d[\d.]*\d)", r"\1{\2}", answer)
        boxed, _ = boxed_answer(answer)
        return None if boxed is None else boxed.strip()
    _, marker, after = answer.rpartition("####")
    if marker:
        return after.strip().partition("\n")[0].strip() or None
    if len(answer.split()) > MAX_GOLD_WORDS and _SENTENCES.search(answer) and "\\begin" not in answer:
        return None
    return answer


@functools.lru_cache(maxsize=8_192)
def _read_gold(gold: str) -> Node:
    return read_answer(gold)


def _normalised(text: str) -> str:
    if "\\\\" in text and "\\begin" not in text:
        text = _ESCAPED_TWICE.sub(r"\\", text)
    if "\u0305" in text:
        text = _OVERLINED.sub(lambda match: f"\\overline{{{match.group().replace(chr(0x305), '')}}}", text)
    return normalise(text)


def _plainly(gold: str, found: str, tolerance: Tolerance) -> Comparison | None:
    """The verdict where both are one text, or numbers written out without anything around them; None elsewhere."""
    if gold == found:
        return "same"
    if tolerance.is_exact and _PLAIN_NUMBER.fullmatch(gold) and _PLAIN_NUMBER.fullmatch(found):
        return "same" if Decimal(gold.replace(",", "")) == Decimal(found.replace(",", "")) else "different"
    return None


def _pool(timeout_seconds: float, num_workers: int | None) -> WorkerPool:
    key = ("math workers", timeout_seconds, num_workers)
    return current_host().hold(key, lambda: _open_pool(timeout_seconds, num_workers), WorkerPool.close)


def _open_pool(timeout_seconds: float, num_workers: int | None) -> WorkerPool:
    if importlib.util.find_spec("math_verify") is None:
        raise ConfigError(
            "the math verifier needs sympy and math-verify, which are not installed; "
            "install them with: pip install 'math-verify[antlr4_13_2]'"
        )
    return WorkerPool("assay.verifiers.math_worker:judge", num_workers=num_workers, limit_seconds=timeout_seconds)
