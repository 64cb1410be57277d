"""The verdict of one test."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from assay.sandbox import ProgramRun, RunStatus


class TestVerdict(enum.StrEnum):
    """The verdict of one test of a program."""

    __test__ = False  # not a test of ours

    ACCEPTED = "accepted"
    WRONG_ANSWER = "wrong answer"
    RUNTIME_ERROR = "runtime error"
    TIME_LIMIT = "time limit"
    MEMORY_LIMIT = "memory limit"
    OUTPUT_LIMIT = "output limit"
    COMPILE_ERROR = "compile error"
    CANNOT_CROSS = "cannot cross"
    """It answered with an object that cannot be looked at where the test is: none of Python's own plain ones, and
    compared by its own `==` or operators."""
    SANDBOX_FAILURE = "sandbox failure"
    """Outside the program: the response is not measured."""


LIMITS = (TestVerdict.TIME_LIMIT, TestVerdict.MEMORY_LIMIT, TestVerdict.OUTPUT_LIMIT)
_OF_STATUS = {
    RunStatus.TIME_LIMIT: TestVerdict.TIME_LIMIT,
    RunStatus.MEMORY_LIMIT: TestVerdict.MEMORY_LIMIT,
    RunStatus.OUTPUT_LIMIT: TestVerdict.OUTPUT_LIMIT,
    RunStatus.COMPILE_ERROR: TestVerdict.COMPILE_ERROR,
    RunStatus.SANDBOX_FAILURE: TestVerdict.SANDBOX_FAILURE,
}


@dataclass(frozen=True, slots=True)
class TestResult:
    """The verdict of one test."""

    __test__ = False

    verdict: TestVerdict
    detail: str = ""
    """The observation, in a line."""
    value: float | None = None
    """Points, 0 to 1, where a checker gives them; None for 1 if accepted, else 0."""
    forged_type: bool = False
    """True where the program answered with something that only looks like a plain value."""

    @property
    def points(self) -> float:
        return float(self.verdict is TestVerdict.ACCEPTED) if self.value is None else self.value

    def to_dict(self) -> dict[str, Any]:
        return (
            {"verdict": self.verdict.value, "detail": self.detail} if self.detail else {"verdict": self.verdict.value}
        )


ACCEPTED = TestResult(TestVerdict.ACCEPTED)


def wrong(detail: str, **more: Any) -> TestResult:
    return TestResult(TestVerdict.WRONG_ANSWER, shortened(detail), **more)


def cannot_cross(detail: str, **more: Any) -> TestResult:
    return TestResult(TestVerdict.CANNOT_CROSS, shortened(detail), **more)


def ended(run: ProgramRun) -> TestResult:
    """The verdict of a run that did not come to its end, or ended before it answered."""
    verdict = _OF_STATUS.get(run.status, TestVerdict.RUNTIME_ERROR)
    said = run.stderr[-4096:].decode("utf-8", "replace").strip().splitlines()[-1:]
    detail = (run.status is RunStatus.RUNTIME_ERROR and " ".join(said)) or run.reason
    if run.status is RunStatus.FINISHED:
        detail = f"it ended by itself (exit code {run.exit_code}) before it answered"
    return TestResult(verdict, shortened(detail))


def shortened(text: str, most: int = 300) -> str:
    """One line of printable text."""
    text = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text[: 4 * most].split()))
    return text if len(text) <= most else f"{text[: most - 3]}..."


def shown(value: object, most: int = 120) -> str:
    """A plain value as text, however large it is."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 400:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, str | bytes | list | tuple) and len(value) > most:
        value = value[:most]
    try:
        return shortened(repr(value), most)
    except (ValueError, RecursionError):  # an integer too long for text somewhere in it
        return f"a {type(value).__name__}"
