"""The code verifier: the program of a response must pass the tests of its task, in a sandbox."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic

from assay.errors import VerifierError
from assay.host import current_host
from assay.sandbox import Limits, Sandbox
from assay.suite import Comparison, Language
from assay.types import Rollout, Score, Task
from assay.verifiers.cases import Case
from assay.verifiers.code.attack_cases import code_cases
from assay.verifiers.code.bounds import Bounds
from assay.verifiers.code.cases import run_cases
from assay.verifiers.code.file import run_file
from assay.verifiers.code.functions import run_checks
from assay.verifiers.code.plan import SuitePlan, plan_of, plan_of_assert
from assay.verifiers.code.prediction import find_value, gold_value
from assay.verifiers.code.program import find_program
from assay.verifiers.code.tally import CodeTally
from assay.verifiers.code.value_check import run_prediction
from assay.verifiers.code.verdict import TestResult, TestVerdict
from assay.verifiers.left_out import leave_out, left_out_tasks
from assay.verifiers.text import AnswerReader

Backend = Literal["auto", "bubblewrap", "unsafe"]
UNSAFE = "no sandbox"
"""The words that every result has that was made without a sandbox."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A score and the tests that it comes from."""

    score: Score
    results: tuple[TestResult, ...] = ()
    """In the order of the tests; fewer where it stopped at the first that failed."""


class Code(AnswerReader):
    """Runs the program of a response in a sandbox and compares, outside it, what it says with what it should.

    The tests are the task's suite (see `Suite`): cases from stdin to stdout, asserts, a test file, or calls. Expected
    values never enter the program's space. What the program is: docs/concepts/code.md, as the rules of comparison.

    A program that ends early, answers with an object that only looks like a value, passes a limit or prints a verdict
    of its own has failed; a sandbox, checker or test file that fails leaves the response not measured.
    """

    name: Literal["code"] = "code"
    score: Literal["all", "share"] = "all"
    """all: 1 where every test passes, else 0, and the first failure ends it. share: the share of tests passed, or of
    the points that a checker gives; solved only where all pass."""
    language: Language = "python"
    """The language of programs, where the task does not say."""
    comparison: Comparison = "tokens"
    """The comparison of outputs, where the task does not say: exact, tokens (words between white space) or floats
    (words, numbers within `tolerance`)."""
    tolerance: float = pydantic.Field(default=1e-6, ge=0, le=1)
    """For "floats": absolute, or relative to the expected number, whichever is larger."""
    seconds: float = pydantic.Field(default=4.0, gt=0, le=600)
    """CPU time of one test, and half of what it may take on the clock, where waiting for a processor does not count."""
    response_seconds: float = pydantic.Field(default=30.0, gt=0, le=3600)
    """Clock time of all tests of one response together; what is left then has passed its limit."""
    memory_mb: int = pydantic.Field(default=256, ge=16, le=1 << 16)
    """The limit of one test."""
    output_kb: int = pydantic.Field(default=1024, ge=1, le=1 << 20)
    """stdout, stderr and returned values of one test."""
    interpreter: str = ""
    """Path of the Python that runs programs and tests; empty for this one."""
    backend: Backend = "auto"
    """auto: the strongest that this host has, never none. unsafe: no isolation at all, and every reason says so; for
    programs that you would run yourself."""
    num_workers: int | None = pydantic.Field(default=None, ge=1)
    """Programs that run at one time; None for one a core. They start with the first score."""

    @functools.cached_property
    def tally(self) -> CodeTally:
        """The counts of what became of the programs that were verified in this process."""
        return CodeTally()

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        return (await self.judge(rollout, task)).score

    async def judge(self, rollout: Rollout, task: Task) -> Judgement:
        """The score, and what each test said.

        Raises:
            DataError: the task carries no tests.
            VerifierError: a sandbox, a checker or a test file failed.
            SandboxUnavailableError: this host cannot isolate.
        """
        plan = plan_of(task)
        language = plan.suite.language or self.language
        if plan.way == "prediction":
            source, reason = find_value(rollout, self.reasoning_tags)
        else:
            found = find_program(rollout, plan.suite, language, plan.entry_point, self.reasoning_tags)
            source, reason = found.source, found.reason
        if not source:
            self.tally.without_program()
            return Judgement(Score.failed(reason))
        results = await self._run(plan, source, language)
        if any(result.verdict is TestVerdict.SANDBOX_FAILURE for result in results):
            raise VerifierError("the sandbox failed")
        if (
            any(result.verdict is TestVerdict.CANNOT_CROSS for result in results)
            and source.strip() != plan.suite.reference.strip()
            and await self._reference_cannot_cross(plan, task)
        ):
            raise VerifierError(
                f"the reference of task {task.task_id} returns what no test can look at, so that no program can be "
                "judged; the task is left out"
            )
        self.tally.ran(results)
        return Judgement(self._score(results, plan), tuple(results))

    async def _reference_cannot_cross(self, plan: SuitePlan, task: Task) -> bool:
        """Return True where the task's own reference returns what cannot cross either, and leave the task out. Only the
        task decides that, and no response."""
        reference = plan.suite.reference
        if not reference.strip():
            return False
        if task.task_id not in left_out_tasks() and task.task_id not in self._crossing:
            results = await self._run(plan, reference, plan.suite.language or self.language)
            if all(result.verdict is not TestVerdict.CANNOT_CROSS for result in results):
                self._crossing.add(task.task_id)
                return False
            leave_out(task.task_id)
        return task.task_id in left_out_tasks()

    @functools.cached_property
    def _crossing(self) -> set[str]:
        """The tasks whose reference was run and can be judged."""
        return set()

    def cases(self) -> list[Case]:
        return code_cases()

    def counts(self) -> dict[str, float]:
        return dict(self.tally.counts)

    def gold_response(self, task: Task) -> str | None:
        """The reference solution in a fence; None where the task has none."""
        suite = plan_of(task).suite
        if suite.prediction is not None:
            return gold_value(suite.prediction, suite.entry_point)
        return suite.fenced_reference(self.language) or None

    async def close(self) -> None:
        """Ends the sandboxes; another score would start them again."""
        for role in ("programs", "tests"):
            current_host().release(self._sandbox_key(role))

    async def _run(self, plan: SuitePlan, source: str, language: Language) -> Sequence[TestResult]:
        suite, stop = plan.suite, self.score == "all"
        seconds = suite.seconds or self.seconds
        limits = Limits(
            cpu_seconds=seconds,
            wall_seconds=2 * seconds,
            memory_bytes=(suite.memory_mb or self.memory_mb) << 20,
            output_bytes=self.output_kb << 10,
        )
        bounds = Bounds(limits, self.response_seconds)
        programs = self._sandbox("programs")
        if plan.way == "prediction":
            return [await run_prediction(plan, source, programs, bounds)]
        if plan.way == "outside":
            tests = self._sandbox("tests")
            return await run_checks(
                plan,
                source,
                programs,
                bounds,
                stop_at_failure=stop,
                as_file=lambda check: run_file(plan_of_assert(plan, check), source, programs, tests, bounds),
            )
        if plan.way == "test sandbox":
            return [await run_file(plan, source, programs, self._sandbox("tests"), bounds)]
        return await run_cases(
            suite,
            source,
            language,
            programs,
            self._sandbox("tests"),
            bounds,
            comparison=suite.comparison or self.comparison,
            tolerance=self.tolerance if suite.tolerance is None else suite.tolerance,
            stop_at_failure=stop,
        )

    def _score(self, results: Sequence[TestResult], plan: SuitePlan) -> Score:
        failed = next((number for number, result in enumerate(results) if result.verdict is not _ACCEPTED), None)
        if failed is None:
            return Score.solved(reason=UNSAFE if self.backend == "unsafe" else "")
        worst = results[failed]
        reason = f"{worst.verdict.value} ({UNSAFE})" if self.backend == "unsafe" else worst.verdict.value
        value = math.fsum(result.points for result in results) / plan.num_tests if self.score == "share" else 0.0
        evidence = f"test {failed + 1} of {plan.num_tests}: {_test_text(plan, failed)}: {worst.detail}"
        return Score.failed(reason, value, evidence=evidence[:500])

    def _sandbox_key(self, role: str) -> tuple[Any, ...]:
        return ("sandbox", self.backend, self.num_workers, self.interpreter, role)

    def _sandbox(self, role: Literal["programs", "tests"]) -> Sandbox:
        """Shared by all verifiers with the same settings; those of tests are others than those of programs, so that a
        test that waits for its program never holds the place that the program waits for."""

        def start() -> Sandbox:
            interpreter = Path(self.interpreter).expanduser() if self.interpreter else None
            return Sandbox(self.backend, num_workers=self.num_workers, interpreter=interpreter)

        return current_host().hold(self._sandbox_key(role), start, Sandbox.close)


_ACCEPTED = TestVerdict.ACCEPTED


def _test_text(plan: SuitePlan, number: int) -> str:
    if plan.way == "outside":
        return plan.checks[number].text[:200]
    if plan.way == "cases":
        return f"input {plan.suite.cases[number].input[:100]!r}"
    return "the test file" if plan.way == "test sandbox" else "the value"
