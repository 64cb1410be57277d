from __future__ import annotations

import asyncio

import pytest

from assay.environments import Environment, check_episode
from assay.environments.arithmetic import Arithmetic
from assay.environments.second_try import SecondTry


@pytest.mark.parametrize("environment", [Arithmetic(), SecondTry()])
def test_every_episode_keeps_its_protocol(environment: Environment) -> None:
    asyncio.run(check_episode(environment.episode, next(environment.tasks("train"))))
