"""Near misses, prompts that give the answer away, and dials that make tasks easier: each is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

import pytest

from assay.environments import Environment, check_environment
from assay.environments.check_dials import check_dials
from assay.errors import ContractError
from assay.types import Message, Split, Task
from assay.verifiers import Exact


class Asks(Environment):
    """Asks what a function says of a task's number, and has its answer and its near misses from others."""

    ask: Callable[[int], str]
    answer: Callable[[int], str] = str
    near: Callable[[int], Sequence[str]] = lambda number: ()

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        first = {"train": 1000, "validation": 2000, "test": 3000}[split]
        for number in range(first, first + 40):
            prompt = (Message("user", self.ask(number)),)
            yield Task(self.name, prompt, self.answer(number), metadata={"number": number})

    def near_misses(self, task: Task) -> Sequence[str]:
        return self.near(task.metadata["number"])


def check(environment: Environment) -> None:
    asyncio.run(check_environment(environment, verifier=Exact(), num_tasks=20))


def test_a_prompt_that_tells_nothing_passes() -> None:
    check(Asks(ask=lambda number: f"What is {number - 7} + 7?", near=lambda number: [str(number + 1)]))


def test_a_near_miss_that_is_accepted() -> None:
    with pytest.raises(ContractError, match=r"the near miss '1000' of task .* is solved, and must be failed"):
        check(Asks(ask=lambda number: f"What is {number - 7} + 7?", near=lambda number: [str(number)]))


@pytest.mark.parametrize(
    ("ask", "rule"),
    [
        (lambda number: f"What is 7 less than 7 more than {number}?", "the last number"),
        (lambda number: f'One is 1, the other "{number}", and 2 is less.', "the first text in quotation marks"),
        (lambda number: f"Hm.\n{number}", "the first number"),
    ],
)
def test_a_prompt_that_gives_the_answer_away(ask: Callable[[int], str], rule: str) -> None:
    with pytest.raises(ContractError, match=f"{rule} of the prompt solves 20 of 20 tasks"):
        check(Asks(ask=ask))


def test_a_long_answer_in_the_prompt() -> None:
    def answer(number: int) -> str:
        return f"the answer of number {number}"

    with pytest.raises(ContractError, match="the answer stands in the prompt of 20 of 20 tasks"):
        check(Asks(ask=lambda number: f"Which one? (Psst:  THE answer of number {number}!)", answer=answer))


def test_dials_that_make_tasks_harder_pass() -> None:
    check_dials("x", {(1, 1): (20, 20), (1, 2): (14, 20), (2, 1): (9, 20), (2, 2): (10, 20)})
    check_dials("x", {(None, None): (3, 20)})


def test_a_dial_that_makes_tasks_easier() -> None:
    with pytest.raises(ContractError, match="solves 19 of 20 at c2 h1 and only 8 of 20 at c1 h1"):
        check_dials("x", {(1, 1): (8, 20), (2, 1): (19, 20), (2, 2): (0, 20)})


def test_levels_that_are_all_alike() -> None:
    with pytest.raises(ContractError, match="no level is harder than another"):
        check_dials("x", {(1, None): (18, 20), (2, None): (17, 20), (3, None): (16, 20)})
