"""Scores that are numbers without a verdict: which doors give them, and what asks for a verdict refuses them."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydantic
import pytest

from assay.algorithms import ExpertIteration
from assay.environments import make_environment
from assay.environments.arithmetic import Arithmetic
from assay.errors import ConfigError
from assay.recipe import RunConfig
from assay.serving.session import read_report
from assay.types import Group, Message, Rollout, Score, Task, Verdict
from assay.verifiers import EpisodeValue, check_gold, make_verifier, score_rollout
from assay.verifiers.verifier import as_rollout

TASK = Task("letters", (Message("user", "Say a."),), "a")


@pytest.fixture
def functions(tmp_path: Path) -> Path:
    (tmp_path / "theirs.py").write_text(
        "def length(completions, **kwargs):\n    return [float(len(c[0]['content'])) for c in completions]\n"
        "def compute_score(data_source, solution_str, ground_truth):\n    return {'score': len(solution_str), 'n': 2}\n"
        "def plain(response, answer):\n    return len(response) / 2\n"
    )
    return tmp_path / "theirs.py"


def scored(verifier: Any, response: str) -> Score:
    return asyncio.run(score_rollout(verifier, as_rollout(response, TASK), TASK))


def group_of(*scores: Score) -> Group:
    rollouts: list[Rollout] = [as_rollout("a", TASK) for _ in scores]
    return Group(0, TASK, tuple(rollouts), scores)


def test_a_graded_score_is_measured_and_counts_neither_as_solved_nor_as_failed() -> None:
    graded = Score.graded(-3.5, parts={"x": 1.0})
    assert (graded.measured, graded.has_verdict, graded.value) == (True, False, -3.5)
    assert Score.from_dict(graded.to_dict()) == graded
    with pytest.raises(ValueError, match="graded score has value None"):
        Score(Verdict.GRADED, None)
    assert math.isnan(group_of(graded, graded).solved_share)
    assert group_of(graded, graded).is_graded
    mixed = group_of(graded, Score.solved(), Score.failed(), Score.not_measured("died"))
    assert (mixed.solved_share, mixed.is_graded, len(mixed.measured)) == (0.5, False, 3)
    assert not group_of(Score.not_measured("died")).is_graded, "nothing is known of it"


def test_where_a_value_becomes_a_verdict() -> None:
    assert Score.at(0.5, 0.5, "low") == Score.solved(0.5)
    assert Score.at(0.4, 0.5, "low") == Score.failed("low", 0.4)
    assert Score.at(0.4, "none", "low") == Score.graded(0.4)


def test_rewards_of_others_are_numbers(functions: Path) -> None:
    trl = make_verifier("trl", {"function": f"{functions}:length"})
    assert scored(trl, "four") == Score.graded(4.0)
    verl = make_verifier("verl", {"function": f"{functions}:compute_score", "solved_at": "none"})
    assert scored(verl, "four") == Score.graded(4.0, parts={"n": 2.0})
    plain = make_verifier("python", {"function": f"{functions}:plain", "solved_at": "none"})
    assert scored(plain, "four") == Score.graded(2.0)
    # The gold answer earns a number as well: nothing to be held to.
    asyncio.run(check_gold(plain, [TASK]))
    assert not any(verifier.gives_verdicts for verifier in (trl, verl, plain))
    assert make_verifier("trl", {"function": f"{functions}:length", "solved_at": 1.0}).gives_verdicts


def test_a_weighted_sum_takes_its_verdict_from_the_part_that_has_one(functions: Path) -> None:
    parts = {
        "right": {"verifier": {"name": "exact"}},
        "length": {"weight": -0.5, "verifier": {"name": "trl", "function": f"{functions}:length"}},
    }
    judged = make_verifier("weighted", {"parts": parts, "solved_by": "right"})
    assert (scored(judged, "a").verdict, scored(judged, "a").value) == (Verdict.SOLVED, 0.5)
    for solved_by in ("length", "none"):
        graded = make_verifier("weighted", {"parts": parts, "solved_by": solved_by})
        assert not graded.gives_verdicts
        expected = Score.graded(0.5, parts={"right": 1.0, "length": 1.0}, evidence="right: a")
        assert scored(graded, "a") == replace(expected, weights={"right": 1.0, "length": -0.5})


def test_an_option_that_a_number_makes_void_is_refused(functions: Path) -> None:
    with pytest.raises(ConfigError, match="gold_format 'x' has no effect with solved_at"):
        make_verifier("verl", {"function": f"{functions}:compute_score", "solved_at": "none", "gold_format": "x"})
    with pytest.raises(ConfigError, match='set form = "score"'):
        make_verifier("judge", {"model": "m", "base_url": "http://127.0.0.1:1/v1", "solved_at": "none"})
    with pytest.raises(ConfigError, match="solved_at"):
        make_verifier("trl", {"function": f"{functions}:length", "solved_at": "never"})
    with pytest.raises(ConfigError, match='set pays = "return"'):
        make_environment("gymnasium", {"id": "Taxi-v4", "solved_at": "none"})


@pytest.mark.parametrize(
    ("name", "options", "outcome"),
    [
        ("gymnasium", {"id": "Taxi-v4", "pays": "return"}, {"paid": -7.0, "ended": "terminated"}),
        ("openenv", {"url": "http://127.0.0.1:1", "pays": "return"}, {"paid": -7.0, "over": True}),
    ],
)
def test_what_an_environment_pays_in_all_is_a_number(name: str, options: dict, outcome: dict) -> None:
    source = make_environment(name, {**options, "solved_at": "none"})
    assert isinstance(source.rewards["strict"], EpisodeValue)
    found = source.read_outcome(outcome, TASK)  # type: ignore[attr-defined]
    assert (found.verdict, found.value) == (Verdict.GRADED, -7.0)


def test_the_episodes_number_is_read_without_its_verdict() -> None:
    rollout = as_rollout("a", TASK)
    for own in (Score.solved(2.0), Score.failed("lost", -1.0), Score.graded(0.5)):
        played = Rollout(rollout.task_id, 0, 0, rollout.turns, rollout.ending, own)
        found = asyncio.run(score_rollout(EpisodeValue(), played, TASK))
        assert (found.verdict, found.value, found.reason) == (Verdict.GRADED, own.value, own.reason)


def test_an_agent_may_report_a_reward_without_a_verdict() -> None:
    assert read_report(b'{"reward": 0.25, "solved": null}').score == Score.graded(0.25)
    assert read_report(b'{"reward": 0.25}').score == Score.failed(value=0.25)


def config_with(functions: Path, **settings: Any) -> RunConfig:
    reward = {"name": "trl", "function": f"{functions}:length"}
    return RunConfig.model_validate({"verifier": reward, **settings})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"curriculum": {"levels": [{"complexity": 1}, {"complexity": 2}]}}, "'level_by_level' .* set solved_at"),
        ({"curriculum": {"name": "learnability"}}, "'learnability' .* set solved_at"),
        ({"curriculum": {"name": "learning_progress"}}, "'learning_progress' .* set solved_at"),
        ({"curriculum": {"name": "rehearsal"}}, "'rehearsal' .* set solved_at"),
        ({"algorithm": {"name": "expert_iteration"}}, "expert_iteration imitates what is solved.* set solved_at"),
    ],
)
def test_a_recipe_that_needs_verdicts_says_so(functions: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        config_with(functions, **settings)


def test_a_recipe_of_numbers_and_one_level_is_good(functions: Path) -> None:
    assert not config_with(functions).reward.gives_verdicts
    config_with(functions, curriculum={"name": "uniform", "levels": [{"complexity": 1}, {"complexity": 2}]})


def test_what_only_comes_out_in_a_rollout_is_refused_there() -> None:
    with pytest.raises(ConfigError, match="set solved_at"):
        ExpertIteration().trains_on(as_rollout("a", TASK), Score.graded(1.0))
    levels = [{"complexity": 1.0, "horizon": 1.0}, {"complexity": 2.0, "horizon": 1.0}]
    for name in ("level_by_level", "learnability", "learning_progress", "rehearsal"):
        settings = RunConfig.model_validate({"curriculum": {"name": name, "levels": levels}}).curriculum
        curriculum = settings.begin(Arithmetic(), 0)
        task = curriculum.next_task(0)
        with pytest.raises(ConfigError, match=f"{name}.* set solved_at"):
            curriculum.observe([Group(0, task, (as_rollout("a", task),) * 2, (Score.graded(1.0),) * 2)])
    single = RunConfig().curriculum.begin(Arithmetic(), 0)
    task = single.next_task(0)
    single.observe([Group(0, task, (as_rollout("a", task),), (Score.graded(1.0),))])


def test_a_chain_needs_to_know_which_answer_is_right(functions: Path) -> None:
    of = {"name": "verifiers", "taskset": "theirs", "solved_at": "none"}
    with pytest.raises(ConfigError, match=r"reward of verifiers is a number.* solved_at"):
        make_environment("chained", {"of": of})
