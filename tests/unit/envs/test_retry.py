from __future__ import annotations

import asyncio

import pytest

from assay.envs import EnvStep, SecondTry, SingleTurn, make_env
from assay.envs.retry import TRY_AGAIN
from assay.errors import ConfigError
from assay.types import Message, Task

TASK = Task("d", (Message("user", "What is 37 + 45?"),), "82")


async def _play(*answers: str) -> list[EnvStep]:
    env = SecondTry(TASK)
    assert await env.start() == TASK.prompt
    steps = [await env.step(Message("assistant", answer)) for answer in answers]
    await env.close()
    return steps


def test_right_at_once() -> None:
    assert asyncio.run(_play(" 82\n")) == [EnvStep(reward=1.0, done=True)]


def test_right_at_the_second_try() -> None:
    assert asyncio.run(_play("83", "82")) == [EnvStep(messages=(TRY_AGAIN,)), EnvStep(reward=1.0, done=True)]


def test_wrong_twice() -> None:
    assert asyncio.run(_play("83", "The answer is 82")) == [EnvStep(messages=(TRY_AGAIN,)), EnvStep(done=True)]


def test_make_env() -> None:
    assert make_env("single_turn") is SingleTurn
    assert make_env("second_try") is SecondTry
    with pytest.raises(ConfigError, match="unknown environment 'third_try'; known: single_turn, second_try"):
        make_env("third_try")
