from __future__ import annotations

import json
from typing import Any

import pytest

from assay.errors import DataError
from assay.types import Task
from assay.verifiers.code import SuitePlan, make_plan, plan_of, read_suite
from assay.verifiers.code.plan import CallCheck


def plan(**data: Any) -> SuitePlan:
    return make_plan(read_suite(data, "row"), "row")


HUMAN_EVAL = {"prompt": "def f(x):\n", "entry_point": "f"}


def test_asserts_go_outside_and_the_rest_to_a_sandbox() -> None:
    assert plan(tests=["assert f(1) == 1"]).way == "outside"
    assert plan(tests=["assert f(1) == 1", "assert all(f(x) for x in (1, 2))"]).way == "test sandbox"
    assert plan(cases=[{"input": "1", "output": "1"}]).way == "cases"
    outside = plan(**HUMAN_EVAL, test="M = {'author': 'x'}\n\ndef check(candidate):\n    assert candidate(1) == 1\n")
    assert (outside.way, outside.num_tests, outside.functions) == ("outside", 1, ("f",))
    loop = plan(**HUMAN_EVAL, test="def check(candidate):\n    for x in (1, 2):\n        assert candidate(x) == x\n")
    assert (loop.way, loop.num_tests, loop.preambles) == ("test sandbox", 1, ("def f(x):\n    pass\n",))
    top = plan(**HUMAN_EVAL, test="x = open('y')\ndef check(candidate):\n    assert candidate(1) == 1\n")
    assert top.way == "test sandbox"


def test_a_test_of_other_functions_than_the_entry_point() -> None:
    other = plan(**HUMAN_EVAL, test="def check(candidate):\n    assert check_all(1) == 1\n")
    assert (other.way, other.functions) == ("outside", ("f", "check_all"))
    helper = plan(
        prompt="def poly(x):\n    return x\n\ndef f(x):\n",
        entry_point="f",
        test="def check(candidate):\n    assert poly(candidate(1)) == 0\n",
    )
    assert helper.way == "test sandbox", "what the prompt defines is the task's, not the program's"


def test_setup_goes_beside_the_program_only_where_it_makes_inputs() -> None:
    with_nodes = plan(
        setup="root = Node(1)", tests=["assert depth(root) == 1"], reference="class Node: pass\ndef depth(r): pass"
    )
    assert (with_nodes.setup, list(with_nodes.expressions)) == ("root = Node(1)", ["depth(root)"])
    assert plan(setup="import math", tests=["assert f(1) == 1"]).setup == ""


def test_evalplus_tables_are_read_as_calls() -> None:
    test = (
        "import numpy as np\n\ndef is_floats(x) -> bool:\n    return False\n\n"
        "def assertion(out, exp, atol):\n    assert out == exp\n\n"
        "def check(candidate):\n    inputs = [[1, [2.5]], [3, []]]\n    results = [[3.5], None]\n"
        "    for i, (inp, exp) in enumerate(zip(inputs, results)):\n        assertion(candidate(*inp), exp, 0)\n"
    )
    read = plan(**HUMAN_EVAL, test=test)
    assert read.way == "outside"
    first, second = read.checks
    assert isinstance(first, CallCheck)
    assert isinstance(second, CallCheck)
    assert (first.question.arguments, first.expected) == ((1, [2.5]), [3.5])
    assert (second.question.arguments, second.expected) == ((3, []), None)
    assert plan(**HUMAN_EVAL, test=test.replace("exp, 0)", "ref(*inp), 0)")).way == "test sandbox"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "row: .*there are no tests"),
        ({"tests": ["assert f(1) == 1"], "cases": [{"input": ""}]}, "cases and tests are given"),
        ({"tests": ["assert f(1) = 1"]}, "row, test 1 is no Python"),
        ({"tests": ["assert 1 == 1"]}, "call no function"),
        ({"test": "def check(c): pass"}, "needs entry_point"),
        ({"test": "def check(c:", "entry_point": "f"}, "row, test is no Python"),
        ({"test": "x = 1", "entry_point": "f g"}, "no name of a function"),
        ({"tests": ["assert f(1) == 1"], "checker": {"source": "x"}}, "judges cases"),
        ({"tests": ["assert f(1) == 1"], "comparision": "exact"}, "did you mean 'comparison'"),
        ({"cases": [{"input": 3}]}, "input"),
        ({"cases": "x"}, "cases"),
    ],
)
def test_what_cannot_be_tested_with_is_an_error_that_names_the_row(data: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        plan(**data)
    assert "row" in str(caught.value)


def test_a_task_without_tests() -> None:
    with pytest.raises(DataError, match=r"has no tests \(its answer is '42'\)"):
        plan_of(Task("d", (), "42"))


def test_a_task_carries_its_tests_as_data_and_records_have_them_as_text() -> None:
    suite = read_suite({"tests": ["assert f('\u00e9') == '\\ud83d'"], "reference": "def f(x): return x"}, "row")
    task = Task("d", (), suite.answer, suite=suite)
    assert task.answer == "def f(x): return x"
    assert plan_of(task).suite is suite
    assert Task.from_dict(json.loads(json.dumps(task.to_dict()))) == task
    # A row of a file, and a record: the same task, by its id too.
    as_text = Task("d", (), task.gold_text)
    assert plan_of(as_text).suite == suite
    assert as_text.task_id == task.task_id


def test_a_task_with_tests_that_was_stored_as_text_is_read() -> None:
    """As exports and checkpoints of before have it."""
    stored = {"domain": "d", "prompt": [["user", "f?"]], "answer": '{"tests": ["assert f(1) == 1"]}', "metadata": {}}
    task = Task.from_dict(stored)
    assert (task.suite, plan_of(task).suite.tests) == (None, ("assert f(1) == 1",))
    assert Task.from_dict({**task.to_dict(), "suite": {"tests": ["assert f(1) == 1"]}}).task_id == task.task_id


def test_a_name_may_have_spaces_around_it() -> None:
    """As rows of the sanitized MBPP have it."""
    suite = read_suite(
        {**HUMAN_EVAL, "test": "def check(candidate):\n    assert candidate(1) == 1", "entry_point": "f "}, "row"
    )
    assert suite.entry_point == "f"


@pytest.mark.parametrize(
    ("test", "more"),
    [
        ("assert same(f([3, 1]), [1, 3])", {"setup": "def same(a, b): return sorted(a) == sorted(b)"}),
        ("assert isclose(f(1.0), 3.0)", {"setup": "from math import isclose"}),
        ("assert isclose(f(1.0), 3.0)", {"setup": "from math import *"}),
        ("assert isclose(f(1.0), 3.0)", {"reference": "from math import isclose\ndef f(x): return 3 * x"}),
        ("for i in range(3): assert same(f(i), i)", {"setup": "def same(a, b): return a == b"}),
        ("assert same(f(1), 3)", {"reference": "def f(x): return 3"}),
    ],
)
def test_helpers_of_the_test_are_not_the_programs(test: str, more: dict[str, str]) -> None:
    read = plan(tests=[test], entry_point="f", **more)
    assert (read.way, read.functions, read.expressions) == ("test sandbox", ("f",), {})


def test_what_the_reference_imports_is_the_tests_to_use() -> None:
    reference = "from collections import Counter\nfrom math import isclose\ndef f(x): return x"
    counted = plan(tests=["assert Counter(f([1, 2])) == Counter([1, 2])"], reference=reference)
    assert (counted.way, counted.functions, counted.expressions) == ("outside", ("f",), {})
    close = plan(tests=["assert isclose(f(1), 1)"], reference=reference)
    assert (close.way, close.preambles) == ("test sandbox", ("from math import isclose",))


def test_classes_of_the_setup_make_inputs_beside_the_program() -> None:
    read = plan(setup="class Node:\n    pass", tests=["assert depth(Node()) == 1"])
    assert (read.way, read.functions) == ("outside", ("depth",))
