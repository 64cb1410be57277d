"""What is left out is watched: a run that would train on the rest stops, with the causes."""

from __future__ import annotations

import pytest

from assay.errors import TrainingStoppedError
from assay.rollout.left_out import LeftOut
from assay.types import Ending, EndingKind, Group, Message, Rollout, Score, Task

TASK = Task("test", (Message("user", "?"),), "1")


def group(num_measured: int, num_left_out: int) -> Group:
    whole, broken = Ending(EndingKind.FINISHED), Ending(EndingKind.BROKEN, "it died", "sandbox")
    endings = [whole] * num_measured + [broken] * num_left_out
    rollouts = tuple(Rollout(TASK.task_id, 0, i, (), ending) for i, ending in enumerate(endings))
    scores = (Score.solved(),) * num_measured + (Score.not_measured("it died"),) * num_left_out
    return Group(0, TASK, rollouts, scores)


def play(watch: LeftOut, *groups: Group) -> None:
    watch.begin_step()
    for each in groups:
        watch.add(each)
    watch.end_step()


def test_three_steps_in_a_row_above_the_share_stop_the_run_with_the_causes() -> None:
    watch = LeftOut(0.2, rollouts_per_step=8)
    play(watch, group(6, 2))
    play(watch, group(6, 2))
    with pytest.raises(TrainingStoppedError, match=r"25% .* 3 steps in a row(.|\n)*6 x sandbox: it died"):
        play(watch, group(6, 2))


def test_a_step_within_the_share_begins_anew() -> None:
    watch = LeftOut(0.2, rollouts_per_step=10)
    for num_left_out in (3, 3, 2, 3, 3):
        play(watch, group(10 - num_left_out, num_left_out))
    assert watch.steps_in_a_row == 2


def test_a_step_that_never_fills_is_stopped_before_it_ends() -> None:
    watch = LeftOut(0.2, rollouts_per_step=8)
    watch.begin_step()
    watch.add(group(0, 8))
    watch.add(group(0, 8))
    with pytest.raises(TrainingStoppedError, match="24 rollouts of one step were left out"):
        watch.add(group(0, 8))


def test_the_count_goes_on_after_a_resume() -> None:
    watch = LeftOut(0.0, rollouts_per_step=8)
    watch.restore(2)
    with pytest.raises(TrainingStoppedError, match="3 steps in a row"):
        play(watch, group(7, 1))
