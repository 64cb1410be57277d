from __future__ import annotations

import asyncio

import pytest

from assay.components import component_names
from assay.environments import Environment, check_environment, make_environment
from assay.environments.arithmetic import Arithmetic
from assay.environments.rubric import Rubric
from assay.environments.second_try import SecondTry
from assay.recipe import RunConfig
from assay.verifiers import Numeric

FILES = ("rows", "gsm8k", "math", "mbpp", "humaneval", "cruxeval", "competition")
NEEDS = {
    **{name: {"path": "a.jsonl"} for name in FILES},
    "python": {"function": "a.py:b"},
    "reasoning_gym": {"family": "chain_sum"},
    "mixture": {"parts": [{"environment": {"name": "chain"}}]},
    "pairs": {"path": "pairs.jsonl"},
    "served": {"command": "python agent.py"},
    "gymnasium": {"id": "Taxi-v4"},
    "inspect": {"task": "tasks.py@mine"},
    "openenv": {"url": "http://127.0.0.1:8000"},
    "textarena": {"game": "TowerOfHanoi-v0"},
    "verifiers": {"taskset": "tasks.py:Mine"},
}
WORLDS = (
    "adapt",
    "chain",
    "chained",
    "clarify",
    "database",
    "dispatch",
    "files",
    "maze",
    "repair",
    "served",
    "textarena",
)
ADAPTED = ("gymnasium", "inspect", "openenv", "verifiers")
REWARDS = {
    **dict.fromkeys((*WORLDS, *ADAPTED), "episode"),
    "gsm8k": "numeric",
    "mixture": "by_environment",
    "math": "math",
    "reasoning_gym": "reasoning_gym",
    "rubric": "rubric_people",
    **{name: name for name in ("units", "planning", "instructions", "sql", "schema")},
    "ifeval": "instructions",
}
CODE = ("programs", "outputs", "mbpp", "humaneval", "cruxeval", "competition")


@pytest.mark.parametrize("environment", [Arithmetic(), Arithmetic(example=True), SecondTry(), Rubric()])
def test_generated_environments_keep_their_protocol(environment: Environment) -> None:
    for verifier in environment.rewards.values():
        asyncio.run(check_environment(environment, verifier=verifier, num_tasks=10))


def test_long_chains_too() -> None:
    asyncio.run(check_environment(Arithmetic(), levels=[(9, 100), (1, 30)], verifier=Numeric(), num_tasks=5))


def test_programs_pass_their_own_tests() -> None:
    environment = make_environment("programs", {"complexities": [1, 5], "horizons": [1, 2]})
    asyncio.run(check_environment(environment, verifier=environment.rewards["strict"], num_tasks=3))


@pytest.mark.parametrize("name", component_names(Environment))
def test_the_default_reward_is_one_that_the_environment_can_earn(name: str) -> None:
    environment = make_environment(name, NEEDS.get(name, {}))
    reward = REWARDS.get(name)
    assert environment.rewards["strict"].name == (reward or ("code" if name in CODE else "exact"))
    assert RunConfig(environment=environment).reward == environment.rewards["strict"]
