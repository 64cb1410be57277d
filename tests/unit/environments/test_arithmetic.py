from __future__ import annotations

import itertools
import re

import pytest

from assay.environments import make_environment, require_tasks
from assay.environments.arithmetic.environment import MAX_HORIZON, SHAPES, Arithmetic, split_of
from assay.errors import ConfigError, DataError
from assay.types import Split, Task

DOMAIN = Arithmetic()
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def take(count: int, split: Split = "train", **dials: int) -> list[Task]:
    return list(itertools.islice(DOMAIN.tasks(split, **dials), count))


def worked(prompt: str) -> int:
    """The answer of a prompt, by a reader of its own: digits and words, left to right."""
    total = 0
    for word, product in re.findall(r"(What is|Start with|[Aa]dd|[Ss]ubtract|\+|-) (\d+(?: \* \d+)*)", prompt):
        value = 1
        for factor in product.split(" * "):
            value *= int(factor)
        total += -value if word in ("-", "subtract", "Subtract") else value
    return total


def test_level_two_is_every_two_digit_sum() -> None:
    tasks = [task for split in SPLITS for task in DOMAIN.tasks(split, complexity=2)]
    assert len(tasks) == len({task.task_id for task in tasks}) == 4095
    assert {frozenset(re.findall(r"\d+", task.metadata["expression"])) for task in tasks} == {
        frozenset((str(a), str(b))) for a in range(10, 100) for b in range(a, 100)
    }


@pytest.mark.parametrize(("complexity", "tasks"), [(1, 45), (3, 8190), (6, 720), (7, 7200), (8, 4095)])
def test_table_of_the_docstring(complexity: int, tasks: int) -> None:
    assert sum(len(list(DOMAIN.tasks(split, complexity=complexity))) for split in SPLITS) == tasks


def test_shares_of_the_splits() -> None:
    counts = [len(list(DOMAIN.tasks(split, complexity=3))) for split in SPLITS]
    for count, share in zip(counts, (0.8, 0.1, 0.1), strict=True):
        assert count / 8190 == pytest.approx(share, abs=0.015)


@pytest.mark.parametrize("complexity", SHAPES)
@pytest.mark.parametrize("horizon", [1, 2, 5])
def test_answers_are_right(complexity: int, horizon: int) -> None:
    for task in take(30, complexity=complexity, horizon=horizon):
        assert worked(task.prompt[0].content) == int(task.answer)
        assert (task.complexity, task.horizon) == (complexity, horizon)


def test_prompts() -> None:
    bare = take(1, complexity=2)[0]
    assert re.fullmatch(r"What is \d\d \+ \d\d\? Answer with just the number\.", bare.prompt[0].content)
    chain = take(1, complexity=2, horizon=2)[0]
    assert re.fullmatch(
        r"Start with \d\d\. Add \d\d\. Then add \d\d\. What is the result\? Answer with just the number\.",
        chain.prompt[0].content,
    )
    assert [message.role for message in bare.prompt] == ["user"]
    assert next(Arithmetic(instruction="").tasks("train")).prompt[0].content.endswith("?")


def test_splits_do_not_depend_on_the_seed() -> None:
    train = {task.metadata["canonical"] for task in DOMAIN.tasks("train", complexity=2, seed=0)}
    assert {task.metadata["canonical"] for task in DOMAIN.tasks("train", complexity=2, seed=9)} == train
    assert not train & {task.metadata["canonical"] for task in DOMAIN.tasks("test", complexity=2, seed=9)}


def test_seed_fixes_the_order() -> None:
    assert take(50) == take(50)
    assert [t.task_id for t in take(50)] != [t.task_id for t in itertools.islice(DOMAIN.tasks("train", seed=1), 50)]


def test_a_sum_has_one_wording_at_every_level() -> None:
    second = {t.metadata["canonical"]: t.task_id for t in DOMAIN.tasks("test", complexity=2)}
    third = {t.metadata["canonical"]: t.task_id for t in DOMAIN.tasks("test", complexity=3)}
    shared = second.keys() & third.keys()
    assert len(shared) == len(second)
    assert all(second[canonical] == third[canonical] for canonical in shared)


@pytest.mark.parametrize(("complexity", "horizon"), [(3, 1), (3, 2), (5, 1), (9, 4)])
def test_the_split_depends_on_the_canonical_form_alone(complexity: int, horizon: int) -> None:
    for split in SPLITS:
        for task in take(20, split, complexity=complexity, horizon=horizon):
            assert split_of(task.metadata["canonical"]) == split


def test_operands_come_in_either_order() -> None:
    pairs = [tuple(map(int, re.findall(r"\d+", task.metadata["expression"]))) for task in take(400)]
    first_is_larger = sum(a > b for a, b in pairs) / len(pairs)
    assert 0.4 < first_is_larger < 0.6


def test_difficulty_never_falls_along_a_dial() -> None:
    for horizon in (1, 2, 10):
        costs = [shape.digit_operations(horizon) for shape in SHAPES.values()]
        if horizon == 1:
            assert costs == sorted(costs)
    for shape in SHAPES.values():
        costs = [shape.digit_operations(horizon) for horizon in range(1, 20)]
        assert costs == sorted(set(costs))


def test_levels_are_listed_easiest_first() -> None:
    levels = DOMAIN.levels()
    assert levels[:2] == ((1, 1), (2, 1))
    assert {complexity for complexity, _ in levels} == set(SHAPES)


@pytest.mark.parametrize("dials", [{"complexity": 0}, {"complexity": 10}, {"complexity": 2.5}, {"horizon": 0}])
def test_a_dial_out_of_range_names_the_range(dials: dict[str, float]) -> None:
    with pytest.raises(DataError, match=r"whole number from 1 to (9|100)"):
        DOMAIN.tasks("train", complexity=dials.get("complexity"), horizon=dials.get("horizon"))
    with pytest.raises(DataError, match=str(MAX_HORIZON)):
        DOMAIN.tasks("train", horizon=MAX_HORIZON + 1)


@pytest.mark.parametrize("dials", [{"complexity": float("nan")}, {"horizon": float("inf")}])
def test_a_dial_that_is_no_number(dials: dict[str, float]) -> None:
    with pytest.raises(DataError, match="whole number"):
        DOMAIN.tasks("train", complexity=dials.get("complexity"), horizon=dials.get("horizon"))


def test_unknown_split() -> None:
    with pytest.raises(DataError, match="no split 'dev'"):
        DOMAIN.tasks("dev")  # pyright: ignore[reportArgumentType]


def test_an_empty_split_is_an_error_that_names_level_and_remedy() -> None:
    with pytest.raises(
        DataError, match=r"validation split of arithmetic is empty at complexity 1, horizon default.*larger"
    ):
        require_tasks(iter(()), DOMAIN, "validation", 1, None)


def test_require_tasks_loses_none() -> None:
    assert list(require_tasks(iter(take(3)), DOMAIN, "train", 2, 1)) == take(3)


def test_make_environment() -> None:
    assert make_environment("arithmetic", {"instruction": "!"}) == Arithmetic(instruction="!")
    with pytest.raises(ConfigError, match="unknown environment 'algebra'; known: adapt, arithmetic"):
        make_environment("algebra")
    with pytest.raises(ConfigError, match="did you mean 'instruction'"):
        make_environment("arithmetic", {"instructions": "!"})
