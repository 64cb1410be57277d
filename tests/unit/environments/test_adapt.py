from __future__ import annotations

import asyncio
import itertools
from typing import get_args

import pytest

from assay.environments import check_environment, check_episode
from assay.environments.adapt import Adapt, bandit, code, sorting
from assay.environments.adapt.environment import AdaptScript, Kind
from assay.environments.splits import SPLITS
from assay.environments.tools import Message
from assay.rollout.scripted import ScriptedResult, play_script
from assay.types import Task

KINDS: tuple[Kind, ...] = get_args(Kind)


def some(environment: Adapt, count: int, **dials: float) -> list[Task]:
    return list(itertools.islice(environment.tasks("test", **dials), count))


def played(environment: Adapt, task: Task, who: str = "expert") -> ScriptedResult:
    script = environment.expert(task) if who == "expert" else environment.weak(task)
    assert script is not None
    return asyncio.run(play_script(environment, task, script))


@pytest.mark.parametrize("kind", KINDS)
def test_its_promises(kind: Kind) -> None:
    environment = Adapt(rules=kind)
    asyncio.run(check_environment(environment, num_tasks=3))
    asyncio.run(check_episode(environment.episode, some(environment, 1, complexity=2, horizon=2)[0], max_turns=60))


@pytest.mark.parametrize("kind", KINDS)
def test_the_expert_learns_every_rule_and_the_weak_script_does_not(kind: Kind) -> None:
    environment = Adapt(rules=kind)
    weak = []
    for complexity, horizon in [*environment.levels(), (2, 16)]:
        for task in some(environment, 2, complexity=complexity or 1, horizon=horizon or 1):
            result = played(environment, task)
            assert result.solved, task.metadata
            assert result.score.parts["late"] == 1.0 > result.score.parts["trial_1"] - 0.5
            weak.append(played(environment, task, "weak").solved)
    assert sum(weak) < len(weak) / 6


@pytest.mark.parametrize("kind", KINDS)
def test_turn_rewards_are_the_reward_turn_by_turn_and_off_by_default(kind: Kind) -> None:
    environment = Adapt(rules=kind, pays_turns=True)
    result = played(environment, some(environment, 1, horizon=3)[0])
    assert sum(turn.env_reward or 0.0 for turn in result.rollout.turns) == pytest.approx(result.value)
    assert all(
        turn.env_reward is None for turn in played(Adapt(rules=kind), some(Adapt(rules=kind), 1)[0]).rollout.turns
    )


def test_rules_of_the_test_split_are_in_no_other() -> None:
    seen: dict[str, set[str]] = {split: set() for split in SPLITS}
    for split, (complexity, horizon) in itertools.product(SPLITS, [(1, 1), (2, 3), (3, 2), (4, 4)]):
        values = sorting.SHAPES[complexity][1]
        for task in itertools.islice(Adapt().tasks(split, complexity=complexity, horizon=horizon), 20):
            seen[split] |= {f"{values} {stretch['rule']}" for stretch in task.metadata["world"]["stretches"]}
        for task in itertools.islice(Adapt(rules="code").tasks(split, complexity=complexity, horizon=horizon), 20):
            seen[split] |= set(task.metadata["world"]["codes"])
    assert all(len(found) > 10 for found in seen.values())
    assert not any(one & other for one, other in itertools.combinations(seen.values(), 2))
    for complexity in bandit.NUM_MACHINES:
        rules = [set(bandit.rules_of(split, complexity)) for split in SPLITS]
        assert all(rules)
        assert not any(one & other for one, other in itertools.combinations(rules, 2))


def test_without_feedback_nothing_says_whether_a_move_was_right() -> None:
    for kind in KINDS:
        with_it, without = Adapt(rules=kind), Adapt(rules=kind, feedback=False)
        task, same = some(without, 1, complexity=1, horizon=1)[0], some(with_it, 1, complexity=1, horizon=1)[0]
        assert task.metadata == same.metadata
        assert without.expert(task) is None

        async def said(move: str, environment: Adapt = without, task: Task = task) -> str:
            episode = environment.episode(task)
            await episode.start()
            return (await episode.step(Message("assistant", move))).messages[-1].content

        moves = ["BB", "CC"] if kind == "code" else ["A", "B"]
        legal = [asyncio.run(said(move)) for move in moves]
        assert not any(word in legal[0].lower() for word in ("right", "wrong", "paid", "misplaced"))
        if kind != "code":
            assert legal[0] == legal[1]


def test_a_rule_switches_without_notice() -> None:
    task = some(Adapt(), 1, horizon=2)[0]
    result = played(Adapt(), task)
    shown = [turn.env_messages[-1].content.splitlines() for turn in result.rollout.turns[:-1]]
    assert {line.split()[0] for lines in shown for line in lines} == {"Right.", "Wrong,", "Card:"}
    first = len(task.metadata["world"]["stretches"][0]["cards"])
    assert shown[first][0].startswith("Wrong"), "the first card after a switch contradicts the old rule"


def test_the_learner_by_hand() -> None:
    learner = sorting.RuleLearner(1)  # colour, shape
    learner.learn((0, 0), 2)
    assert learner.guess((0, 0)) == 2
    learner.learn((0, 1), 2)  # red again, another shape: colour counts
    learner.learn((1, 2), 0)
    assert learner.guess((2, 0)) == 1, "the pile that is left"
    learner.learn((0, 0), 1)  # contradicts: what came before is forgotten as far as need be
    assert learner.guess((0, 0)) == 1


@pytest.mark.parametrize(
    ("guess", "secret", "expected"),
    [
        ("BB", "BB", (2, 0)),
        ("BC", "CB", (0, 2)),
        ("BBC", "CBB", (1, 2)),
        ("BBBB", "BCCC", (1, 0)),
        ("CDDC", "DCCB", (0, 3)),
    ],
)
def test_nearness_by_hand(guess: str, secret: str, expected: tuple[int, int]) -> None:
    assert code.nearness(guess, secret) == expected


def test_the_code_expert_needs_no_more_guesses_than_there_are() -> None:
    for complexity, (length, num_letters) in code.SHAPES.items():
        letters = code.LETTERS[:num_letters]
        codes = ["".join(each) for each in itertools.product(letters, repeat=length)][:: 1 if complexity < 3 else 37]
        for secret in codes:
            expert = code.CodeExpert(complexity)
            world = code.CodeBreaking(complexity, {"letters": letters, "codes": [secret]})
            shown = f"{code.opening(complexity, {'letters': letters, 'codes': [secret]})}\n{world.show()}"
            while not world.over:
                shown = f"{world.play(expert.move(shown)).result}\n{world.show()}" if not world.over else ""
                if world.over:
                    break
            assert world.score().verdict.value == "solved", secret


def test_the_curve_by_hand() -> None:
    """Two machines; the good one pays 8, the other 2; moves bad, four good, bad."""
    world = bandit.Bandit(1, {"pay": [[[8, 2]] * 6]})
    for move in "BAAAAB":
        world.play(move)
    score = world.score()
    assert score.value == pytest.approx((4 + 2 * 0.25) / 6)
    assert score.parts["early"] == pytest.approx(3.25 / 4)
    assert score.parts["late"] == pytest.approx(1.25 / 2)
    assert (score.verdict.value, score.parts["trial_1"], score.parts["trial_2"]) == ("failed", 0.25, 1.0)


def test_trials_that_were_never_played_count_as_nothing() -> None:
    world = bandit.Bandit(1, {"pay": [[[8, 2]] * 4]})
    world.play("A")
    assert (world.score().value, world.score().reason) == (0.25, "not played to the end")


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_without_a_move_is_told_what_is_legal_and_loses_the_trial(kind: Kind) -> None:
    environment = Adapt(rules=kind)
    task = some(environment, 1)[0]

    async def told() -> str:
        episode = environment.episode(task)
        await episode.start()
        return (await episode.step(Message("assistant", "A or B, BC or CB \u202e" * 10_000))).messages[-1].content

    answer = asyncio.run(told())
    assert answer.startswith("Say ")
    assert len(answer) < 200


def test_scripts_read_only_what_is_shown() -> None:
    """The expert is made without the task: it has its level and the messages."""
    task = some(Adapt(), 1)[0]
    expert = Adapt().expert(task)
    assert isinstance(expert, AdaptScript)
    assert task.answer not in repr(vars(expert))
