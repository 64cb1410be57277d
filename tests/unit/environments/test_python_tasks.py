from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from assay.environments import check_environment
from assay.environments.python import PythonTasks
from assay.errors import ConfigError, DataError
from assay.verifiers import Numeric

FUNCTIONS = """
import itertools, random
from assay.types import Message, Task

def endless(seed, complexity=1, horizon=1, base=0):
    rng = random.Random(seed)
    while True:
        n = rng.randrange(10 ** 6)
        yield f"What is {n} + {complexity} + {horizon}?", base + n + int(complexity) + int(horizon)

def few(seed):
    rng = random.Random(seed)
    while True:
        n = rng.randrange(60)
        yield f"{n}?", n

def whole(seed):
    for n in range(100):
        yield Task("mine", (Message("user", f"{n}?"),), str(n), complexity=2.0)

def one(seed):
    yield "the only question?", 1

def nonsense(seed):
    yield "a question without an answer"
"""


@pytest.fixture
def functions(tmp_path: Path) -> str:
    (tmp_path / "problems_of_mine.py").write_text(FUNCTIONS)
    return str(tmp_path / "problems_of_mine.py")


def test_a_function_is_a_domain(functions: str) -> None:
    domain = PythonTasks(function=f"{functions}:endless", complexities=(1, 2), horizons=(1, 3))
    assert domain.levels() == ((1, 1), (1, 3), (2, 1), (2, 3))
    asyncio.run(check_environment(domain, verifier=Numeric()))
    (task,) = itertools.islice(PythonTasks(function=f"{functions}:endless", options={"base": 1}).tasks("train"), 1)
    assert int(task.answer) == 1 + int(task.prompt[0].content.split()[2]) + 1 + 1


def test_a_finite_supply_ends(functions: str) -> None:
    domain = PythonTasks(function=f"{functions}:few", give_up_after=2_000)
    splits = [[task.answer for task in domain.tasks(split)] for split in ("train", "validation", "test")]
    assert sorted(itertools.chain(*splits), key=int) == [str(n) for n in range(60)]


def test_a_domain_without_dials_is_not_told_to_turn_them(functions: str) -> None:
    domain = PythonTasks(function=f"{functions}:one")
    empty = []
    for split in ("train", "validation", "test"):
        try:
            next(domain.tasks(split))
        except DataError as error:
            empty.append(str(error))
    assert len(empty) == 2
    assert all(text.endswith("is empty: too few tasks for three splits; add tasks") for text in empty)


def test_whole_tasks_are_taken_as_they_are(functions: str) -> None:
    task = next(PythonTasks(function=f"{functions}:whole").tasks("train"))
    assert (task.domain, task.complexity) == ("mine", 2.0)


def test_what_cannot_be_meant(functions: str) -> None:
    with pytest.raises(ConfigError, match="has no parameter 'complexity'"):
        PythonTasks(function=f"{functions}:few").tasks("train", complexity=2)
    with pytest.raises(DataError, match="expected \\(question, answer\\)"):
        PythonTasks(function=f"{functions}:nonsense").tasks("train")
    with pytest.raises(ConfigError, match="has no function 'nothing'"):
        PythonTasks(function=f"{functions}:nothing").tasks("train")
