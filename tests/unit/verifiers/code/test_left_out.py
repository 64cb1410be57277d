"""A task whose own reference returns what no test can look at is left out, counted and said."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from assay.environments.mbpp import MBPP
from assay.errors import DataError
from assay.host import Host
from assay.types import Task, Verdict
from assay.verifiers import as_rollout, check_gold, score_rollout
from assay.verifiers.code import Code, read_suite
from assay.verifiers.left_out import left_out_tasks

OWN_EQUAL = "class L:\n    def __eq__(self, other): return other == {}\ndef f():\n    return L()\n"


def task(reference: str) -> Task:
    return Task("d", (), "", suite=read_suite({"tests": ["assert f() == 9"], "reference": reference}, "row"))


def test_the_reference_decides_and_no_response() -> None:
    async def judge() -> None:
        async with Host():
            code = Code(seconds=4.0)
            bad, good = task(OWN_EQUAL.format(9)), task("def f():\n    return 9\n")
            response = OWN_EQUAL.format(8)
            score = await score_rollout(code, as_rollout(response, good), good)
            assert (score.verdict, score.reason) == (Verdict.FAILED, "cannot cross")
            assert left_out_tasks() == frozenset()
            score = await score_rollout(code, as_rollout(response, bad), bad)
            assert score.verdict is Verdict.NOT_MEASURED
            assert "left out" in score.reason
            # A wrong answer that can be looked at has failed all the same.
            wrong = await score_rollout(code, as_rollout("def f():\n    return 8\n", bad), bad)
            assert wrong.verdict is Verdict.FAILED
            assert left_out_tasks() == {bad.task_id}

    asyncio.run(judge())


def test_the_check_of_gold_answers_leaves_out_or_names(tmp_path: Path) -> None:
    row = {"task_id": 1, "text": "Return nine.", "code": OWN_EQUAL.format(9), "test_list": ["assert f() == 9"]}
    other = {
        "task_id": 2,
        "text": "Return eight.",
        "code": "def f():\n    return 8\n",
        "test_list": ["assert f() == 8"],
    }
    path = tmp_path / "mbpp.jsonl"
    path.write_text(f"{json.dumps(row)}\n{json.dumps(other)}\n")

    async def check() -> None:
        async with Host():
            environment = MBPP(path=str(path), test_only=True)
            tasks = list(environment.tasks("test"))
            with pytest.raises(DataError, match="cannot cross"):
                await check_gold(Code(), tasks)
            stream = environment.tasks("test")
            await check_gold(Code(), tasks, leaves_out=True)
            assert [each.metadata["id"] for each in stream] == ["2"]
            assert len(left_out_tasks()) == 1

    asyncio.run(check())
