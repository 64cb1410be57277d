from __future__ import annotations

import math

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
