"""The plan for the tests of a task: which are worked out here, and which need a space of their own."""

from __future__ import annotations

import ast
import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from assay.errors import DataError
from assay.suite import Suite, read_suite
from assay.types import Task
from assay.verifiers.code.asserts import (
    Ask,
    Assert,
    NotUnderstoodError,
    Question,
    defined_names,
    imported_names,
    program_functions,
    read_asserts,
)
from assay.verifiers.code.comparison import close_values, is_floats, same_json
from assay.verifiers.code.harness import CALLS_PREAMBLE
from assay.verifiers.code.names import free_names, imports_in, prelude, shared_facts
from assay.verifiers.code.prediction import literal_value
from assay.verifiers.code.program import runnable

EVALPLUS_TOLERANCE = 1e-6

Way = Literal["cases", "outside", "test sandbox", "prediction"]
"""cases: the program runs from stdin to stdout. outside: its functions are called, and what they return is compared in
this process. test sandbox: the test file runs in a sandbox of its own. prediction: the response says a value."""


@dataclass(frozen=True, slots=True)
class CallCheck:
    """A call and what it must return."""

    question: Question
    expected: Any
    rule: Literal["json", "evalplus"]
    tolerance: float | None
    wrapped: bool = False

    @property
    def text(self) -> str:
        return f"{self.question.function}{self.question.arguments!r:.200}"

    async def holds(self, ask: Ask) -> bool:
        """Return True where it does. Raises what `ask` does."""
        value = await ask(self.question)
        if self.rule == "json":
            return same_json(self.expected, value, self.tolerance) or (
                self.wrapped
                and isinstance(self.expected, list | tuple)
                and len(self.expected) == 1
                and same_json(self.expected[0], value, self.tolerance)
            )
        tolerance = self.tolerance or (EVALPLUS_TOLERANCE if is_floats(self.expected) else 0.0)
        return self.expected == value or (tolerance > 0 and close_values(self.expected, value, tolerance))


@dataclass(frozen=True, slots=True)
class SuitePlan:
    """The tests of one task, read."""

    suite: Suite
    way: Way
    functions: tuple[str, ...] = ()
    """The program's, the one that is asked for first; empty for a program that is run as a whole."""
    checks: tuple[Assert | CallCheck, ...] = ()
    """For "outside"."""
    test: str = ""
    """For "test sandbox": the file."""
    preambles: tuple[str, ...] = ()
    """For "test sandbox": what runs before it there, without the program."""
    names: tuple[str, ...] = ()
    """For "test sandbox": names that the test uses and does not make, beside `functions`: the program may have them."""
    setup: str = ""
    """Runs beside the program, or for "test sandbox" before the test: it makes inputs of what the program defines."""
    expressions: dict[str, int] = field(default_factory=dict)
    """Calls with such inputs, by their text; each has a number."""

    @property
    def imports(self) -> tuple[str, ...]:
        """Return the text that programs take for granted: what the prompt that they go on from imports and defines, and
        in LeetCode's form the names that it has."""
        is_leetcode = self.suite.calls or "Solution" in self.functions
        return (*prelude(self.suite.prompt, self.functions), *(CALLS_PREAMBLE if is_leetcode else ()))

    @property
    def facts(self) -> dict[str, Any]:
        """For "test sandbox": what both ends of the exchange must know of the test, as plain values."""
        return shared_facts("\n".join((*self.preambles, self.setup, self.test)), self.suite.prompt)

    @property
    def entry_point(self) -> str:
        return self.functions[0] if self.functions else ""

    @property
    def num_tests(self) -> int:
        return len(self.suite.cases) or len(self.checks) or 1


# Parsing costs more than most runs; a task comes once for each of its rollouts.
_PLANS: dict[str, SuitePlan] = {}
_MAX_PLANS = 4096


def plan_of(task: Task) -> SuitePlan:
    """The tests of a task, read.

    Raises:
        DataError: it has none, or they are no Python.
    """
    plan = _PLANS.get(task.task_id)
    if plan is None:
        plan = make_plan(suite_of(task), f"task {task.task_id}")
        if len(_PLANS) >= _MAX_PLANS:
            _PLANS.clear()
        _PLANS[task.task_id] = plan
    return plan


def suite_of(task: Task) -> Suite:
    """The tests of a task. One that comes as text, from a row of a file or from a record, has them as JSON in its
    answer: only here is it known that the text is a suite.

    Raises:
        DataError: there are none, or something about them is wrong.
    """
    if task.suite is not None:
        return task.suite
    try:
        data = json.loads(task.answer)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise DataError(
            f"task {task.task_id} has no tests (its answer is {task.answer[:60]!r}); the code verifier needs an "
            "environment whose tasks have them, such as mbpp, humaneval or competition, or a file with the tests as "
            "JSON in its answer column"
        )
    return read_suite(data, f"task {task.task_id}")


def make_plan(suite: Suite, place: str) -> SuitePlan:
    """Return the plan for the tests of a task.

    Raises:
        DataError: they are no Python; names `place`.
    """
    if suite.cases:
        return SuitePlan(suite, "cases")
    if suite.prediction is not None:
        literal_value(suite.prediction.output, place)
        return SuitePlan(suite, "prediction", (suite.entry_point,))
    if suite.calls:
        checks = tuple(
            CallCheck(
                Question(suite.entry_point, call.arguments, call.keywords),
                call.expected,
                "json",
                suite.tolerance,
                call.wrapped,
            )
            for call in suite.calls
        )
        return SuitePlan(suite, "outside", (suite.entry_point,), checks)
    return _plan_file(suite, place) if suite.test else _plan_asserts(suite, place)


def _plan_asserts(suite: Suite, place: str) -> SuitePlan:
    trees = [_tree(text, f"{place}, test {number}") for number, text in enumerate(suite.tests, start=1)]
    whole = ast.Module([statement for tree in trees for statement in tree.body], [])
    setup = _tree(suite.setup, f"{place}, setup")
    functions = tuple(program_functions(whole, suite.entry_point, suite.reference, defined_names(suite.setup)))
    if not functions:
        raise DataError(f"{place}: its tests call no function; give entry_point")
    try:
        checks = read_asserts(whole.body, functions, _made(setup), _asked(suite, functions))
        if len(checks) != len(trees):
            raise NotUnderstoodError("an assert is missing")
    except NotUnderstoodError:
        return _file_plan(suite, functions, "\n".join(suite.tests), whole, place)
    expressions = {text: number for number, text in enumerate(dict.fromkeys(t for c in checks for t in c.expressions))}
    return SuitePlan(
        suite, "outside", functions, checks, setup=suite.setup if expressions else "", expressions=expressions
    )


def _plan_file(suite: Suite, place: str) -> SuitePlan:
    tree = _tree(suite.test, f"{place}, test")
    given = {name.id for name in ast.walk(tree) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)}
    given |= defined_names(suite.test) - {"check"} | defined_names(runnable(suite.prompt)) | defined_names(suite.setup)
    given |= defined_names(suite.reference) - defined_names(suite.reference, imports=False)
    for node in ast.walk(tree):
        given |= imported_names(node) if isinstance(node, ast.Import | ast.ImportFrom) else set()
    functions = tuple(program_functions(tree, suite.entry_point, "", given))
    checks: Sequence[Assert | CallCheck] = ()
    body = _checks(tree)
    if body is not None and not suite.setup.strip():
        with contextlib.suppress(NotUnderstoodError):
            checks = _evalplus(body, functions) or read_asserts(body.body, functions, asked=_asked(suite, functions))
    if checks:
        return SuitePlan(suite, "outside", functions, tuple(checks))
    return _file_plan(suite, functions, suite.test, tree, place)


def _file_plan(suite: Suite, functions: Sequence[str], test: str, tree: ast.Module, place: str) -> SuitePlan:
    """The plan of a test that runs in a space of its own, with what the prompt defines: that comes from the task."""
    setup = _tree(suite.setup, f"{place}, setup")
    names = free_names(ast.Module([*setup.body, *tree.body], []), functions)
    preambles = _preambles(suite, tree)
    return SuitePlan(suite, "test sandbox", tuple(functions), (), test, preambles, names, suite.setup)


def plan_of_assert(plan: SuitePlan, check: Assert) -> SuitePlan:
    """The plan of one assert as a test file of its own, for an answer that this process does not look at."""
    test = f"assert {check.text}"
    return _file_plan(plan.suite, plan.functions, test, _tree(test, "the test"), "the test")


def _asked(suite: Suite, functions: Sequence[str]) -> set[str]:
    """Return the functions that a program was asked for: the entry point, and what the reference defines."""
    return {*functions[:1], *(set(functions) & defined_names(suite.reference, imports=False))}


def _preambles(suite: Suite, test: ast.Module) -> tuple[str, ...]:
    used = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)}
    imports = "\n".join(imports_in(suite.reference, {*used, "*"}))
    return tuple(text for text in (imports, runnable(suite.prompt)) if text.strip())


def _checks(tree: ast.Module) -> ast.Module | None:
    """The body of check(candidate) as a module, where the file holds nothing else that does anything."""
    found = None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "check" and len(node.args.args) == 1:
            if found is not None or node.decorator_list or node.args.args[0].arg != "candidate":
                return None
            found = node
        elif not isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef) and not _is_plain(node):
            return None
    return None if found is None else ast.Module(found.body, [])


def _is_plain(node: ast.stmt) -> bool:
    """Return True where a statement only names a literal, as METADATA does, or says nothing."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant | ast.Name)
    if not isinstance(node, ast.Assign):
        return isinstance(node, ast.Pass)
    try:
        ast.literal_eval(node.value)
    except (ValueError, TypeError, RecursionError):
        return False
    return True


def _evalplus(body: ast.Module, functions: Sequence[str]) -> tuple[CallCheck, ...]:
    """The calls of EvalPlus's form: `inputs` and `results` as literals, and a loop that compares them; else nothing."""
    values: dict[str, Any] = {}
    for node in body.body[:-1]:
        if not (isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)):
            return ()
        try:
            values[node.targets[0].id] = ast.literal_eval(node.value)
        except (ValueError, TypeError, RecursionError):
            return ()
    loop = body.body[-1] if body.body else None
    if values.keys() != {"inputs", "results"} or not isinstance(loop, ast.For) or len(loop.body) != 1:
        return ()
    tolerance = _loop_tolerance(loop)
    inputs, results = values["inputs"], values["results"]
    if tolerance is None or len(inputs) != len(results):
        return ()
    return tuple(
        CallCheck(Question(functions[0], tuple(arguments)), expected, "evalplus", tolerance)
        for arguments, expected in zip(inputs, results, strict=True)
    )


def _loop_tolerance(loop: ast.For) -> float | None:
    """The tolerance of `for i, (inp, exp) in enumerate(zip(inputs, results)): assertion(candidate(*inp), exp, 1e-6)`;
    None where the loop is another one."""
    if ast.unparse(loop.iter) != "enumerate(zip(inputs, results))":
        return None
    said = ast.unparse(loop.body[0])
    start = "assertion(candidate(*inp), exp, "
    if said == "assert candidate(*inp) == exp":
        return 0.0
    if not (said.startswith(start) and said.endswith(")")):
        return None
    try:
        return float(said[len(start) : -1])
    except ValueError:
        return None


def _made(tree: ast.Module) -> set[str]:
    """Names that setup code makes of more than literals."""
    made = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and not _is_plain(node)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return made | {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}


def _tree(source: str, place: str) -> ast.Module:
    try:
        return ast.parse(source.replace("\r\n", "\n"))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"{place} is no Python: {error}; correct the row, or leave it out") from None
