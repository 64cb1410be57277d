"""Reward functions of verl's signature, on rows of verl's form."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from assay.environments import check_environment
from assay.environments.rows import Rows
from assay.errors import ConfigError, DataError, VerifierError
from assay.types import Score, Task, Verdict
from assay.verifiers import VerlReward, as_rollout, check_gold, make_verifier, score_rollout

FUNCTIONS = """
def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    assert data_source == "math" and extra_info["index"] == 3 and extra_info["num_turns"] == 2
    return float(solution_str == ground_truth)

def graded(data_source, solution_str, ground_truth, extra_info, **kwargs):
    right = solution_str == ground_truth
    more = {"acc": right, "pred": solution_str, "length": len(solution_str), "none": None}
    return {"score": 1.0 if right else -1.0, **more}

async def waits(solution_str, ground_truth):
    return 0.5

def first_of_tuple(data_source, solution_str, ground_truth, extra_info):
    return (0.25, {"why": "x"})

def with_options(solution_str, ground_truth, scale, extra_info=None):
    return scale * (solution_str == ground_truth)

def structured(data_source, solution_str, ground_truth, extra_info):
    return float(solution_str in ground_truth["any"])

def nan(solution_str, **kwargs): return float("nan")
def nothing(solution_str, **kwargs): return None
def empty(solution_str, **kwargs): return ()
def no_score(solution_str, **kwargs): return {"acc": 1.0}
def text(solution_str, **kwargs): return "1.0"
def raises(solution_str, **kwargs): raise KeyError("gone")
def other(answer, response): return 1.0
"""
ROW = {
    "data_source": "math",
    "prompt": [{"role": "user", "content": "1 + 1?"}],
    "ability": "math",
    "reward_model": {"style": "rule", "ground_truth": "2"},
    "extra_info": {"index": 3, "split": "train"},
}


@pytest.fixture
def functions(tmp_path: Path) -> str:
    (tmp_path / "theirs.py").write_text(FUNCTIONS)
    return str(tmp_path / "theirs.py")


def task_of(tmp_path: Path, row: dict[str, Any], answer: str = "{reward_model.ground_truth}") -> Task:
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    domain = Rows(path=str(tmp_path / "rows.jsonl"), answer=answer)
    (task,) = [task for tasks in domain.splits.values() for task in tasks]
    return task


def score(functions: str, name: str, task: Task, response: str = "2", **options: Any) -> Score:
    verifier = VerlReward(function=f"{functions}:{name}", **options)
    return asyncio.run(verifier(as_rollout(response, task), task))


def test_functions_for_verl_run_unchanged(functions: str, tmp_path: Path) -> None:
    task = task_of(tmp_path, ROW)
    assert score(functions, "compute_score", task) == Score.solved(1.0)
    assert score(functions, "compute_score", task, "3") == Score.failed("below solved_at", value=0.0)
    assert score(functions, "waits", task).value == 0.5
    assert score(functions, "waits", task, solved_at=0.5).verdict is Verdict.SOLVED
    assert score(functions, "first_of_tuple", task).value == 0.25
    assert score(functions, "with_options", task, options={"scale": 3}).value == 3


def test_what_a_dict_says_beside_the_score_is_kept(functions: str, tmp_path: Path) -> None:
    found = score(functions, "graded", task_of(tmp_path, ROW), "33")
    assert (found.value, found.verdict) == (-1.0, Verdict.FAILED)
    assert found.parts == {"acc": 0.0, "length": 2.0}
    assert found.evidence == "pred: 33; none: None"
    assert score(functions, "graded", task_of(tmp_path, ROW)).verdict is Verdict.SOLVED


def test_a_ground_truth_that_is_no_text_reaches_the_function_as_it_is(functions: str, tmp_path: Path) -> None:
    row = {**ROW, "reward_model": {"ground_truth": {"any": ["2", "two"]}}}
    task = task_of(tmp_path, row, answer="")
    assert score(functions, "structured", task, "two").value == 1.0
    asyncio.run(check_gold(VerlReward(function=f"{functions}:structured"), [task]))
    with pytest.raises(DataError, match=r"'reward_model\.ground_truth', which answer names, holds an object, not text"):
        task_of(tmp_path, row)


def test_rows_of_another_form_give_their_answer(functions: str, tmp_path: Path) -> None:
    task = task_of(tmp_path, {"prompt": "1 + 1?", "gold": "2"}, answer="{gold}")
    assert score(functions, "graded", task).value == 1.0


@pytest.mark.parametrize("name", ["nan", "nothing", "empty", "no_score", "text"])
def test_what_is_no_reward_is_never_one(functions: str, tmp_path: Path, name: str) -> None:
    task = task_of(tmp_path, ROW)
    with pytest.raises(VerifierError, match=rf'theirs.py:{name} returned .* or a dict with one as "score"'):
        score(functions, name, task)
    verifier = VerlReward(function=f"{functions}:{name}")
    assert asyncio.run(score_rollout(verifier, as_rollout("2", task), task)).value is None


def test_what_a_function_raised_is_told_with_its_place(functions: str, tmp_path: Path) -> None:
    with pytest.raises(VerifierError, match=r"raised KeyError: 'gone' \(.*theirs\.py, line 28, in raises\) for task"):
        score(functions, "raises", task_of(tmp_path, ROW))


def test_a_function_of_another_signature_is_named_before_the_run(functions: str, tmp_path: Path) -> None:
    task = task_of(tmp_path, ROW)
    with pytest.raises(ConfigError, match=r"asks for 'answer', .* it is given data_source, solution_str, ground_truth"):
        asyncio.run(check_gold(VerlReward(function=f"{functions}:other"), [task]))
    with pytest.raises(ConfigError, match=r"asks for 'scale', .*verifier\.options"):
        asyncio.run(check_gold(VerlReward(function=f"{functions}:with_options"), [task]))
    bare = task_of(tmp_path, {"prompt": "1 + 1?"}, answer="")
    with pytest.raises(ConfigError, match=r'asks for a ground truth, .*answer = "{reward_model\.ground_truth}"'):
        asyncio.run(check_gold(VerlReward(function=f"{functions}:graded"), [bare]))


def test_gold_answers_are_checked_where_their_form_is_given(functions: str, tmp_path: Path) -> None:
    task = task_of(tmp_path, ROW)
    asyncio.run(check_gold(VerlReward(function=f"{functions}:graded", gold_format="{answer}"), [task]))
    with pytest.raises(DataError, match="rejects the gold answer"):
        asyncio.run(check_gold(VerlReward(function=f"{functions}:graded", gold_format="= {answer}"), [task]))


def test_a_domain_of_verls_rows(functions: str, tmp_path: Path) -> None:
    rows = [{**ROW, "prompt": [{"role": "user", "content": f"{i} + 1?"}]} for i in range(60)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    domain = Rows(path=str(tmp_path / "a.jsonl"), answer="{reward_model.ground_truth}")
    asyncio.run(check_environment(domain, verifier=make_verifier("verl", {"function": f"{functions}:compute_score"})))
