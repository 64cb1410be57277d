"""Domains of programming tasks with unit tests: MBPP and HumanEval. Verified by `code`.

A task's tests and its reference solution are in its answer, which no model is shown; what a prompt shows of the tests
is an option. The reference in a fence is the demonstration for supervised fine-tuning.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any, Literal

import pydantic

from assay.domains.file_domain import FileDomain
from assay.errors import DataError
from assay.types import Message, Split, Task
from assay.verifiers.code import Suite, make_plan, read_suite
from assay.verifiers.code.program import completed, defines

MBPP_SPLITS: tuple[tuple[range, Split], ...] = (
    (range(11, 511), "test"),
    (range(511, 601), "validation"),
)
"""Of MBPP's `task_id`, as its authors split it; all others are training tasks, their ten few-shot examples too."""


class CodeRows(FileDomain):
    """Rows whose tests are programs' tests."""

    instruction: str = "Answer with one Python code block that holds the whole program."
    """The last line of the prompt; empty for none."""
    system: str = ""
    """A system message before the prompt; empty for none."""

    @property
    def readings(self) -> tuple[str, ...]:
        """The verifiers that `assay eval` reads these tasks with."""
        return ("code",)

    def as_task(self, row: Mapping[str, Any], place: str, question: str, suite: Suite, **more: Any) -> Task:
        """A task with its tests. `more` goes into its metadata.

        Raises:
            DataError: a test is no Python; names `place`.
        """
        make_plan(suite, place)
        user = f"{question.rstrip()}\n\n{self.instruction}" if self.instruction else question
        messages = (Message("user", user),)
        if self.system:
            messages = (Message("system", self.system), *messages)
        metadata: dict[str, Any] = {"row": place.rpartition("/")[2], **more}
        if "task_id" in row:
            metadata["id"] = str(row["task_id"])
        if suite.reference:
            metadata["demonstration"] = f"```{suite.language or 'python'}\n{suite.reference.strip()}\n```"
        return Task(self.name, messages, suite.to_json(), self.dial(row, place), None, metadata)

    def dial(self, row: Mapping[str, Any], place: str) -> float | None:
        """The complexity of a row; None where the source states none."""
        return None


class MBPP(CodeRows):
    """MBPP (Austin et al. 2021, https://arxiv.org/abs/2108.07732): short functions, three asserts each.

    From a local file of the original form (text, code, test_list) or from the hub, split as its authors did: 374
    training tasks and their ten examples, 90 for validation, 500 tests. The sanitized form (prompt, code, test_list)
    and the one of HumanEval's shape (prompt, entry_point, test) are read too; those numbers make the same splits.
    """

    name: Literal["mbpp"] = "mbpp"  # pyright: ignore[reportIncompatibleVariableOverride]
    path: str = "hub:google-research-datasets/mbpp/full/train-00000-of-00001.parquet"
    shown: Literal["all", "one", "signature"] = "all"
    """What the prompt shows of the tests: all asserts, as the authors do; the first; or only the function's
    signature."""

    def make_task(self, row: Mapping[str, Any], place: str) -> Task:
        if "entry_point" in row:
            return self.as_task(row, place, *_human_eval(row, place))
        tests = _column(row, "test_list", list, place)
        text = row.get("text") or _column(row, "prompt", str, place)
        code = _column(row, "code", str, place).replace("\r\n", "\n")
        imports = "\n".join(row.get("test_imports") or ())
        setup = "\n".join(part for part in (str(row.get("test_setup_code") or ""), imports) if part.strip())
        data = {"tests": list(tests), "setup": setup.replace("\r\n", "\n"), "reference": code}
        suite = read_suite({key: value for key, value in data.items() if value}, place)
        return self.as_task(row, place, f"{str(text).strip()}\n{self._shown(suite, place)}", suite)

    def split_of(self, task: Task, key: str) -> Split:
        """By the number of the task where it has one."""
        number = re.search(r"\d+$", str(task.metadata.get("id", "")))
        if number is None:
            return super().split_of(task, key)
        for numbers, split in MBPP_SPLITS:
            if int(number[0]) in numbers:
                return split
        return "train"

    def _shown(self, suite: Suite, place: str) -> str:
        if self.shown == "signature":
            function = make_plan(suite, place).entry_point
            return f"The function is to be called as `{_signature(suite.reference, function)}`."
        asserts = [text.strip() for text in suite.tests[: 1 if self.shown == "one" else None]]
        what = "this test" if len(asserts) == 1 else "these tests"
        return f"Your code should pass {what}:\n```python\n" + "\n".join(asserts) + "\n```"


class HumanEval(CodeRows):
    """HumanEval (Chen et al. 2021, https://arxiv.org/abs/2107.03374): functions to complete from their docstring.

    From a local file of the original form, or of EvalPlus's (Liu et al. 2023, https://arxiv.org/abs/2305.01210), whose
    `test` holds more inputs. All 164 are test tasks: nothing is trained on them unless `test_only` is off.
    """

    name: Literal["humaneval"] = "humaneval"  # pyright: ignore[reportIncompatibleVariableOverride]
    path: str = "hub:openai/openai_humaneval/openai_humaneval/test-00000-of-00001.parquet"
    form: Literal["instruct", "complete"] = "instruct"
    """instruct: asks for the whole function. complete: the prompt is the code itself, for models that are not chat
    models."""
    test_only: bool = True

    @pydantic.model_validator(mode="after")
    def _check_form(self) -> HumanEval:
        if self.form == "complete" and "instruction" in self.model_fields_set and self.instruction:
            raise ValueError('instruction has no effect with form "complete": leave it out')
        return self

    def make_task(self, row: Mapping[str, Any], place: str) -> Task:
        question, suite = _human_eval(row, place)
        task = self.as_task(row, place, question, suite)
        if self.form == "instruct":
            return task
        messages = tuple(m for m in task.prompt if m.role == "system")
        return Task(task.domain, (*messages, Message("user", suite.prompt)), task.answer, metadata=task.metadata)

    def split_of(self, task: Task, key: str) -> Split:
        return "test" if self.test_only else super().split_of(task, key)


def _human_eval(row: Mapping[str, Any], place: str) -> tuple[str, Suite]:
    """The question and the tests of a row of HumanEval's shape."""
    prompt, test = _column(row, "prompt", str, place), row.get("test")
    if not isinstance(test, str) or not test.strip():
        raise DataError(
            f"{place} has no test; of EvalPlus's two forms, the one whose column `test` holds inputs and results "
            "is read"
        )
    data = {"prompt": prompt, "test": test, "entry_point": _column(row, "entry_point", str, place).strip()}
    solution = row.get("canonical_solution")
    if isinstance(solution, str) and solution.strip():
        defined = defines(solution, data["entry_point"])
        data["reference"] = solution if defined else completed(prompt, solution.replace("\r\n", "\n"))[0]
    suite = read_suite(data, place)
    return f"Complete this function:\n```python\n{prompt.rstrip()}\n```", suite


def _signature(reference: str, function: str) -> str:
    """The head of a function as its author wrote it: "f(a, b=1)"."""
    try:
        tree = ast.parse(reference)
    except (SyntaxError, ValueError):
        tree = ast.Module([], [])
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return f"{function}({ast.unparse(node.args)})"
    return f"{function}(...)"


def _column(row: Mapping[str, Any], name: str, kind: type, place: str) -> Any:
    value = row.get(name)
    if not isinstance(value, kind) or not value:
        raise DataError(f"{place} has no {name}; it has: {', '.join(row)}")
    return value
