"""CRUXEval: what does this function return, and what must it be given. Verified by `code`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from assay.config import FileText
from assay.environments.code_rows import CodeRows
from assay.errors import DataError
from assay.suite import read_suite
from assay.types import Task


class CRUXEval(CodeRows):
    """CRUXEval (Gu et al. 2024, https://arxiv.org/abs/2401.03065): 800 short functions, an input and an output each.

    From a local file of the original form (code, input, output) or from the hub. All are test tasks unless `test_only`
    is off.
    """

    name: Literal["cruxeval"] = "cruxeval"
    path: FileText = "hub:cruxeval-org/cruxeval/test.jsonl"
    predict: Literal["output", "input"] = "output"
    """output: what the function returns for the input, by comparison of literals. input: some input that makes the
    function return the output; the function is run on it in the sandbox."""
    instruction: str = ""
    test_only: bool | None = True

    def make_task(self, row: Mapping[str, Any], place: str) -> Task:
        missing = [name for name in ("code", "input", "output") if not isinstance(row.get(name), str)]
        if missing:
            raise DataError(f"{place} has no {missing[0]}; it has: {', '.join(row)}")
        code, given, output = row["code"].strip(), row["input"].strip(), row["output"].strip()
        suite = read_suite(
            {
                "entry_point": "f",
                "prediction": {"of": self.predict, "code": code, "input": given, "output": output},
            },
            place,
        )
        shown = f"assert f({given}) == ??" if self.predict == "output" else f"assert f(??) == {output}"
        question = (
            f"```python\n{code}\n\n{shown}\n```\nWhat must stand in place of ?? for the assertion to hold? Give it as "
            "a Python literal"
            + ("" if self.predict == "output" else " (several arguments with commas between them)")
            + ", on the last line, between [ANSWER] and [/ANSWER]."
        )
        return self.as_task(row, place, question, suite)
