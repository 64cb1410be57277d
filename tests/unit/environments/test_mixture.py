"""Mixture: several environments in one run."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

import pytest

from assay.config import dump, load
from assay.environments import check_environment
from assay.environments.arithmetic import Arithmetic
from assay.environments.chain import Chain
from assay.environments.mixture import Mixture, MixturePart
from assay.environments.second_try import SecondTry
from assay.errors import ConfigError, DataError
from assay.recipe import RunConfig
from assay.rollout.scripted import play_script
from assay.types import Message, Task, Verdict
from assay.verifiers import Exact, Numeric, as_rollout, check_gold
from assay.verifiers.check import check_all_gold

MIXTURE = Mixture(
    parts=(
        MixturePart(environment=Arithmetic(), complexity=2),
        MixturePart(environment=Chain(), weight=3.0, horizon=2),
        MixturePart(environment=Chain(machine="stack"), label="stack", weight=1.0),
    )
)


def test_tasks_come_as_often_as_their_weights_say_and_in_an_order_of_the_seed() -> None:
    tasks = list(itertools.islice(MIXTURE.tasks("train"), 1000))
    shares = Counter(task.domain for task in tasks)
    assert 150 < shares["arithmetic"] < 250
    assert 550 < shares["chain"] < 650
    assert shares.keys() == {"arithmetic", "chain", "stack"}
    assert {task.complexity for task in tasks if task.domain == "arithmetic"} == {2}
    assert {task.horizon for task in tasks if task.domain == "chain"} == {2}
    assert list(itertools.islice(MIXTURE.tasks("train"), 50)) == tasks[:50]
    assert list(itertools.islice(MIXTURE.tasks("train", seed=1), 50)) != tasks[:50]


def test_it_keeps_the_promises_of_environments() -> None:
    asyncio.run(check_environment(MIXTURE, num_tasks=10))


def test_one_that_has_come_to_its_end_leaves_the_rest_to_the_others() -> None:
    mixture = Mixture(
        parts=(MixturePart(environment=Arithmetic(), complexity=1), MixturePart(environment=Chain(), horizon=1))
    )
    tasks = list(itertools.islice(mixture.tasks("validation"), 60))
    num_sums = sum(1 for _ in Arithmetic().tasks("validation", complexity=1))
    assert Counter(task.domain for task in tasks)["arithmetic"] == num_sums < 30
    assert len(tasks) == 60


def test_each_task_is_played_and_scored_as_by_its_own_environment() -> None:
    rewards = MIXTURE.rewards
    tasks = {task.domain: task for task in itertools.islice(MIXTURE.tasks("train"), 40)}
    stack = tasks["stack"]
    assert asyncio.run(play_script(MIXTURE, stack, MIXTURE.expert(stack))).solved
    total = tasks["arithmetic"]
    said = as_rollout(f"It is {total.answer}", total)
    assert asyncio.run(rewards["strict"](said, total)).verdict is Verdict.FAILED
    assert asyncio.run(rewards["lenient"](said, total)).verdict is Verdict.SOLVED
    assert (MIXTURE.turns_of(total), MIXTURE.turns_of(stack)) == (1, 8)
    with pytest.raises(DataError, match="is from 'other'"):
        asyncio.run(rewards["strict"](said, Task("other", (Message("user", "?"),), "1")))


def test_gold_answers_are_checked_by_their_own_environment() -> None:
    """A chain of a stack has no number for an answer, which arithmetic's lenient reading would refuse."""
    tasks = list(itertools.islice(MIXTURE.tasks("train"), 40))
    assert any(not task.answer.isdigit() for task in tasks)
    for verifier in MIXTURE.rewards.values():
        asyncio.run(check_gold(verifier, tasks))
        assert asyncio.run(check_all_gold(verifier, tasks)) == len(tasks)
    sums = [task for task in tasks if task.domain == "arithmetic"]
    wrong = Task("arithmetic", sums[0].prompt, "many")
    with pytest.raises(DataError, match="'many'"):
        asyncio.run(check_all_gold(MIXTURE.rewards["lenient"], [*tasks, wrong]))


RECIPE = {
    "environments": [
        {"name": "arithmetic", "weight": 2.0, "example": True, "level": {"complexity": 3}},
        {"name": "second_try", "of": {"name": "arithmetic"}},
    ]
}


def test_a_recipe_lists_several_and_is_found_again_from_what_a_run_records() -> None:
    config = load(RunConfig, RECIPE)
    first, second = config.environment.parts
    assert (first.weight, first.complexity, first.environment) == (2.0, 3, Arithmetic(example=True))
    assert second.environment == SecondTry()
    assert config.reward.verifiers == {"arithmetic": Exact(after="="), "second_try": Exact()}
    assert config.readings["lenient"].verifiers["second_try"] == Numeric(reading="any")
    assert load(RunConfig, dump(config)) == config


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({**RECIPE, "environment": {"name": "arithmetic"}}, "both given"),
        ({"environments": []}, "expected tables"),
        ({"environments": [3]}, "is no table"),
        ({"environments": [{"name": "chain"}, {"name": "chain"}]}, "two environments are filed as 'chain'"),
        ({"environments": [{"name": "chian"}]}, "chain"),
        ({"environments": [{"name": "chain", "weight": 0.0}]}, "weight"),
        ({"environments": [{"name": "chain", "machin": "stack"}]}, "machine"),
    ],
)
def test_mistakes_name_the_place_and_the_remedy(recipe, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(RunConfig, recipe)
