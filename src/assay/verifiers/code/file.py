"""Tests that are a file: it runs in a sandbox of its own, where the candidate is a stub.

    the test's space             this process             the program's space
    candidate(3)   ---call--->   plain values   ---call--->   candidate(3)
    9              <--value---   plain values   <--value---   9

The test's verdict comes from the test's own space, which nothing of the program reaches but plain values and the names
of exceptions. A test that raises something other than AssertionError has failed where the candidate had answered
before, as `len(None)` has; before that, the test is at fault and nothing is measured. A test's space that ends or runs
out of time after an answer may have been brought to it by the answer: then the reference, where there is one, says
which of the two is at fault.
"""

from __future__ import annotations

from typing import Any

from assay.errors import VerifierError
from assay.sandbox import Limits, NotPlainError, Program, Reply, RunStatus, Sandbox, Session
from assay.verifiers.code.bounds import Bounds
from assay.verifiers.code.functions import ProgramFailedError, ProgramUnderTest, raised
from assay.verifiers.code.inside import TEST_HARNESS, TEST_NEXT, TEST_START
from assay.verifiers.code.plan import Plan
from assay.verifiers.code.verdict import ACCEPTED, TestResult, TestVerdict, wrong

TEST_LIMITS = Limits(cpu_seconds=30.0, wall_seconds=60.0, memory_bytes=1 << 30, output_bytes=64 << 20)
"""Of a test file's own space."""
MAX_CALLS = 100_000
"""Of the candidate, by one test file."""


class _TestFailedError(VerifierError):
    """The test's space is over, or answers what it should not."""


class _TestEndedError(Exception):
    """The test's space was over after the candidate had answered; says how."""


async def run_file(plan: Plan, source: str, programs: Sandbox, tests: Sandbox, bounds: Bounds) -> TestResult:
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


async def _run(plan: Plan, source: str, programs: Sandbox, tests: Sandbox, bounds: Bounds) -> TestResult:
    """The result of a test file.

    Raises:
        _TestEndedError: the test's space was over after the candidate had answered.
        VerifierError: a sandbox failed, or the test did.
    """
    async with (
        tests.open(Program(TEST_HARNESS), limits=TEST_LIMITS) as session,
        ProgramUnderTest(source, plan, programs, bounds) as program,
    ):
        last = None
        request = await _request(session, TEST_START, (list(plan.preambles), list(plan.functions), plan.test))
        for _ in range(MAX_CALLS):
            kind, *said = request
            if kind == "passed":
                if last is None:
                    # Tests nothing, or a helper of its own: no evidence that the program can do anything.
                    raise VerifierError("the test file never called the candidate")
                return ACCEPTED
            if kind == "failed" and last is None:
                raise VerifierError(f"the test file fails before it called the candidate: {said[0]}")
            if kind == "failed":
                return wrong(f"assertion failed {said[0]}".strip())
            if kind == "raised":
                if last is None:
                    raise VerifierError(f"the test file itself raises {said[0]}")
                return raised(last) if last.kind == "raised" else wrong(f"the test raised {said[0]}")
            name, arguments, keywords = said
            try:
                last = await program.call_back(name, arguments, keywords)
            except ProgramFailedError as failure:
                return failure.result
            try:
                request = await _request(session, TEST_NEXT, (_answer(last),))
            except _TestFailedError as over:
                raise _TestEndedError(str(over)) from None
            except NotPlainError as error:
                return wrong(f"returned a value that no test can look at: {error}")
    raise _TestEndedError(f"it called the candidate more than {MAX_CALLS} times")


def _answer(reply: Reply) -> list[Any]:
    if reply.kind == "raised":
        return ["raised", reply.type_name, reply.message, reply.is_builtin]
    value = reply.value
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[1], list):
        # The program has changed what answers for it: what it says is then a value like any other.
        return ["value", value, []]
    return ["value", *value]


async def _request(session: Session, name: str, arguments: tuple[Any, ...]) -> list[Any]:
    reply = await session.call(name, arguments)
    if reply.kind == "value" and isinstance(reply.value, list) and reply.value and isinstance(reply.value[0], str):
        return reply.value
    if reply.kind != "ended":
        raise _TestFailedError(f"the test file's sandbox answered {reply.kind} {reply.type_name} {reply.message[:200]}")
    run = await session.finish()
    if run.status is RunStatus.SANDBOX_FAILURE:
        raise VerifierError(f"the sandbox failed: {run.reason}")
    raise _TestFailedError(
        f"the test file ended: {run.status.value} {run.reason} {run.stderr[-200:].decode('utf-8', 'replace')}"
    )
