"""Tests that are a file: it runs in a sandbox of its own, where the program is a stand-in.

    the test's space             this process             the program's space
    candidate(3)   --question->  plain values  --question->   candidate(3)
    9              <--answer---  plain values  <--answer---   9

The two ends, `space.test_end` and `space.program_end`, make plain values of what crosses; this process passes them on.
The test's verdict comes from the test's own space, which nothing of the program reaches but plain values and
stand-ins. A test that raises something other than AssertionError has failed where the program had answered before, as
`len(None)` has; before that, the test is at fault and nothing is measured. A test's space that ends or runs out of time
after an answer may have been brought to it by the answer: then the reference, where there is one, says which of the two
is at fault.
"""

from __future__ import annotations

import asyncio
from typing import Any

from assay.errors import VerifierError
from assay.sandbox import CallReply, Limits, NotPlainError, Program, RunStatus, Sandbox, Session
from assay.verifiers.code.bounds import Bounds
from assay.verifiers.code.functions import ProgramFailedError, ProgramUnderTest
from assay.verifiers.code.harness import TEST_HARNESS, TEST_NEXT, TEST_START
from assay.verifiers.code.names import program_modules
from assay.verifiers.code.plan import SuitePlan
from assay.verifiers.code.space import TEST_MODULES, shipment
from assay.verifiers.code.verdict import ACCEPTED, TestResult, TestVerdict, cannot_cross, shortened, wrong

TEST_LIMITS = Limits(cpu_seconds=30.0, wall_seconds=60.0, memory_bytes=1 << 30, output_bytes=64 << 20)
"""The limits of a test file's own space."""
MAX_CALLS = 100_000
"""The largest number of calls of the candidate by one test file."""


class _TestFailedError(VerifierError):
    """The test's space is over, or answers what it should not."""


class _TestEndedError(Exception):
    """The test's space was over after the candidate had answered; says how."""


async def run_file(plan: SuitePlan, source: str, programs: Sandbox, tests: Sandbox, bounds: Bounds) -> TestResult:
    """The result of a test file.

    Args:
        programs: where the program runs.
        tests: where the test runs; another one, so that tests that wait for programs never hold what programs wait for.

    Raises:
        VerifierError: a sandbox failed, or the test did.
    """
    limits, seconds = bounds.limits, bounds.seconds
    try:
        return await _run(plan, source, programs, tests, bounds)
    except _TestEndedError as over:
        reference = plan.suite.reference
        if reference:
            try:
                result = await _run(plan, reference, programs, tests, Bounds(limits, seconds))
            except _TestEndedError:
                result = None
            if result is None or result.verdict is not TestVerdict.ACCEPTED:
                raise VerifierError(f"the test file fails with the reference too: {over}") from None
        return wrong(f"the test came to no end with what it returned: {over}")


async def _run(plan: SuitePlan, source: str, programs: Sandbox, tests: Sandbox, bounds: Bounds) -> TestResult:
    """The result of a test file.

    Raises:
        _TestEndedError: the test's space was over after the program had answered.
        VerifierError: a sandbox failed, or the test did.
    """
    async with (
        tests.open(Program(TEST_HARNESS), limits=TEST_LIMITS) as session,
        ProgramUnderTest(source, plan, programs, bounds) as program,
    ):
        last: list[Any] | None = None
        begun, request = await asyncio.gather(program.begin(plan.facts), _begin(session, plan), return_exceptions=True)
        if isinstance(begun, ProgramFailedError):
            return begun.result
        if isinstance(begun, BaseException):
            raise begun
        if isinstance(request, BaseException):
            raise request
        for _ in range(MAX_CALLS):
            kind, said = request
            if kind not in ("call", "resume"):
                return _verdict(kind, said, last)
            try:
                unit = await program.exchange(kind, said)
            except ProgramFailedError as failure:
                return failure.result
            last = unit if kind == "resume" or said[4] else last
            try:
                request = await _request(session, TEST_NEXT, (unit,))
            except _TestFailedError as over:
                if last is None:
                    raise
                raise _TestEndedError(str(over)) from None
            except NotPlainError as error:
                return cannot_cross(f"returned a value that no test can look at: {error}")
    raise _TestEndedError(f"it asked the program more than {MAX_CALLS} times")


def _verdict(kind: str, said: str, last: list[Any] | None) -> TestResult:
    """Return the verdict of a test's end.

    Args:
        last: the program's latest answer; None where the test never looked at it.

    Raises:
        VerifierError: the test is at fault.
    """
    if kind == "cannot cross":
        return cannot_cross(said, forged_type="its own" in said)
    if last is None:
        if kind == "passed":
            # Tests nothing, or a helper of its own: no evidence that the program can do anything.
            raise VerifierError("the test file never called the candidate")
        if kind == "failed":
            raise VerifierError(f"the test file fails before it called the candidate: {said}")
        raise VerifierError(f"the test file itself raises {said}")
    if kind == "passed":
        return ACCEPTED
    if kind == "failed":
        return wrong(f"assertion failed {said}".strip())
    if last[0] == "raised":
        return TestResult(TestVerdict.RUNTIME_ERROR, shortened(str(last[4])))
    return wrong(f"the test raised {said}")


async def _begin(session: Session, plan: SuitePlan) -> list[Any]:
    """The test's first request."""
    names = [*plan.functions, *plan.names]
    modules = program_modules(plan.test, plan.functions)
    rest = (plan.facts, list(plan.preambles), names, len(plan.functions), plan.setup, plan.test, modules)
    for compiled in (True, False):
        reply = await session.call(TEST_START, (*shipment(TEST_MODULES, compiled=compiled), *rest))
        if reply.kind != "value" or reply.value is not None:
            break
    return await _requested(session, reply)


async def _request(session: Session, name: str, arguments: tuple[Any, ...]) -> list[Any]:
    return await _requested(session, await session.call(name, arguments))


async def _requested(session: Session, reply: CallReply) -> list[Any]:
    if reply.kind == "value" and isinstance(reply.value, list) and len(reply.value) == 2:
        return reply.value
    if reply.kind != "ended":
        raise _TestFailedError(f"the test file's sandbox answered {reply.kind} {reply.type_name} {reply.message[:200]}")
    run = await session.finish()
    if run.status is RunStatus.SANDBOX_FAILURE:
        raise VerifierError(f"the sandbox failed: {run.reason}")
    raise _TestFailedError(
        f"the test file ended: {run.status.value} {run.reason} {run.stderr[-200:].decode('utf-8', 'replace')}"
    )
