"""Tests from stdin to stdout: a comparison, a checker program or an interactor says whether an output is right.

A checker or interactor gets the paths of input, output and expected output (an interactor: of input and expected
output) and gives its verdict by its exit code, as testlib's do: 0 accepted, 1 or 2 wrong, 7 points, where stderr
begins with "points 0.5". Any other end, its own limits included, is a failure of the checker, and nothing is measured.
In Python an uncaught exception is such a failure too.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

from assay.errors import VerifierError
from assay.sandbox import COMPILE_LIMITS, Compiled, Limits, Program, Run, RunStatus, Sandbox
from assay.verifiers.code.bounds import Bounds
from assay.verifiers.code.comparison import same_output
from assay.verifiers.code.functions import OUT_OF_TIME
from assay.verifiers.code.inside import CHECKER
from assay.verifiers.code.suite import Case, Comparison, Language, Referee, Suite
from assay.verifiers.code.verdict import ACCEPTED, TestResult, TestVerdict, ended, shortened, shown, wrong

REFEREE_LIMITS = Limits(cpu_seconds=30.0, wall_seconds=60.0, memory_bytes=1 << 30, file_bytes=128 << 20)
"""Of a checker or interactor."""
_POINTS = re.compile(r"\s*points\s+(\d{1,3}(?:\.\d{1,9})?)")


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
    if isinstance(program, Run):
        return [_ended(program)] * (1 if stop_at_failure else len(suite.cases))
    referee = await _referee(suite, referees)
    results: list[TestResult] = []
    for case in suite.cases:
        if bounds.is_spent:
            result = OUT_OF_TIME
        elif referee is not None and suite.interactor is not None:
            result = await _interact(program, referee, case, referees, bounds)
        else:
            run = await programs.run(program, stdin=_bytes(case.input), limits=bounds.limits)
            bounds.spend(run.wall_seconds)
            if run.status is not RunStatus.FINISHED:
                result = _ended(run)
            elif referee is not None:
                result = await _check(referee, case, run.stdout, referees)
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


async def _ready(program: Program, sandbox: Sandbox) -> Compiled | Program | Run:
    """Compiled where its language is compiled; a Run where that failed."""
    return await sandbox.compile(program, limits=COMPILE_LIMITS) if program.language == "cpp" else program


def _ended(run: Run) -> TestResult:
    if run.status is RunStatus.SANDBOX_FAILURE:
        raise VerifierError(f"the sandbox failed: {run.reason}")
    return ended(run)


async def _referee(suite: Suite, sandbox: Sandbox) -> Compiled | Program | None:
    referee = suite.checker or suite.interactor
    if referee is None:
        return None
    files = ("input.txt", "output.txt", "expected.txt") if suite.checker else ("input.txt", "expected.txt")
    ready = await _ready(_referee_program(referee, files), sandbox)
    if isinstance(ready, Run):
        raise VerifierError(f"the checker does not compile: {shortened(ready.stderr.decode('utf-8', 'replace'))}")
    return ready


async def _check(referee: Compiled | Program, case: Case, output: bytes, sandbox: Sandbox) -> TestResult:
    files = {"input.txt": _bytes(case.input), "output.txt": output, "expected.txt": _bytes(case.output)}
    return _verdict(await sandbox.run(_with_files(referee, files), limits=REFEREE_LIMITS))


async def _interact(
    program: Compiled | Program, referee: Compiled | Program, case: Case, sandbox: Sandbox, bounds: Bounds
) -> TestResult:
    files = {"input.txt": _bytes(case.input), "expected.txt": _bytes(case.output)}
    run, judged = await sandbox.connect(
        program, _with_files(referee, files), limits=bounds.limits, interactor_limits=REFEREE_LIMITS
    )
    bounds.spend(run.wall_seconds)
    if RunStatus.SANDBOX_FAILURE in (run.status, judged.status):
        raise VerifierError(f"the sandbox failed: {run.reason or judged.reason}")
    if judged.exit_code in (1, 2):
        # The interactor has seen enough; what became of a program that nobody listens to any more says nothing.
        return _verdict(judged)
    if run.status is not RunStatus.FINISHED:
        return ended(run)
    return _verdict(judged)


def _verdict(run: Run) -> TestResult:
    """What a checker's end says, by testlib's exit codes."""
    said = run.stderr.decode("utf-8", "replace") or run.stdout.decode("utf-8", "replace")
    in_time = run.status in (RunStatus.FINISHED, RunStatus.RUNTIME_ERROR)
    if in_time and run.exit_code == 0:
        return ACCEPTED
    if in_time and run.exit_code in (1, 2):
        return wrong(f"checker: {said}" if said.strip() else "the checker rejects it")
    points = _POINTS.match(said)
    if in_time and run.exit_code == 7 and points:
        value = min(1.0, float(points[1]))
        return ACCEPTED if math.isclose(value, 1.0) else TestResult(TestVerdict.WRONG_ANSWER, shortened(said), value)
    raise VerifierError(
        f"the checker failed ({run.status.value}, exit code {run.exit_code}): {shortened(said or run.reason)}"
    )


_MAIN = "assay_checker_main"
_CPP_START = f"#define main {_MAIN}\n#line 1\n"
_CPP_END = """
#undef main
int main() {{
    char arguments[{count}][{longest}] = {{{texts}}};
    char* pointers[] = {{{pointers}, nullptr}};
    return {name}({count}, pointers);
}}
"""


def _referee_program(referee: Referee, arguments: tuple[str, ...]) -> Program:
    """The referee as a program that is handed the paths of its files, in whatever its language has for that."""
    given = ("checker", *arguments)
    if referee.language == "python":
        source = CHECKER.format(arguments=list(given), path="checker.py")
        return Program(source, files={"checker.py": referee.source.encode("utf-8", "replace")})
    end = _CPP_END.format(
        count=len(given),
        longest=max(map(len, given)) + 1,
        texts=", ".join(f'"{text}"' for text in given),
        pointers=", ".join(f"arguments[{number}]" for number in range(len(given))),
        name=_MAIN,
    )
    return Program(f"{_CPP_START}{referee.source}{end}", "cpp")


def _with_files(referee: Compiled | Program, files: dict[str, bytes]) -> Compiled | Program:
    program = referee.program if isinstance(referee, Compiled) else referee
    program = replace(program, files={**program.files, **files})
    return Compiled(program, referee.binary) if isinstance(referee, Compiled) else program


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(output: bytes) -> str:
    return shown(output[:200].decode("utf-8", "replace"), 100)
