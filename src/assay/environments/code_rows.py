"""The base of environments made of programming tasks with unit tests, which the verifier `code` grades.

A task's tests and its reference solution are in its suite, which no model is shown; what a prompt shows of the tests
is an option. The reference in a fence is the demonstration for supervised fine-tuning.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from assay.environments.file_environment import FileEnvironment
from assay.errors import DataError
from assay.suite import Suite, read_suite
from assay.types import Message, Task
from assay.verifiers import Code, Verifier
from assay.verifiers.code import make_plan
from assay.verifiers.code.program import completed, defines


class CodeRows(FileEnvironment):
    """Rows whose tests are programs' tests."""

    instruction: str = "Answer with one Python code block that holds the whole program."
    """The last line of the prompt; empty for none."""
    system: str = ""
    """A system message before the prompt; empty for none."""

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        """The tests alone decide the reward: a program passes them or does not."""
        return {"strict": Code()}

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
        return Task(self.name, messages, suite.answer, complexity=self.dial(row, place), metadata=metadata, suite=suite)

    def dial(self, row: Mapping[str, Any], place: str) -> float | None:
        """The complexity of a row; None where the source states none."""
        return None


def human_eval_row(row: Mapping[str, Any], place: str) -> tuple[str, Suite]:
    """The question and the tests of a row of HumanEval's shape."""
    prompt, test = column(row, "prompt", str, place), row.get("test")
    if not isinstance(test, str) or not test.strip():
        raise DataError(
            f"{place} has no test; of EvalPlus's two forms, the one whose column `test` holds inputs and results "
            "is read"
        )
    data = {"prompt": prompt, "test": test, "entry_point": column(row, "entry_point", str, place).strip()}
    solution = row.get("canonical_solution")
    if isinstance(solution, str) and solution.strip():
        defined = defines(solution, data["entry_point"])
        data["reference"] = solution if defined else completed(prompt, solution.replace("\r\n", "\n"))[0]
    suite = read_suite(data, place)
    return f"Complete this function:\n```python\n{prompt.rstrip()}\n```", suite


def signature(reference: str, function: str) -> str:
    """The head of a function as its author wrote it: "f(a, b=1)"."""
    try:
        tree = ast.parse(reference)
    except (SyntaxError, ValueError):
        tree = ast.Module([], [])
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return f"{function}({ast.unparse(node.args)})"
    return f"{function}(...)"


def column(row: Mapping[str, Any], name: str, kind: type, place: str) -> Any:
    value = row.get(name)
    if not isinstance(value, kind) or not value:
        raise DataError(f"{place} has no {name}; it has: {', '.join(row)}")
    return value
