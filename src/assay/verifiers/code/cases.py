"""Tests from stdin to stdout: a comparison, a checker program or an interactor says whether an output is right.

A checker or interactor gets the paths of input, output and expected output (an interactor: of input and expected
output) and gives its verdict by its exit code, as testlib's do: 0 accepted, 1 or 2 wrong, 7 points, where stderr
begins with "points 0.5". Any other end, its own limits included, is a failure of the checker, as in Python an uncaught
exception is. It is then tried on what is known to be right: where it copes with that, the response has failed, which
might have chosen it; where it does not, nothing is measured.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from assay.errors import VerifierError
from assay.sandbox import COMPILE_LIMITS, Compiled, Limits, Program, ProgramRun, RunStatus, Sandbox
from assay.suite import Comparison, InputOutputCase, Language, Referee, Suite
from assay.verifiers.code.bounds import Bounds
from assay.verifiers.code.comparison import same_output
from assay.verifiers.code.functions import OUT_OF_TIME
from assay.verifiers.code.harness import CHECKER
from assay.verifiers.code.verdict import ACCEPTED, TestResult, TestVerdict, ended, shortened, shown, wrong

REFEREE_LIMITS = Limits(cpu_seconds=30.0, wall_seconds=60.0, memory_bytes=1 << 30, file_bytes=128 << 20)
"""The limits of a checker or interactor."""
_POINTS = re.compile(r"\s*points\s+(\d{1,3}(?:\.\d{0,30})?(?:[eE]-?\d{1,3})?)(?:\s|$)")
_ROUNDING = 1e-9
_LISTENER = "import sys\nsys.stdin.read()\n"
_LISTENER_LIMITS = Limits(cpu_seconds=5.0, wall_seconds=2.0)


async def run_cases(
    suite: Suite,
    source: str,
    language: Language,
    programs: Sandbox,
    referees: Sandbox,
    bounds: Bounds,
    *,
    comparison: Comparison,
    tolerance: float,
    stop_at_failure: bool,
) -> list[TestResult]:
    """The result of each case, up to the first that fails where only the verdict counts.

    Raises:
        VerifierError: a sandbox failed, or a checker or interactor did.
    """
    program = await _ready(Program(source, language), programs)
    if isinstance(program, ProgramRun):
        return [_ended(program)] * (1 if stop_at_failure else len(suite.cases))
    referee = await _referee(suite, referees)
    reference = _Reference(suite.reference, language, programs, bounds.limits)
    results: list[TestResult] = []
    for case in suite.cases:
        if bounds.is_spent:
            result = OUT_OF_TIME
        elif referee is not None and suite.interactor is not None:
            result = await _interact(program, *referee, case, reference, referees, bounds)
        else:
            run = await programs.run(program, stdin=_bytes(case.input), limits=bounds.limits)
            bounds.spend(run.wall_seconds)
            if run.status is not RunStatus.FINISHED:
                result = _ended(run)
            elif referee is not None:
                result = await _check(*referee, case, run.stdout, reference, referees)
            elif same_output(_bytes(case.output), run.stdout, comparison, tolerance):
                result = ACCEPTED
            else:
                result = wrong(f"got {_text(run.stdout)}, expected {_text(_bytes(case.output))}")
        results.append(result)
        if result.verdict is not TestVerdict.ACCEPTED and stop_at_failure:
            break
        if result.verdict is TestVerdict.COMPILE_ERROR:
            results += [result] * (len(suite.cases) - len(results))
            break
    return results


async def _ready(program: Program, sandbox: Sandbox) -> Compiled | Program | ProgramRun:
    """Compiled where its language is compiled; a ProgramRun where that failed."""
    return await sandbox.compile(program, limits=COMPILE_LIMITS) if program.language == "cpp" else program


def _ended(run: ProgramRun) -> TestResult:
    if run.status is RunStatus.SANDBOX_FAILURE:
        raise VerifierError(f"the sandbox failed: {run.reason}")
    return ended(run)


class _RefereeFailedError(Exception):
    """A checker or interactor came to no verdict; says how it ended."""


async def _check(
    referee: Referee,
    ready: Compiled | Program,
    case: InputOutputCase,
    output: bytes,
    reference: _Reference,
    sandbox: Sandbox,
) -> TestResult:
    """Return what a checker says of an output. One that fails on it, and not on an output that is known to be right,
    has been brought to it by the output, which is then wrong."""
    try:
        return await _checked(referee, ready, case, output, sandbox)
    except _RefereeFailedError as failure:
        right = _bytes(case.output) if case.output.strip() else await reference.output(case)
        try:
            if right is None:
                raise failure
            await _checked(referee, ready, case, right, sandbox)
        except _RefereeFailedError:
            raise VerifierError(f"the checker failed ({failure})") from None
        return wrong(f"the checker fails on this output alone ({failure})")


async def _checked(
    referee: Referee, ready: Compiled | Program, case: InputOutputCase, output: bytes, sandbox: Sandbox
) -> TestResult:
    files = {"input.txt": _bytes(case.input), "output.txt": output, "expected.txt": _bytes(case.output)}
    return _verdict(await sandbox.run(_with_files(referee, ready, files), limits=REFEREE_LIMITS))


async def _interact(
    program: Compiled | Program,
    referee: Referee,
    ready: Compiled | Program,
    case: InputOutputCase,
    reference: _Reference,
    sandbox: Sandbox,
    bounds: Bounds,
) -> TestResult:
    """Return what an interactor says of its talk with a program. One that fails, and copes with the reference, or for
    want of one with a program that only listens, has been brought to it by the program."""
    run, judged = await _talk(program, referee, ready, case, sandbox, bounds.limits)
    bounds.spend(run.wall_seconds)
    limits = (RunStatus.TIME_LIMIT, RunStatus.MEMORY_LIMIT, RunStatus.OUTPUT_LIMIT)
    try:
        result = _verdict(judged)
    except _RefereeFailedError as failure:
        if run.status in limits:
            return ended(run)
        if not await reference.copes(case, referee, ready, sandbox):
            raise VerifierError(f"the interactor failed ({failure})") from None
        if run.status is not RunStatus.FINISHED:
            return ended(run)
        return wrong(f"the interactor fails with this program ({failure})")
    if judged.exit_code in (1, 2) or run.status is RunStatus.FINISHED:
        # The interactor has seen enough; what became of a program that nobody listens to any more says nothing.
        return result
    return ended(run)


async def _talk(
    program: Compiled | Program,
    referee: Referee,
    ready: Compiled | Program,
    case: InputOutputCase,
    sandbox: Sandbox,
    limits: Limits,
) -> tuple[ProgramRun, ProgramRun]:
    files = {"input.txt": _bytes(case.input), "expected.txt": _bytes(case.output)}
    run, judged = await sandbox.connect(
        program, _with_files(referee, ready, files), limits=limits, interactor_limits=REFEREE_LIMITS
    )
    if RunStatus.SANDBOX_FAILURE in (run.status, judged.status):
        raise VerifierError(f"the sandbox failed: {run.reason or judged.reason}")
    return run, judged


@dataclass(frozen=True, slots=True)
class _Reference:
    """The task's own program, which shows whether a checker or interactor works."""

    source: str
    language: Language
    sandbox: Sandbox
    limits: Limits

    async def output(self, case: InputOutputCase) -> bytes | None:
        """Return what the reference writes; None where there is no reference, or it fails."""
        program = await _ready(Program(self.source, self.language), self.sandbox) if self.source else None
        if program is None or isinstance(program, ProgramRun):
            return None
        run = await self.sandbox.run(program, stdin=_bytes(case.input), limits=self.limits)
        return run.stdout if run.status is RunStatus.FINISHED else None

    async def copes(self, case: InputOutputCase, referee: Referee, ready: Compiled | Program, sandbox: Sandbox) -> bool:
        """Return True where an interactor comes to a verdict with it, or waits for what a program that only listens
        will say."""
        if not self.source:
            run, judged = await _talk(Program(_LISTENER), referee, ready, case, sandbox, _LISTENER_LIMITS)
            if run.status is RunStatus.TIME_LIMIT:
                return True
        else:
            program = await _ready(Program(self.source, self.language), self.sandbox)
            if isinstance(program, ProgramRun):
                return False
            _, judged = await _talk(program, referee, ready, case, sandbox, self.limits)
        try:
            _verdict(judged)
        except _RefereeFailedError:
            return False
        return True


def _verdict(run: ProgramRun) -> TestResult:
    """Return the verdict of a checker's end, by testlib's exit codes.

    Raises:
        _RefereeFailedError: nothing.
        VerifierError: the sandbox failed.
    """
    if run.status is RunStatus.SANDBOX_FAILURE:
        raise VerifierError(f"the sandbox failed: {run.reason}")
    said = run.stderr.decode("utf-8", "replace") or run.stdout.decode("utf-8", "replace")
    in_time = run.status in (RunStatus.FINISHED, RunStatus.RUNTIME_ERROR)
    if in_time and run.exit_code == 0:
        return ACCEPTED
    if in_time and run.exit_code in (1, 2):
        return wrong(f"checker: {said}" if said.strip() else "the checker rejects it")
    points = _POINTS.match(said)
    if in_time and run.exit_code == 7 and points and float(points[1]) <= 1 + _ROUNDING:
        value = min(1.0, float(points[1]))
        return ACCEPTED if value >= 1 - _ROUNDING else TestResult(TestVerdict.WRONG_ANSWER, shortened(said), value)
    raise _RefereeFailedError(f"{run.status.value}, exit code {run.exit_code}: {shortened(said or run.reason)}")


_BINARY = "checker"


async def _referee(suite: Suite, sandbox: Sandbox) -> tuple[Referee, Compiled | Program] | None:
    """The checker or interactor of a suite, and the same ready to run."""
    referee = suite.checker or suite.interactor
    if referee is None:
        return None
    if referee.language == "cpp":
        ready = await sandbox.compile(Program(referee.source, "cpp"), limits=COMPILE_LIMITS)
        if isinstance(ready, ProgramRun):
            said = shortened(ready.stderr.decode("utf-8", "replace") or ready.reason)
            raise VerifierError(f"the checker does not compile: {said}")
        return referee, ready
    return referee, Program(referee.source)


def _with_files(referee: Referee, ready: Compiled | Program, files: dict[str, bytes]) -> Program:
    """The referee as a program that is handed the paths of these files as its arguments."""
    if isinstance(ready, Compiled):
        assert ready.binary is not None
        return Program("", "command", (f"./{_BINARY}", *files), {_BINARY: ready.binary, **files})
    source = CHECKER.format(arguments=[_BINARY, *files], path="checker.py")
    return Program(source, files={"checker.py": referee.source.encode("utf-8", "replace"), **files})


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(output: bytes) -> str:
    return shown(output[:200].decode("utf-8", "replace"), 100)
