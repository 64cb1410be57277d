"""Rows of `assay verify code`: which fields hold the tests of a response."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from assay.errors import DataError

if TYPE_CHECKING:
    from assay.suite import Suite
    from assay.types import Rollout, Score, Task
    from assay.verifiers import Code

Verdicts = list[dict[str, Any]]
"""The outcome of each test of a response, as JSON."""

FIELDS = (
    *("prompt", "test", "entry_point", "tests", "setup", "cases", "calls", "checker", "interactor"),
    *("comparison", "tolerance", "seconds", "memory_mb", "language", "inputs", "outputs", "fn_name", "reference"),
)
"""Fields of a row that a suite of tests is made of."""


def tests_of(row: Mapping[str, Any], place: str) -> Suite:
    """The tests of a row.

    A row has `prompt`, `test` and `entry_point` (HumanEval), `tests` (a list of asserts, with an optional `setup`),
    `cases` (a list of {input, output}), `inputs` and `outputs` (two lists, with `fn_name` for calls), `calls`, or all
    of it as JSON in `answer`, as records of code tasks have it.

    Raises:
        DataError: it has none, or they cannot be read; names `place`.
    """
    from assay.suite import read_suite
    from assay.verifiers.code import make_plan

    if isinstance(row.get("answer"), str):
        try:
            data = json.loads(row["answer"])
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, dict):
            raise DataError(
                f"{place}: answer holds no tests as JSON; give tests, cases, or prompt, test and entry_point"
            )
    else:
        data = {key: row[key] for key in FIELDS if row.get(key) not in (None, "", [])}
        if "test" not in data:
            # The prompt of a row of asserts is a question in words, not code to go on from.
            data.pop("prompt", None)
    suite = read_suite(data, place)
    make_plan(suite, place)
    return suite


class CodeRecorder:
    """A code verifier that keeps what each test of the latest response said."""

    def __init__(self, code: Code) -> None:
        self._code = code
        self.verdicts: Verdicts = []

    @property
    def name(self) -> str:
        return self._code.name

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        self.verdicts = []
        judgement = await self._code.judge(rollout, task)
        self.verdicts = [result.to_dict() for result in judgement.results]
        return judgement.score

    def gold_response(self, task: Task) -> str | None:
        return self._code.gold_response(task)
