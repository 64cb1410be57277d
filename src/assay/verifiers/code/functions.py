"""Tests that call a program's functions: inputs go in, plain values come out, everything else happens outside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from assay.errors import VerifierError
from assay.sandbox import CallReply, Program, RunStatus, Sandbox, Session
from assay.verifiers.code.asserts import Assert, Question
from assay.verifiers.code.bounds import Bounds
from assay.verifiers.code.harness import (
    BEGIN,
    CALL,
    CALL_ITEMS,
    CALL_TRUTH,
    EXCHANGE,
    EXPRESSION,
    RESUME,
    beside_program,
)
from assay.verifiers.code.plan import CallCheck, SuitePlan
from assay.verifiers.code.space import PROGRAM_MODULES, shipment
from assay.verifiers.code.verdict import ACCEPTED, TestResult, TestVerdict, cannot_cross, ended, shortened, shown, wrong

OUT_OF_TIME = TestResult(TestVerdict.TIME_LIMIT, "the tests before it used up the time of the response")


class ProgramFailedError(Exception):
    """The program gave no value that a test could look at."""

    def __init__(self, result: TestResult) -> None:
        super().__init__(result.detail)
        self.result = result


class ProgramUnderTest:
    """A program that is asked for values, one after the other; started at the first question, and again after its
    end."""

    def __init__(self, source: str, plan: SuitePlan, sandbox: Sandbox, bounds: Bounds) -> None:
        beside = beside_program(
            source,
            plan.setup,
            list(plan.expressions),
            imports=plan.imports,
            functions=plan.functions,
            exchanges=plan.way == "test sandbox",
        )
        self._program = Program(beside)
        self._plan, self._sandbox, self._bounds = plan, sandbox, bounds
        self._stack = AsyncExitStack()
        self._session: Session | None = None
        self._spent = 0.0
        self.num_values = 0
        """Values that it has given."""
        self.last: Any = None
        """The latest of them."""

    async def __aenter__(self) -> ProgramUnderTest:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()

    async def end(self) -> None:
        """Ends it; the next question starts it again."""
        self._session = None
        await self._stack.aclose()

    async def ask(self, question: Question) -> Any:
        """The value of a call.

        Raises:
            ProgramFailedError: it raised, returned what is no plain value, passed a limit or ended.
            VerifierError: the sandbox failed.
        """
        if question.expression:
            name, arguments = EXPRESSION, (self._plan.expressions[question.expression],)
        else:
            function = self._plan.entry_point if question.function == "candidate" else question.function
            name, arguments = (
                CALL_TRUTH if question.truth else CALL_ITEMS if question.listed else CALL,
                (function, list(question.arguments), dict(question.keywords or {})),
            )
        reply = await self.reply(name, arguments)
        if reply.kind == "raised":
            raise ProgramFailedError(raised(reply))
        self.last = reply.value
        return reply.value

    async def begin(self, facts: Mapping[str, Any]) -> None:
        """Makes it ready for a test file's questions. Raises as `ask`."""
        for compiled in (True, False):
            reply = await self.reply(BEGIN, (*shipment(PROGRAM_MODULES, compiled=compiled), dict(facts)))
            if reply.kind != "value":
                raise ProgramFailedError(raised(reply))
            if reply.value is True:
                return

    async def exchange(self, how: str, unit: Any) -> list[Any]:
        """The reply to a test file's question ("call"), or to its answer to the program's own ("resume"): a unit as
        `space.program_end` makes them, or what the program put in its place. Raises as `ask`."""
        reply = await self.reply(RESUME if how == "resume" else EXCHANGE, (unit,))
        if reply.kind != "value":
            raise ProgramFailedError(raised(reply))
        if not (isinstance(reply.value, list) and len(reply.value) == 5 and isinstance(reply.value[0], str)):
            raise ProgramFailedError(cannot_cross("an answer of no known form"))
        return reply.value

    async def reply(self, name: str, arguments: Sequence[Any]) -> CallReply:
        if self._bounds.is_spent:
            raise ProgramFailedError(OUT_OF_TIME)
        if self._session is None:
            limits = self._bounds.for_session(self._plan.num_tests)
            self._session = await self._stack.enter_async_context(self._sandbox.open(self._program, limits=limits))
            self._spent = 0.0
        before = self._session.wall_seconds
        reply = await self._session.call(name, arguments, seconds=self._bounds.limits.wall_seconds)
        self._spend(self._session.wall_seconds - before)
        if reply.kind == "ended":
            raise ProgramFailedError(await self._end(self._session))
        if reply.kind == "not_plain" and reply.type_name:
            raise ProgramFailedError(
                cannot_cross(f"returned {reply.type_name}, which is no plain value", forged_type=True)
            )
        if reply.kind == "not_plain":
            too_large = "too large" in reply.message
            detail = f"what it returned: {reply.message}"
            raise ProgramFailedError(
                TestResult(TestVerdict.OUTPUT_LIMIT, shortened(detail)) if too_large else cannot_cross(detail)
            )
        self.num_values += reply.kind == "value"
        return reply

    async def _end(self, session: Session) -> TestResult:
        run = await session.finish()
        # Loading, which no call has paid for.
        self._spend(max(0.0, min(run.wall_seconds, self._bounds.limits.wall_seconds) - self._spent))
        await self.end()
        if run.status is RunStatus.SANDBOX_FAILURE:
            raise VerifierError(f"the sandbox failed: {run.reason}")
        return ended(run)

    def _spend(self, seconds: float) -> None:
        self._spent += seconds
        self._bounds.spend(seconds)


def raised(reply: CallReply) -> TestResult:
    return TestResult(TestVerdict.RUNTIME_ERROR, shortened(f"{reply.type_name}: {reply.message}"))


async def run_checks(
    plan: SuitePlan,
    source: str,
    sandbox: Sandbox,
    bounds: Bounds,
    *,
    stop_at_failure: bool,
    as_file: Callable[[Assert], Awaitable[TestResult]],
) -> list[TestResult]:
    """The result of each check, up to the first that fails where only the verdict counts.

    Args:
        as_file: the result of an assert as a test file, where the program answers it with what is no plain value.

    Raises:
        VerifierError: the sandbox failed, or a check cannot be worked out whatever the program says.
    """
    results: list[TestResult] = []
    async with ProgramUnderTest(source, plan, sandbox, bounds) as program:
        for check in plan.checks:
            result = await _result(check, program)
            if result.verdict is TestVerdict.CANNOT_CROSS and isinstance(check, Assert):
                # Not while this holds a place among the programs that the other needs.
                await program.end()
                result = await as_file(check)
            results.append(result)
            if result.verdict is not TestVerdict.ACCEPTED and stop_at_failure:
                break
            if result.verdict is TestVerdict.COMPILE_ERROR:
                # It will not compile the next time either.
                results += [result] * (len(plan.checks) - len(results))
                break
    return results


async def _result(check: Assert | CallCheck, program: ProgramUnderTest) -> TestResult:
    before = program.num_values
    program.last = None
    try:
        if await check.holds(program.ask):
            return ACCEPTED
    except ProgramFailedError as failure:
        return failure.result
    except VerifierError:
        raise
    except Exception as error:
        # Python raises it in `assert abs(f(1) - 2) < 1e-6` too, where f(1) is None.
        if program.num_values == before:
            raise VerifierError(f"the test {check.text[:200]!r} itself raises {error!r:.200}") from None
        detail = f"got {shown(program.last)}: {type(error).__name__}: {str(error)[:100]}"
        # It may be plain here and more than that where it comes from: a defaultdict has every key.
        return cannot_cross(detail) if isinstance(error, KeyError | AttributeError) else wrong(detail)
    return wrong(f"got {shown(program.last)}")
