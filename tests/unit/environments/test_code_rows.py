from __future__ import annotations

import asyncio
import base64
import json
import pickle
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.environments import check_environment, make_environment
from assay.environments.competition import Competition
from assay.environments.cruxeval import CRUXEval
from assay.environments.humaneval import HumanEval
from assay.environments.mbpp import MBPP
from assay.errors import DataError
from assay.types import Task
from assay.verifiers import Code, check_gold, close_verifiers
from assay.verifiers.code import suite_of

MBPP_ROWS = [
    {
        "text": f"Write a function to add {number} to a number.",
        "code": f"def add_{number}(x):\r\n  return x + {number}",
        "task_id": number,
        "test_setup_code": "",
        "test_list": [f"assert add_{number}(1) == {number + 1}", f"assert add_{number}(-1) == {number - 1}"],
        "challenge_test_list": [],
    }
    for number in (1, 11, 510, 511, 600, 601, 974)
]
HUMAN_EVAL_ROW = {
    "task_id": "HumanEval/0",
    "prompt": 'def double(x: int) -> int:\n    """Twice x.\n    >>> double(2)\n    4\n    """\n',
    "entry_point": "double",
    "canonical_solution": "    return 2 * x\n",
    "test": "METADATA = {}\n\n\ndef check(candidate):\n    assert candidate(3) == 6\n    assert candidate(-1) == -2\n",
}


@pytest.fixture(scope="module", autouse=True)
def _sandboxes() -> Iterator[None]:
    yield
    asyncio.run(close_verifiers([Code()]))


def write(folder: Path, rows: list[dict[str, Any]], name: str = "rows.jsonl") -> str:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def tasks_of(domain: Any) -> list[Task]:
    return [task for tasks in domain.splits.values() for task in tasks]


def test_mbpp_is_split_as_its_authors_did(tmp_path: Path) -> None:
    domain = MBPP(path=write(tmp_path, MBPP_ROWS))
    numbers = {split: [int(task.metadata["id"]) for task in tasks] for split, tasks in domain.splits.items()}
    assert numbers == {"train": [1, 601, 974], "validation": [511, 600], "test": [11, 510]}
    asyncio.run(check_environment(domain, verifier=Code()))


@pytest.mark.parametrize(
    ("shown", "says"),
    [
        ("all", "these tests:\n```python\nassert add_11(1) == 12\nassert add_11(-1) == 10\n```"),
        ("one", "this test:\n```python\nassert add_11(1) == 12\n```"),
        ("signature", "called as `add_11(x)`"),
    ],
)
def test_what_an_mbpp_prompt_shows_of_the_tests(shown: str, says: str, tmp_path: Path) -> None:
    domain = make_environment("mbpp", {"path": write(tmp_path, MBPP_ROWS), "shown": shown})
    (task,) = [task for task in tasks_of(domain) if task.metadata["id"] == "11"]
    prompt = task.prompt[0].content
    assert says in prompt
    assert "return x + 11" not in prompt
    assert prompt.count("assert") == {"all": 2, "one": 1, "signature": 0}[shown]
    assert len(suite_of(task).tests) == 2
    assert task.answer == "def add_11(x):\n  return x + 11"
    assert suite_of(task).fenced_reference() == f"```python\n{task.answer}\n```"


def test_humaneval_is_a_test_set(tmp_path: Path) -> None:
    domain = HumanEval(path=write(tmp_path, [HUMAN_EVAL_ROW]))
    assert {split: len(tasks) for split, tasks in domain.splits.items()} == {"train": 0, "validation": 0, "test": 1}
    (task,) = tasks_of(domain)
    assert HUMAN_EVAL_ROW["prompt"].rstrip() in task.prompt[0].content
    assert "candidate" not in task.prompt[0].content
    asyncio.run(check_gold(Code(), [task]))
    (plain,) = tasks_of(HumanEval(path=domain.path, form="complete"))
    assert plain.prompt[0].content == HUMAN_EVAL_ROW["prompt"]
    assert (plain.answer, plain.suite) == (task.answer, task.suite)


def test_a_solution_indented_otherwise_than_its_prompt(tmp_path: Path) -> None:
    row = {**HUMAN_EVAL_ROW, "canonical_solution": " x *= 2\n return x\n", "entry_point": "double "}
    domain = MBPP(path=write(tmp_path, [{**row, "task_id": "MbppEval/11"}]))
    (task,) = domain.splits["test"]
    asyncio.run(check_gold(Code(), [task]))


def test_a_reference_that_fails_its_own_tests_is_an_error_that_names_it(tmp_path: Path) -> None:
    rows = [{**MBPP_ROWS[0], "code": "def add_1(x):\n  return x"}]
    with pytest.raises(DataError, match=r"rejects the gold answer of task .*add 1 to a number"):
        asyncio.run(check_gold(Code(), tasks_of(MBPP(path=write(tmp_path, rows)))))


def test_cruxeval_in_both_directions(tmp_path: Path) -> None:
    row = {"code": "def f(a, b):\n    return [a] * b", "input": "'x', 2", "output": "['x', 'x']", "id": "sample_0"}
    path = write(tmp_path, [row])
    (of_output,) = tasks_of(CRUXEval(path=path))
    assert "assert f('x', 2) == ??" in of_output.prompt[0].content
    assert "['x', 'x']" not in of_output.prompt[0].content
    (of_input,) = tasks_of(CRUXEval(path=path, predict="input"))
    assert "assert f(??) == ['x', 'x']" in of_input.prompt[0].content
    assert (of_output.answer, of_input.answer) == ("['x', 'x']", "'x', 2")
    asyncio.run(check_gold(Code(), [of_output, of_input]))
    with pytest.raises(DataError, match="line 1: 'x y' is no Python literal"):
        tasks_of(CRUXEval(path=write(tmp_path, [{**row, "output": "x y"}])))


SOLUTION = "print(sum(map(int, input().split())))"
APPS = {
    "question": "Add two numbers.",
    "difficulty": "interview",
    "solutions": json.dumps([SOLUTION]),
    "input_output": json.dumps({"inputs": ["1 2\n", ["3", "4"]], "outputs": ["3\n", ["7"]]}),
}
APPS_CALL = {
    **APPS,
    "question": "Add two numbers with a function.",
    "solutions": json.dumps(["class Solution:\n    def add(self, a, b):\n        return a + b"]),
    "starter_code": "class Solution:\n    def add(self, a, b):\n",
    "input_output": json.dumps({"fn_name": "add", "inputs": [[1, 2], [3, 4]], "outputs": [[3], 7]}),
}
CODE_CONTESTS = {
    "name": "1_A. Sum",
    "description": "Add them.",
    "public_tests": {"input": ["1 2\n"], "output": ["3\n"]},
    "private_tests": {"input": ["5 5\n"], "output": ["10\n"]},
    "generated_tests": {"input": [], "output": []},
    "solutions": {"language": [2, 3], "solution": ["int main() {}", SOLUTION]},
    "time_limit": {"seconds": 2, "nanos": 500000000},
    "memory_limit_bytes": 256 << 20,
    "cf_rating": 1200,
}
HIDDEN = [{"input": "[1, 2]\n3", "output": "[1, 2, 3]", "testtype": "functional"}]
LIVE_CODE_BENCH = {
    "question_content": "Append.",
    "starter_code": "class Solution:\n    def push(self, xs: List[int], x: int) -> List[int]:\n        ",
    "difficulty": "hard",
    "public_test_cases": json.dumps([{"input": "[]\n1", "output": "[1]", "testtype": "functional"}]),
    "private_test_cases": base64.b64encode(zlib.compress(pickle.dumps(json.dumps(HIDDEN)))).decode(),
    "metadata": json.dumps({"func_name": "push"}),
}


def competition(tmp_path: Path, row: dict[str, Any], **options: Any) -> Task:
    (task,) = tasks_of(Competition(path=write(tmp_path, [row]), **options))
    return task


def test_apps(tmp_path: Path) -> None:
    task = competition(tmp_path, APPS)
    suite = suite_of(task)
    assert [(case.input, case.output) for case in suite.cases] == [("1 2\n", "3\n"), ("3\n4", "7")]
    assert task.complexity == 2.0
    assert len(suite_of(competition(tmp_path, APPS, max_tests=1)).cases) == 1
    call = competition(tmp_path, APPS_CALL)
    assert "class Solution" in call.prompt[0].content
    asyncio.run(check_gold(Code(), [call]))


def test_code_contests(tmp_path: Path) -> None:
    task = competition(tmp_path, CODE_CONTESTS)
    suite = suite_of(task)
    assert (len(suite.cases), suite.seconds, suite.memory_mb, task.complexity) == (2, 2.5, 256, 1.2)
    asyncio.run(check_gold(Code(), [task]))


def test_live_code_bench(tmp_path: Path) -> None:
    task = competition(tmp_path, LIVE_CODE_BENCH)
    calls = suite_of(task).calls
    assert [(call.arguments, call.expected) for call in calls] == [(([], 1), [1]), (([1, 2], 3), [1, 2, 3])]
    assert "[1, 2, 3]" not in task.prompt[0].content
    stdin = {
        **LIVE_CODE_BENCH,
        "metadata": "{}",
        "starter_code": "",
        "public_test_cases": json.dumps([{"input": "1", "output": "2", "testtype": "stdin"}]),
        "private_test_cases": "",
    }
    assert suite_of(competition(tmp_path, stdin)).cases[0].output == "2"


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (open, ("unpickled", "w"))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "x"}, "none of the columns"),
        ({**APPS, "input_output": "{"}, "line 1: input_output is not JSON"),
        ({**APPS, "input_output": json.dumps({"inputs": ["1"], "outputs": []})}, "not two lists of one length"),
        ({**APPS, "input_output": ""}, "line 1: .*no tests"),
        ({**APPS, "question": ""}, "has no question"),
        ({**LIVE_CODE_BENCH, "private_test_cases": "%%%"}, "private_test_cases cannot be read"),
        (
            {**LIVE_CODE_BENCH, "private_test_cases": base64.b64encode(zlib.compress(pickle.dumps(Bomb()))).decode()},
            "texts, not one|is not JSON",
        ),
    ],
)
def test_rows_that_cannot_be_read(
    row: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=message):
        competition(tmp_path, row)
    assert not (tmp_path / "unpickled").exists(), "nothing in a row is unpickled"


def test_rows_without_tests_may_be_left_out(tmp_path: Path) -> None:
    rows = [{**APPS, "input_output": ""}, APPS]
    domain = Competition(path=write(tmp_path, rows), without_tests="leave_out")
    assert len(tasks_of(domain)) == 1


@pytest.mark.parametrize(
    ("domain", "row", "message"),
    [
        ("mbpp", {"text": "x", "code": "y"}, "line 1 has no test_list"),
        ("mbpp", {"text": "x", "code": "y", "test_list": ["assert f("]}, "line 1, test 1 is no Python"),
        ("humaneval", {**HUMAN_EVAL_ROW, "test": ""}, "line 1 has no test"),
        ("humaneval", {**HUMAN_EVAL_ROW, "entry_point": ""}, "line 1 has no entry_point"),
        ("cruxeval", {"code": "x"}, "line 1 has no input"),
    ],
)
def test_a_row_that_lacks_something_is_named(domain: str, row: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        tasks_of(make_environment(domain, {"path": write(tmp_path, [row])}))
