"""The curriculum of proposed tasks: what is handed out, kept and forgotten, and what a proposal earns."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from assay.components import make_component
from assay.config import validate
from assay.curriculum import CurriculumSettings, ProposeCurriculum
from assay.curriculum.propose import HELD, HELD_LEVEL, HELD_SOLVED, proposal_reward
from assay.environments.arithmetic import Arithmetic
from assay.environments.units import Units
from assay.errors import ConfigError
from assay.recipe import RunConfig
from assay.types import PROPOSAL, Message, Score, Task
from simulated_learner import group_of

ENVIRONMENT = Arithmetic(example=True, instruction="")


def make(seed: int = 0, environment: Any = ENVIRONMENT, **options: Any) -> ProposeCurriculum:
    settings = make_component(CurriculumSettings, "propose", {"levels": [{"complexity": 2}], **options})
    curriculum = settings.begin(environment, seed)
    assert isinstance(curriculum, ProposeCurriculum)
    return curriculum


def task(name: str) -> Task:
    facts = {"canonical": name, "expression": name}
    return Task("arithmetic", (Message("user", name),), name, complexity=2, horizon=1, metadata=facts)


def ask(curriculum: ProposeCurriculum, group_id: int) -> Task:
    curriculum.asking = True
    try:
        return curriculum.next_task(group_id)
    finally:
        curriculum.asking = False


def step(curriculum: ProposeCurriculum, first: int, proposed: list[str], solved: list[int], size: int = 4) -> list[str]:
    """One step: group `first` proposes, as many groups as `solved` has attempt; the answers of what they attempted."""
    ask(curriculum, first)
    for name in proposed:
        curriculum.accept(task(name), first)
    groups = []
    for number, count in enumerate(solved, first + 1):
        groups.append(group_of(number, curriculum.next_task(number), [True] * count + [False] * (size - count)))
    curriculum.observe(groups)
    return [group.task.answer for group in groups]


@pytest.mark.parametrize(
    ("solved", "learnability", "difficulty"),
    [(0, 0.0, 0.0), (1, 0.5, 0.875), (4, 4 * 16 / 56, 0.5), (7, 0.5, 0.125), (8, 0.0, 0.0)],
)
def test_the_reward_of_a_proposal_by_hand(solved: int, learnability: float, difficulty: float) -> None:
    # 4 k (n - k) / (n (n - 1)) and, of Zhao et al. 2025, 1 - k / n but for tasks that all or none solve; n = 8.
    assert proposal_reward(solved, 8, "learnability") == pytest.approx(learnability)
    assert proposal_reward(solved, 8, "difficulty") == pytest.approx(difficulty)


def test_the_default_reward_is_unbiased() -> None:
    p, n = 0.3, 4
    chances = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    mean = sum(chance * proposal_reward(k, n, "learnability") for k, chance in enumerate(chances))
    assert mean == pytest.approx(4 * p * (1 - p))


def test_one_attempt_says_nothing_of_a_proposal() -> None:
    with pytest.raises(ValueError, match="1 solved of 1 attempts"):
        proposal_reward(1, 1, "difficulty")


def test_what_was_just_proposed_comes_first_then_what_is_held_then_given_tasks() -> None:
    curriculum = make()
    first = step(curriculum, 0, ["a", "b"], [2, 0, 3])
    assert first[:2] == ["a", "b"]
    assert first[2] not in ("a", "b")  # a given task: both proposed ones are under way
    assert curriculum.metrics()["propose/from_proposals_share"] == pytest.approx(2 / 3)
    assert curriculum.metrics()["propose/from_given_share"] == pytest.approx(1 / 3)
    # Nobody solved b: hopeless, and gone. The given one is no proposal, and is not held.
    assert curriculum.metrics()[HELD] == 1.0
    assert curriculum.metrics()[HELD_SOLVED] == 0.5
    assert curriculum.metrics()[HELD_LEVEL.replace("NAME", "c2_h1")] == 1.0
    second = step(curriculum, 4, ["c"], [4, 4])
    assert second == ["c", "a"]
    assert curriculum.metrics()[HELD] == 0.0  # both were solved by all: trivial
    assert math.isnan(curriculum.metrics()[HELD_SOLVED])


def test_what_nobody_attempted_is_held_and_not_taken_for_hopeless() -> None:
    curriculum = make()
    assert step(curriculum, 0, ["a", "b", "c"], [0]) == ["a"]
    assert curriculum.metrics()[HELD] == 2.0
    assert sorted(step(curriculum, 2, [], [2, 2])) == ["b", "c"]


def test_attempts_that_were_not_measured_change_nothing() -> None:
    curriculum = make()
    ask(curriculum, 0)
    curriculum.accept(task("a"), 0)
    group = group_of(1, curriculum.next_task(1), [True, True])
    unknown = Score.not_measured("the verifier failed")
    curriculum.observe([type(group)(1, group.task, group.rollouts, (group.scores[0], unknown))])
    assert curriculum.metrics()[HELD] == 1.0


def test_a_double_is_refused_until_it_is_forgotten() -> None:
    curriculum = make(memory=2)
    ask(curriculum, 0)
    assert curriculum.accept(task("a"), 0)
    assert not curriculum.accept(task("a"), 0)
    assert curriculum.accept(task("b"), 0)
    assert curriculum.accept(task("c"), 0)
    assert curriculum.accept(task("a"), 0)


def test_the_oldest_goes_beyond_the_capacity() -> None:
    curriculum = make(capacity=2)
    step(curriculum, 0, ["a", "b", "c"], [2, 2, 2])
    assert sorted(step(curriculum, 4, [], [2, 2])) == ["b", "c"]


def test_proposing_groups_are_shown_given_tasks_and_later_kept_ones_too() -> None:
    curriculum = make(shown=4)
    prompt = ask(curriculum, 0)
    assert prompt.domain == PROPOSAL
    assert [message.role for message in prompt.prompt] == ["user", "assistant"] * 4 + ["user"]
    assert ask(curriculum, 0) == prompt  # asked again, the same
    step(curriculum, 1, ["kept", "trivial", "also kept", "kept too"], [2, 4, 1, 3])
    shown = [message.content for message in ask(curriculum, 6).prompt if message.role == "assistant"]
    assert len(set(shown[:2]) & {"kept", "also kept", "kept too"}) == 2
    assert all(" + " in text for text in shown[2:])


def test_it_goes_on_from_its_state_with_a_step_half_done() -> None:
    def play(curriculum: ProposeCurriculum, begin: int) -> list[str]:
        return [
            task for first in range(begin, begin + 40, 4) for task in step(curriculum, first, [f"t{first}"], [1, 2])
        ]

    curriculum = make(seed=3)
    play(curriculum, 0)
    ask(curriculum, 40)
    curriculum.accept(task("late"), 40)
    state = json.loads(json.dumps(curriculum.state()))
    again = make(seed=3)
    again.load_state(state)
    assert again.state() == curriculum.state()
    assert not again.accept(task("t8"), 40)
    assert again.next_task(41).answer == "late"
    assert curriculum.next_task(41).answer == "late"
    assert play(again, 44) == play(curriculum, 44)
    assert again.metrics() == curriculum.metrics()


def test_an_environment_without_proposals_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no way to propose tasks of units; use an environment .*arithmetic"):
        make(environment=Units(), levels=[{}])


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"max_staleness": 1, "algorithm": {"ratio_against": "sampling"}}, "max_staleness=1 issues attempts before"),
        ({"groups_per_step": 1}, "leaves 0 of groups_per_step=1"),
        ({"groups_per_step": 4, "minibatches_per_step": 4}, "leaves 3 of groups_per_step=4"),
        ({"group_size": 1, "algorithm": {"name": "reinforce"}}, "compares at least 2"),
        ({"algorithm": {"name": "sft"}, "group_size": 1}, "group_size=1"),
    ],
)
def test_settings_that_cannot_be_had_together(settings: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        validate(RunConfig, {"curriculum": {"name": "propose"}, **settings})
