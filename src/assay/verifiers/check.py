"""check_verifier, check_gold and check_all_gold: hold a verifier to its protocol, and tasks to their verifier."""

from __future__ import annotations

import asyncio
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.errors import ContractError, DataError
from assay.types import Message, Score, Task, Verdict
from assay.verifiers.agreement import MeasuredJudge
from assay.verifiers.cases import BOMB, BOMB_SECONDS, CANARY, Case
from assay.verifiers.left_out import leave_out
from assay.verifiers.resources import close_verifiers
from assay.verifiers.score import score_rollout
from assay.verifiers.verifier import Verifier, as_rollout, verifiers_in

ERRORS = ("false accept", "false reject", "raised", "slow", "side effect")
"""The faults that one verdict may have."""
_AT_ONCE = 32
"""Gold answers that are checked together."""


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
        """Return the number of "cases", and of each kind of error, by category."""
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
        cases: those of `verifier.cases()` where none are given; give your own where answers are no numbers.
        slow_seconds: a verdict that takes longer, twice, is an error; of bombs one that takes longer than a second. The
            verifier is not interrupted.
        strict: raise where there is any error.

    Raises:
        ContractError: strict, and an error was found; the message is the report.
    """
    if cases is None:
        cases = verifier.cases()
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


async def check_gold(verifier: Verifier, tasks: Iterable[Task], *, leaves_out: bool = False) -> None:
    """Makes sure that the verifier accepts the gold answer of every task: a run does this before it starts.

    Where no answer is sure to be solved, the parts of a verifier are asked one by one.

    Args:
        leaves_out: leave out tasks whose reference program returns what no test can look at, instead of an error.

    Raises:
        DataError: a gold answer that its own verifier rejects, or that it needs and the task does not have.
        ConfigError: a function of TRL's signature that asks for a column that the task does not have.
        ContractError: a gold answer that the verifier fails to score.
    """
    for task in tasks:
        row = task.metadata.get("row")
        named = f"task {task.task_id} ({row})" if row else f"task {task.task_id}"
        try:
            # A judge that is no authority accepts and rejects nothing, and is not asked for nothing.
            response = None if isinstance(verifier, MeasuredJudge) else verifier.gold_response(task)
            score = None if response is None else await score_rollout(verifier, as_rollout(response, task), task)
        except DataError as error:
            if not task.gold_text:
                raise _no_answer(verifier, named) from error
            raise DataError(f"{row}: {error}" if row else str(error)) from error
        if score is None:
            for part in verifier.parts_for(task):
                await check_gold(part, [task], leaves_out=leaves_out)
        elif score.verdict is Verdict.NOT_MEASURED:
            raise ContractError(
                f"verifier {verifier.name!r} failed on the gold answer of {named} "
                f"({_short(task.prompt[-1].content if task.prompt else '')}): {score.reason}"
            )
        elif score.verdict is Verdict.FAILED:
            if leaves_out and score.reason.startswith("cannot cross"):
                leave_out(task.task_id)
                continue
            if not task.gold_text:
                raise _no_answer(verifier, named)
            unsure = (
                '; where no answer is sure to earn the reward, set gold_format = "" in its options'
                if "gold_format" in type(verifier).model_fields
                else ""
            )
            raise DataError(
                f"verifier {verifier.name!r} rejects the gold answer of {named}: prompt "
                f"{_short(task.prompt[-1].content if task.prompt else '')}, answer {_short(task.answer)}, shown as "
                f"{_short(response or '')}: {score.reason or 'wrong'}; correct the task, or use a verifier that reads "
                f"it{unsure}"
            )


async def check_all_gold(
    verifier: Verifier,
    tasks: Sequence[Task],
    *,
    seconds: float = math.inf,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Check the gold answers of any number of tasks like `check_gold`, but only with the parts of the verifier that
    need no time.

    Args:
        seconds: after which it stops.
        progress: called with tasks done, and tasks in all.

    Returns:
        How many tasks were checked; all of them where there was nobody to ask.
    """
    deadline = time.monotonic() + seconds
    done = 0 if any(each.is_cheap for each in verifiers_in(verifier)) else len(tasks)
    while done < len(tasks) and time.monotonic() < deadline:
        some = tasks[done : done + _AT_ONCE]
        await asyncio.gather(*(check_gold(each, [task]) for task in some for each in _cheap_for(verifier, task)))
        done += len(some)
        progress(done, len(tasks))
    return done


def _cheap_for(verifier: Verifier, task: Task) -> Iterator[Verifier]:
    """The verifier, or parts of it that judge the task, that need no program, no model and no function of somebody
    else's to be run."""
    if verifier.is_cheap:
        yield verifier
    for part in verifier.parts_for(task):
        yield from _cheap_for(part, task)


def _no_answer(verifier: Verifier, named: str) -> DataError:
    return DataError(
        f"{named} has no gold answer, and verifier {verifier.name!r} compares with one; name its column in "
        "environment.answer, or choose a verifier that needs none (trl, python, format, judge with show_gold = false), "
        "in [verifier]"
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
    # A number without a verdict accepts and rejects nothing.
    is_right = solved == case.accepted or not score.has_verdict
    error = "" if is_right else "false accept" if solved else "false reject"
    return CaseResult(case, error, detail, seconds)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
