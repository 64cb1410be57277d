from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from assay.environments import check_environment
from assay.environments.arithmetic import Arithmetic
from assay.errors import ContractError, DataError
from assay.types import Message, Split, Task
from assay.verifiers import Exact


@dataclass
class Changed:
    """Arithmetic whose tasks were tampered with."""

    change: Callable[[Iterator[Task], Split, int], Iterator[Task]]
    name: str = "arithmetic"
    domains: tuple[str, ...] = ("arithmetic",)

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        return self.change(Arithmetic().tasks(split, complexity=complexity, horizon=horizon, seed=seed), split, seed)

    def near_misses(self, task: Task) -> tuple[str, ...]:
        return ()

    def levels(self) -> tuple[tuple[float | None, float | None], ...]:
        return ((2, 1),)


def check(change: Callable[[Iterator[Task], Split, int], Iterator[Task]]) -> None:
    asyncio.run(check_environment(Changed(change), verifier=Exact(), num_tasks=5))


def test_an_honest_domain_passes() -> None:
    check(lambda tasks, split, seed: tasks)


def test_a_task_in_two_splits() -> None:
    shared = next(Arithmetic().tasks("train"))
    with pytest.raises(ContractError, match="in two splits"):
        check(lambda tasks, split, seed: iter([shared]))


def test_a_mirror_image_in_two_splits() -> None:
    def change(tasks: Iterator[Task], split: Split, seed: int) -> Iterator[Task]:
        return (dataclasses.replace(task, metadata={"canonical": f"{index}"}) for index, task in enumerate(tasks))

    with pytest.raises(ContractError, match="canonical form '0' is in two splits"):
        check(change)


def test_test_tasks_that_stand_in_training_tasks_word_by_word() -> None:
    def change(tasks: Iterator[Task], split: Split, seed: int) -> Iterator[Task]:
        between = " " if split == "train" else ", "  # other characters, the same words
        for number, task in zip(range(1, 9), Arithmetic().tasks("train"), strict=False):
            words = ["word", *map(str, range(12)), str(number + 100)]
            text = between.join(words)
            yield dataclasses.replace(task, prompt=(Message("user", text),), metadata={}, answer=f"{split} {number}")

    with pytest.raises(ContractError, match=r"validation tasks stand in training tasks word by word"):
        check(change)


def test_a_repeat() -> None:
    with pytest.raises(ContractError, match="comes twice"):
        check(lambda tasks, split, seed: iter([first := next(tasks), first]))


def test_an_order_that_changes() -> None:
    calls = iter(range(100))
    with pytest.raises(ContractError, match="two different orders"):
        check(lambda tasks, split, seed: iter(list(zip(range(5 + next(calls)), tasks, strict=False))[-1][1:]))


def test_a_dial_that_is_ignored() -> None:
    with pytest.raises(ContractError, match="asked for complexity 2"):
        check(lambda tasks, split, seed: (dataclasses.replace(task, complexity=7) for task in tasks))


def test_metadata_that_is_not_json() -> None:
    with pytest.raises(ContractError, match="does not survive JSON"):
        check(lambda tasks, split, seed: (dataclasses.replace(task, metadata={"pair": (1, 2)}) for task in tasks))


def test_a_foreign_task() -> None:
    with pytest.raises(ContractError, match="says it is from 'other'"):
        check(lambda tasks, split, seed: (dataclasses.replace(task, domain="other") for task in tasks))


def test_an_empty_prompt() -> None:
    with pytest.raises(ContractError, match="empty prompt"):
        check(lambda tasks, split, seed: (dataclasses.replace(task, prompt=()) for task in tasks))


def test_an_empty_split() -> None:
    with pytest.raises(DataError, match="empty"):
        check(lambda tasks, split, seed: iter(()))


def test_an_answer_that_the_verifier_rejects() -> None:
    with pytest.raises(DataError, match="empty answer"):
        check(lambda tasks, split, seed: (dataclasses.replace(task, answer=" ") for task in tasks))
