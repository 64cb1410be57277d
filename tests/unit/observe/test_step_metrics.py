from __future__ import annotations

import math

import numpy as np

from assay.observe.metrics import explanation
from assay.observe.step_metrics import (
    KEPT_REWARD,
    KEPT_SOLVED,
    NOT_MEASURED,
    RESPONSE_TOKENS,
    REWARD,
    REWARD_HIGH,
    REWARD_LOW,
    SAME_RESPONSE,
    SIGNAL,
    SOLVED,
    step_metrics,
)
from assay.statistics import wilson
from assay.types import Completion, Ending, EndingKind, Group, Message, Rollout, Score, Task, Turn
from assay.verifiers import as_rollout


def group(group_id: int, responses: list[str]) -> Group:
    task = Task(domain="letters", prompt=(Message("user", f"letter {group_id}?"),), answer="1")
    scores = tuple(Score.solved() if response == "1" else Score.failed("wrong") for response in responses)
    return Group(group_id, task, tuple(as_rollout(response, task) for response in responses), scores)


def test_share_of_the_commonest_response_is_over_the_whole_step():
    """5 of 8 rollouts say "1", over two tasks."""
    assert step_metrics([group(0, ["1", "1", "2", "3"]), group(1, ["1", "1", "1", "4"])])[SAME_RESPONSE] == 5 / 8


def test_no_rollout_says_nothing():
    assert math.isnan(step_metrics([])[SAME_RESPONSE])


def test_parts_are_means_over_the_measured_rollouts_that_have_them():
    """right: 1, 0, 1 of the three that were measured; bonus: 0.5, in the one rollout that it applies to."""
    task = Task(domain="letters", prompt=(Message("user", "?"),), answer="1")
    scores = (
        Score.solved(1.1, parts={"right": 1.0, "shape": 1.0}),
        Score.failed("wrong", value=0.1, parts={"right": 0.0, "shape": 1.0}),
        Score.solved(1.5, parts={"right": 1.0, "shape": 0.0, "bonus": 0.5}),
        Score.not_measured("shape: died"),
    )
    metrics = step_metrics([Group(0, task, tuple(as_rollout("1", task) for _ in scores), scores)])
    parts = {name: value for name, value in metrics.items() if name.startswith("reward/part/")}
    assert parts == {"reward/part/right": 2 / 3, "reward/part/shape": 2 / 3, "reward/part/bonus": 0.5}
    assert explanation("reward/part/right").startswith("Mean of a named part")
    assert explanation("reward/parts") == ""


def test_a_part_that_nobody_measured_is_not_there():
    task = Task(domain="letters", prompt=(Message("user", "?"),), answer="1")
    scores = (Score.not_measured("shape: died", parts={"right": 0.0}),)
    metrics = step_metrics([Group(0, task, (as_rollout("1", task),), scores)])
    assert not any(name.startswith("reward/part/") for name in metrics)


def test_what_was_measured_counts_whether_it_was_kept_or_not():
    """A step that keeps one group of four: 1/2 was earned there, 1/8 by all."""
    kept = [group(0, ["1", "2"])]
    dropped = [group(i, ["2", "2"]) for i in (1, 2, 3)]
    metrics = step_metrics(kept, dropped)
    assert (metrics[REWARD], metrics[SOLVED], metrics[SIGNAL]) == (1 / 8, 1 / 8, 1 / 4)
    assert (metrics[KEPT_REWARD], metrics[KEPT_SOLVED]) == (1 / 2, 1 / 2)
    assert metrics[SAME_RESPONSE] == 7 / 8
    assert metrics[REWARD_LOW] < 1 / 8 < metrics[REWARD_HIGH]


def test_dropped_groups_that_were_not_measured_are_counted_and_no_zero():
    task = Task(domain="letters", prompt=(Message("user", "?"),), answer="1")
    broken = Group(1, task, (as_rollout("1", task),), (Score.not_measured("died"),))
    metrics = step_metrics([group(0, ["1", "1"])], [broken])
    assert (metrics[REWARD], metrics[NOT_MEASURED]) == (1.0, 1.0)
    assert metrics[RESPONSE_TOKENS] == 0.0  # nobody sampled these


def test_a_step_that_kept_nothing_has_no_kept_reward():
    metrics = step_metrics([], [group(0, ["2", "2"])])
    assert metrics[REWARD] == 0.0
    assert math.isnan(metrics[KEPT_REWARD])


def test_the_interval_is_over_tasks_and_keeps_a_width_where_nothing_was_earned():
    metrics = step_metrics([group(i, ["2"] * 8) for i in range(8)])
    assert (metrics[REWARD_LOW], metrics[REWARD_HIGH]) == (0.0, wilson(0, 8).high)
    assert all(math.isnan(step_metrics([])[name]) for name in (REWARD, REWARD_LOW, REWARD_HIGH))


def test_the_interval_covers_what_tasks_would_earn_on_average():
    """Eight groups of eight, tasks that are solved often or hardly ever: 93 % or more hold the true mean, where 1.96
    standard errors over groups hold it in 33 to 91 %."""
    generator = np.random.default_rng(0)
    for a, b, at_least in ((0.1, 3.0, 0.92), (0.5, 0.5, 0.92), (5.0, 5.0, 0.92)):
        covered, draws, truth = 0, 150, a / (a + b)
        for _ in range(draws):
            solved = generator.binomial(8, generator.beta(a, b, size=8))
            metrics = step_metrics([group(i, ["1"] * int(n) + ["2"] * int(8 - n)) for i, n in enumerate(solved)])
            covered += metrics[REWARD_LOW] <= truth <= metrics[REWARD_HIGH]
        assert covered / draws >= at_least, (a, b)


def test_environments_scaffolds_and_turns_have_metrics_of_their_own_where_there_are_some() -> None:
    def group(number: int, domain: str, verdicts: str, turns: int, **metadata: object) -> Group:
        task = Task(domain, (Message("user", "?"),), "1", metadata=metadata)
        completion = Completion((5,), (-0.1,), "stop", ((0, 0),))
        played = tuple(
            Turn((1,), i > 0, completion, Message("assistant", "x"), env_reward=0.5 if i else None)
            for i in range(turns)
        )
        rollouts = tuple(
            Rollout(task.task_id, number, i, played, Ending(EndingKind.FINISHED)) for i in range(len(verdicts))
        )
        return Group(number, task, rollouts, tuple(Score.solved() if v == "s" else Score.failed() for v in verdicts))

    found = step_metrics([group(0, "a", "ss", 1, scaffold="react"), group(1, "a", "sf", 1), group(2, "b", "ff", 4)])
    assert found["environment/a/solved_share"] == 0.75
    assert found["environment/b/solved_share"] == 0.0
    assert (found["environment/a/turns"], found["environment/b/turns"], found["rollout/turns"]) == (1, 4, 2)
    assert found["environment/b/response_tokens"] == 4
    assert (found["environment/a/reward_low"], found["environment/a/reward_high"]) != (0, 1)
    assert found["environment/a/reward_low"] < 0.75 < found["environment/a/reward_high"]
    assert (found["environment/a/groups_with_signal_share"], found["reward/groups_with_signal_share"]) == (0.5, 1 / 3)
    assert found["environment/b/turn_reward_mean"] == 0.5
    assert "environment/a/turn_reward_mean" not in found, "it pays nothing for turns"
    assert found["environment/b/commonest_response_share"] == 1
    assert found["reward/turn_mean"] == 0.5
    assert (found["scaffold/share"], found["scaffold/solved_share"]) == (1 / 3, 1.0)
    assert found["scaffold/without_solved_share"] == 0.25
    alone = step_metrics([group(0, "a", "sf", 1)])
    assert not [name for name in alone if name.startswith(("environment/", "scaffold/")) or "turn" in name]


def test_each_metric_of_a_steps_rollouts_is_told_of_each_environment_and_explained() -> None:
    def group(number: int, domain: str, part: str) -> Group:
        task = Task(domain, (Message("user", "?"),), "1")
        scores = tuple(Score.solved(1.0, parts={part: value}, weights={part: 1.0}) for value in (0.0, 1.0))
        return Group(number, task, tuple(as_rollout("1", task) for _ in scores), scores)

    found = step_metrics([group(0, "a", "near"), group(1, "b/c", "far")])
    assert found["environment/a/part/near"] == found["reward/part/near"] == 0.5
    assert found["environment/b/c/part_signal/far"] == 1.0
    assert "environment/a/part/far" not in found
    whole = {name for name in found if name.startswith(("reward/", "rollout/")) and "/part" not in name}
    own = {name.removeprefix("environment/a/") for name in found if name.startswith("environment/a/")}
    names = {"reward/mean": "reward_mean", "reward/low": "reward_low", "reward/high": "reward_high"}
    assert {names.get(name, name.partition("/")[2]) for name in whole} - {"kept_mean", "kept_solved_share"} <= own
    assert [name for name in found if not explanation(name)] == []
    assert explanation("environment/b/c/part/far").startswith("As reward/part/NAME")
    assert explanation("environment/b/c/solved_share").startswith("As reward/solved_share")
