from __future__ import annotations

import ast
import asyncio
import dataclasses
import itertools
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from assay.environments import check_environment, make_environment
from assay.environments.programs import Programs
from assay.environments.programs.survey import problems
from assay.errors import ConfigError, DataError
from assay.types import Split, Task
from assay.verifiers.code import suite_of

DOMAIN = Programs()
LEVELS = range(1, 11)


def take(count: int, split: Split = "train", domain: Programs = DOMAIN, seed: int = 0, **dials: int) -> list[Task]:
    return list(itertools.islice(domain.tasks(split, seed=seed, **dials), count))


def run(source: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "reference"}
    exec(source, names)
    return names


@pytest.mark.parametrize("complexity", LEVELS)
def test_the_reference_passes_and_shown_calls_are_true_and_not_hidden(complexity: int) -> None:
    for task in take(4, complexity=complexity):
        assert problems(task) == []
        suite = suite_of(task)
        names = run(suite.reference)
        shown = re.findall(r"^- `(.*)` returns `(.*)`$", task.prompt[-1].content, re.MULTILINE)
        assert len(shown) == 2
        for call, result in shown:
            assert eval(call, names) == ast.literal_eval(result)
            assert not any(test.startswith(f"assert {call} ==") for test in suite.tests)


def test_problems_are_seen() -> None:
    (task,) = take(1, complexity=1)
    suite = suite_of(task)
    call, result = re.findall(r"^- `(.*)` returns `(.*)`$", task.prompt[-1].content, re.MULTILINE)[0]
    tests = (f"assert {call} == {result}", f"assert {call} == {result} + 1")
    found = problems(dataclasses.replace(task, suite=suite.model_copy(update={"tests": tests})))
    assert [re.sub(r"^\w+: ", "", problem)[:18] for problem in found] == [
        "the hidden test as",
        "the reference fail",
        "the hidden test as",
    ]


@pytest.mark.parametrize(("complexity", "horizon"), [(1, 1), (2, 2), (6, 1)])
def test_the_protocol_is_kept(complexity: int, horizon: int) -> None:
    asyncio.run(check_environment(DOMAIN, levels=[(complexity, horizon)], num_tasks=5))


def test_the_first_level_asks_for_its_formula() -> None:
    num_formulas = 0
    for task in take(30, complexity=1):
        (signature, words) = re.findall(r"function `(.*)` that returns (.*)\.$", task.prompt[0].content, re.MULTILINE)[
            0
        ]
        names = re.findall(r"(\w+): int", signature)
        if words.startswith("`"):
            num_formulas += 1
            for test in suite_of(task).tests:
                given, result = re.findall(r"\((.*)\) == (.*)$", test)[0]
                values = dict(zip(names, ast.literal_eval(f"[{given}]"), strict=True))
                assert eval(words.strip("`"), {}, values) == int(result)
    assert num_formulas >= 10


def test_all_functions_of_a_task_are_of_its_split() -> None:
    homes: dict[str, str] = {}
    for split, seed in itertools.product(("train", "validation", "test"), (0, 1)):
        for horizon in (1, 2):
            for task in take(12, split, complexity=1, horizon=horizon, seed=seed):
                functions = suite_of(task).reference
                first = re.sub(r"\b(def )\w+", r"\1f", functions.split("\n\n\n")[0]).strip()
                assert homes.setdefault(first, split) == split
    assert set(homes.values()) == {"train", "validation", "test"}


def test_splits_know_neither_names_nor_seeds() -> None:
    words = {task.metadata["canonical"] for task in take(40, "test", complexity=1)}
    letters = Programs(function_names="letters")
    assert not words & {task.metadata["canonical"] for task in take(40, "train", letters, 3, complexity=1)}


def test_the_same_in_every_process() -> None:
    code = (
        "import itertools; from assay.environments.programs import Programs\n"
        "for c, h in ((1, 1), (3, 1), (6, 2), (7, 1), (10, 1)):\n"
        "    for t in itertools.islice(Programs().tasks('train', complexity=c, horizon=h, seed=4), 2): print(t.task_id)"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "random")
    }
    assert len(outputs) == 1
    assert len(set(outputs.pop().split())) == 10


def test_the_seed_fixes_the_order() -> None:
    assert take(5, complexity=4) == take(5, complexity=4)
    assert take(5, complexity=4) != take(5, complexity=4, seed=1)


@pytest.mark.parametrize("complexity", [1, 4, 8])
def test_each_function_builds_on_an_earlier_one_and_is_tested(complexity: int) -> None:
    for task in take(3, complexity=complexity, horizon=4):
        suite = suite_of(task)
        functions = [node for node in ast.parse(suite.reference).body if isinstance(node, ast.FunctionDef)]
        names = [function.name for function in functions]
        assert names == task.metadata["functions"]
        assert len(set(names)) == 4
        assert suite.entry_point == names[-1]
        for place, function in enumerate(functions):
            called = {
                node.func.id
                for node in ast.walk(function)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            }
            assert place == 0 or names[place - 1] in called
            assert f"`{function.name}(" in task.prompt[0].content
            assert sum(test.startswith(f"assert {function.name}(") for test in suite.tests) >= 8
        assert (task.complexity, task.horizon) == (complexity, 4)


@pytest.mark.parametrize("complexity", LEVELS)
def test_sizes_are_bounded(complexity: int) -> None:
    for task in take(5, complexity=complexity):
        suite = suite_of(task)
        assert len(task.prompt[0].content) < 2500
        assert len(suite.reference.splitlines()) < 60
        assert 8 <= len(suite.tests) <= 20
        assert all(len(test) < 800 for test in suite.tests)


def test_options() -> None:
    plain = Programs(shown_tests=0, instruction="", function_names="letters", hidden_tests=6)
    (task,) = take(1, domain=plain, complexity=2)
    assert "For example" not in task.prompt[0].content
    assert "```" not in task.prompt[0].content
    assert "`f(" in task.prompt[0].content
    assert 4 <= len(suite_of(task).tests) <= 14
    (chain,) = take(1, domain=plain, complexity=2, horizon=2)
    assert chain.metadata["functions"] == ["f1", "f2"]
    assert suite_of(task).fenced_reference() == f"```python\n{task.answer.rstrip()}\n```"


def test_examples_come_before_the_question_and_are_not_asked() -> None:
    shown = Programs(examples=2)
    tasks = take(25, domain=shown, complexity=1)
    openings = {task.prompt[:4] for task in tasks}
    assert len(openings) == 1
    opening = openings.pop()
    assert [message.role for message in opening] == ["user", "assistant"] * 2
    assert opening[1].content.startswith("```python\ndef ")
    assert not {message.content for message in opening} & {task.prompt[-1].content for task in tasks}
    assert len(tasks[0].prompt) == 5


def test_a_stream_ends_when_it_repeats_itself() -> None:
    tasks = take(3000, "test", Programs(give_up_after=1), complexity=1)
    assert 10 < len(tasks) < 3000
    assert len({task.metadata["canonical"] for task in tasks}) == len(tasks)
    assert take(len(tasks) + 1, "test", complexity=1)[: len(tasks)] == tasks


def test_what_cannot_be_meant() -> None:
    with pytest.raises(DataError, match="complexity 11; complexity is a whole number from 1 to 10"):
        DOMAIN.tasks("train", complexity=11)
    with pytest.raises(DataError, match=r"horizon 1\.5; horizon is a whole number from 1 to 8"):
        DOMAIN.tasks("train", horizon=1.5)
    with pytest.raises(DataError, match="no split 'dev'"):
        DOMAIN.tasks("dev")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="complexities are whole numbers from 1 to 10"):
        make_environment("programs", {"complexities": [1, 12]})
    with pytest.raises(ConfigError, match="names a level twice"):
        make_environment("programs", {"horizons": [1, 1]})


def test_levels_are_the_listed_ones() -> None:
    domain = Programs(complexities=(3, 1), horizons=(1, 2))
    assert domain.levels() == ((1, 1), (1, 2), (3, 1), (3, 2))
    assert take(1, domain=domain)[0].complexity == 3
    assert len(DOMAIN.levels()) == 10
