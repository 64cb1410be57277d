from __future__ import annotations

import math

from assay.observe.metrics import explanation
from assay.observe.step_metrics import SAME_RESPONSE, step_metrics
from assay.types import Group, Message, Score, Task
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
