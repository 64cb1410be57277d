"""check_verifier and check_gold: hold a verifier to its protocol, and tasks to their verifier."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from assay.errors import ContractError, DataError
from assay.types import Message, Score, Task, Verdict
from assay.verifiers.cases import BOMB, BOMB_SECONDS, CANARY, Case, builtin_cases
from assay.verifiers.code.attack_cases import code_cases
from assay.verifiers.math_cases import math_cases
from assay.verifiers.resources import close_verifiers
from assay.verifiers.score import score_rollout
from assay.verifiers.shape_cases import choice_cases, format_cases
from assay.verifiers.verifier import Verifier, as_rollout

ERRORS = ("false accept", "false reject", "raised", "slow", "side effect")
"""What may be wrong with one verdict."""


@dataclass(frozen=True)
class CaseResult:
    """One case and what the verifier made of it."""

    case: Case
    error: str
    """One of `ERRORS`; empty where all is well."""
    detail: str
    seconds: float


@dataclass(frozen=True)
class VerifierReport:
    """Every case with its result; prints as a table by category."""

    verifier: str
    results: tuple[CaseResult, ...]

    @property
    def errors(self) -> tuple[CaseResult, ...]:
        return tuple(result for result in self.results if result.error)

    def counts(self) -> dict[str, dict[str, int]]:
        """By category: the number of "cases", and of each kind of error."""
        table: dict[str, dict[str, int]] = {}
        for result in self.results:
            row = table.setdefault(result.case.category, dict.fromkeys(("cases", *ERRORS), 0))
            row["cases"] += 1
            if result.error:
                row[result.error] += 1
        return table

    def __str__(self) -> str:
        counts = self.counts()
        rows = [(category, *map(str, row.values())) for category, row in counts.items()]
        totals = [sum(row[column] for row in counts.values()) for column in ("cases", *ERRORS)]
        table = [(f"verifier {self.verifier}", "cases", *ERRORS), *rows, ("all", *map(str, totals))]
        widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
        lines = [
            "  ".join(
                [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
            )
            for row in table
        ]
        lines += [
            f"{result.error}: {result.case.case_id}: gold {_short(result.case.gold)}, response "
            f"{_short(result.case.response)}: {result.detail}"
            for result in self.errors
        ]
        return "\n".join(lines)


async def check_verifier(
    verifier: Verifier, cases: Iterable[Case] | None = None, *, slow_seconds: float = 1.0, strict: bool = False
) -> VerifierReport:
    """Scores every case, and reports errors by category.

    Args:
        cases: those of `cases_of` where none are given; give your own where answers are something else than numbers.
        slow_seconds: a verdict that takes longer, twice, is an error; of bombs one that takes longer than a second. The
            verifier is not interrupted.
        strict: raise where there is any error.

    Raises:
        ContractError: strict, and an error was found; the message is the report.
    """
    if cases is None:
        cases = cases_of(verifier)
    with tempfile.TemporaryDirectory() as folder:
        canary = Path(folder) / "canary"
        try:
            results = [await _check_case(verifier, case, canary, slow_seconds) for case in cases]
        finally:
            await close_verifiers([verifier])
    report = VerifierReport(verifier.name, tuple(results))
    if strict and report.errors:
        raise ContractError(str(report))
    return report


async def check_gold(verifier: Verifier, tasks: Iterable[Task]) -> None:
    """Makes sure that the verifier accepts the gold answer of every task: a run does this before it starts.

    Raises:
        DataError: a gold answer that its own verifier rejects.
        ContractError: a gold answer that the verifier fails to score.
    """
    for task in tasks:
        response = verifier.gold_response(task)
        if response is None:
            continue
        score = await score_rollout(verifier, as_rollout(response, task), task)
        if score.verdict is Verdict.NOT_MEASURED:
            raise ContractError(
                f"verifier {verifier.name!r} failed on the gold answer of task {task.task_id} "
                f"({_short(task.prompt[-1].content if task.prompt else '')}): {score.reason}"
            )
        if score.verdict is Verdict.FAILED:
            raise DataError(
                f"verifier {verifier.name!r} rejects the gold answer of task {task.task_id}: prompt "
                f"{_short(task.prompt[-1].content if task.prompt else '')}, answer {_short(task.answer)}, shown as "
                f"{_short(response)}: {score.reason or 'wrong'}; correct the task, or use a verifier that reads it"
            )


async def _check_case(verifier: Verifier, case: Case, canary: Path, slow_seconds: float) -> CaseResult:
    response = case.response.replace(CANARY, str(canary))
    task = Task(domain="check", prompt=(Message("user", "?"),), answer=case.gold)
    rollout = as_rollout(response, task, finish_reason=case.finish_reason)
    most = min(slow_seconds, BOMB_SECONDS) if case.category == BOMB else slow_seconds
    score: Score | None = None
    raised, seconds = "", math.inf
    for _ in range(2):
        if seconds <= most:
            break
        # The second time: the machine may have been busy.
        started = time.perf_counter()
        score, raised = None, ""
        try:
            score = await verifier(rollout, task)
        except Exception as error:
            raised = f"{type(error).__name__}: {error}"[:200]
        seconds = time.perf_counter() - started
    if canary.exists():
        canary.unlink()
        return CaseResult(case, "side effect", "the response was executed: it created a file", seconds)
    if not isinstance(score, Score):
        return CaseResult(case, "raised", raised or f"returned {score!r}", seconds)
    detail = f"{score.verdict.value} {score.reason}".strip()
    if seconds > most:
        return CaseResult(case, "slow", f"{seconds:.1f} s", seconds)
    if score.verdict is Verdict.NOT_MEASURED:
        return CaseResult(case, "raised", detail, seconds)
    solved = score.verdict is Verdict.SOLVED
    error = "" if solved == case.accepted else "false accept" if solved else "false reject"
    return CaseResult(case, error, detail, seconds)


def cases_of(verifier: Verifier) -> list[Case]:
    """The built-in cases of a verifier: math, code, choice and format have their own; for "exact" and "numeric" numbers
    as their reading judges them, for any other verifier those numbers that leave no choice."""
    if verifier.name == "math":
        return math_cases(getattr(verifier, "marker", None))
    if verifier.name == "code":
        return code_cases()
    if verifier.name == "choice":
        return choice_cases()
    if verifier.name == "format":
        return format_cases(getattr(verifier, "shape", "box"))
    reading = "exact" if verifier.name == "exact" else getattr(verifier, "reading", "")
    return builtin_cases(reading if verifier.name in ("exact", "numeric") else "")


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
