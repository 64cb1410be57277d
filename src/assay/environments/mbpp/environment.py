"""MBPP as an environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from assay.config import FileText
from assay.environments.code_rows import CodeRows, column, human_eval_row, signature
from assay.suite import Suite, read_suite
from assay.types import Split, Task
from assay.verifiers.code import make_plan

MBPP_SPLITS: tuple[tuple[range, Split], ...] = (
    (range(11, 511), "test"),
    (range(511, 601), "validation"),
)
"""The split of each MBPP `task_id`, as its authors chose it; all others are training tasks, their ten few-shot
examples too."""


class MBPP(CodeRows):
    """MBPP (Austin et al. 2021, https://arxiv.org/abs/2108.07732): short functions, three asserts each.

    From a local file of the original form (text, code, test_list) or from the hub, split as its authors did: 374
    training tasks and their ten examples, 90 for validation, 500 tests. The sanitized form (prompt, code, test_list)
    and the one of HumanEval's shape (prompt, entry_point, test) are read too; those numbers make the same splits.
    """

    name: Literal["mbpp"] = "mbpp"
    path: FileText = "hub:google-research-datasets/mbpp/full/train-00000-of-00001.parquet"
    shown: Literal["all", "one", "signature"] = "all"
    """The tests that the prompt shows: all asserts, as the authors do; the first one; or only the function's
    signature."""

    def make_task(self, row: Mapping[str, Any], place: str) -> Task:
        if "entry_point" in row:
            return self.as_task(row, place, *human_eval_row(row, place))
        tests = column(row, "test_list", list, place)
        text = row.get("text") or column(row, "prompt", str, place)
        code = column(row, "code", str, place).replace("\r\n", "\n")
        imports = "\n".join(row.get("test_imports") or ())
        setup = "\n".join(part for part in (str(row.get("test_setup_code") or ""), imports) if part.strip())
        data = {"tests": list(tests), "setup": setup.replace("\r\n", "\n"), "reference": code}
        suite = read_suite({key: value for key, value in data.items() if value}, place)
        return self.as_task(row, place, f"{str(text).strip()}\n{self._shown(suite, place)}", suite)

    def split_of(self, task: Task, key: str) -> Split:
        """Return the split of the task's number, where it has one; else the one that its content decides."""
        number = re.search(r"\d+$", str(task.metadata.get("id", "")))
        if number is None or self.test_only:
            return super().split_of(task, key)
        for numbers, split in MBPP_SPLITS:
            if int(number[0]) in numbers:
                return split
        return "train"

    def _shown(self, suite: Suite, place: str) -> str:
        if self.shown == "signature":
            function = make_plan(suite, place).entry_point
            return f"The function is to be called as `{signature(suite.reference, function)}`."
        asserts = [text.strip() for text in suite.tests[: 1 if self.shown == "one" else None]]
        what = "this test" if len(asserts) == 1 else "these tests"
        return f"Your code should pass {what}:\n```python\n" + "\n".join(asserts) + "\n```"
