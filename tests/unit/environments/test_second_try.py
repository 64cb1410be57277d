from __future__ import annotations

import asyncio

from assay.environments import EpisodeStep, make_environment
from assay.environments.arithmetic import Arithmetic
from assay.environments.second_try import SecondTry
from assay.environments.second_try.environment import TRY_AGAIN
from assay.types import Message, Task

TASK = Task("d", (Message("user", "What is 37 + 45?"),), "82")


async def _play(*answers: str) -> list[EpisodeStep]:
    env = SecondTry().episode(TASK)
    assert await env.start() == TASK.prompt
    steps = [await env.step(Message("assistant", answer)) for answer in answers]
    await env.close()
    return steps


def test_right_at_once() -> None:
    assert asyncio.run(_play(" 82\n")) == [EpisodeStep(done=True)]


def test_right_at_the_second_try() -> None:
    assert asyncio.run(_play("83", "82")) == [EpisodeStep(messages=(TRY_AGAIN,)), EpisodeStep(done=True)]


def test_wrong_twice() -> None:
    assert asyncio.run(_play("83", "The answer is 82")) == [EpisodeStep(messages=(TRY_AGAIN,)), EpisodeStep(done=True)]


def test_its_tasks_are_those_of_another() -> None:
    environment = make_environment("second_try", {"of": {"name": "arithmetic", "example": True}})
    assert environment == SecondTry(of=Arithmetic(example=True))
    ours, theirs = (next(each.tasks("train", complexity=3)) for each in (environment, Arithmetic(example=True)))
    assert (ours.prompt, ours.answer, ours.complexity) == (theirs.prompt, theirs.answer, 3)
    assert environment.levels() == Arithmetic().levels()
    assert environment.max_turns == 2
    assert environment.rewards == Arithmetic(example=True).rewards
