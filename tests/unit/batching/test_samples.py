from __future__ import annotations

import torch

from assay.batching import to_samples
from assay.types import Completion, Ending, EndingKind, Group, Message, Rollout, Score, Task, Turn

TASK = Task("test", (Message("user", "?"),), "1")


def turn(prompt: list[int], completion: list[int], extends: bool = False, version: int = 0) -> Turn:
    logprobs = tuple(-0.25 * (i + 1) for i in range(len(completion)))
    spans = ((0, version),) if completion else ()
    return Turn(
        tuple(prompt), extends, Completion(tuple(completion), logprobs, "stop", spans), Message("assistant", "")
    )


def group(*rollouts: list[Turn], scores: list[Score] | None = None, group_id: int = 0) -> Group:
    finished = Ending(EndingKind.FINISHED)
    members = tuple(Rollout(TASK.task_id, group_id, i, tuple(turns), finished) for i, turns in enumerate(rollouts))
    return Group(group_id, TASK, members, tuple(scores or [Score.solved()] * len(rollouts)))


def test_a_rollout_of_two_turns_is_one_sample():
    [sample] = to_samples([group([turn([1, 2], [3, 4], version=5), turn([6], [7], extends=True, version=4)])])
    assert sample.token_ids.tolist() == [1, 2, 3, 4, 6, 7]
    assert sample.loss_mask.tolist() == [False, False, True, True, False, True]
    assert sample.sampling_logprobs.tolist() == [0, 0, -0.25, -0.5, 0, -0.25]
    assert (sample.weight, sample.version) == (1.0, 4)
    assert (sample.token_ids.dtype, sample.sampling_logprobs.dtype) == (torch.int64, torch.float32)


def test_a_rewritten_prefix_forks_and_the_forks_share_the_weight():
    first, second = to_samples([group([turn([1], [2], version=3), turn([9, 8], [7], extends=False, version=1)])])
    assert first.token_ids.tolist() == [1, 2]
    assert second.token_ids.tolist() == [9, 8, 7]
    assert (first.weight, second.weight) == (0.5, 0.5)
    assert (first.version, second.version) == (3, 1)
    assert first.member == second.member == 0


def test_an_empty_completion_is_context_only():
    [sample] = to_samples([group([turn([1], []), turn([2], [3], extends=True)])])
    assert sample.token_ids.tolist() == [1, 2, 3]
    assert sample.loss_mask.tolist() == [False, False, True]


def test_a_sequence_without_sampled_tokens_is_left_out_and_takes_no_weight():
    [sample] = to_samples([group([turn([1], []), turn([2], [3], extends=False)], [], [turn([4], [])])])
    assert sample.token_ids.tolist() == [2, 3]
    assert sample.weight == 1.0


def test_members_that_were_not_measured_are_not_trained_on():
    scores = [Score.failed(), Score.not_measured("sandbox"), Score.solved()]
    samples = to_samples([group([turn([1], [2])], [turn([1], [3])], [turn([1], [4])], scores=scores)])
    assert [sample.member for sample in samples] == [0, 2]


def test_groups_and_members_keep_their_order():
    groups = [group([turn([1], [2])], [turn([1], [3])], group_id=i) for i in (7, 3)]
    assert [(s.group_id, s.member) for s in to_samples(groups)] == [(7, 0), (7, 1), (3, 0), (3, 1)]


def test_each_token_knows_the_turn_that_sampled_it():
    [sample] = to_samples([group([turn([1, 2], [3, 4]), turn([6], [7], extends=True)])])
    assert sample.turn_ids is not None
    assert sample.turn_ids.tolist() == [-1, -1, 0, 0, -1, 1]
    first, second = to_samples([group([turn([1], [2]), turn([9, 8], [7], extends=False)])])
    assert first.turn_ids is not None
    assert second.turn_ids is not None
    assert (first.turn_ids.tolist(), second.turn_ids.tolist()) == ([-1, 0], [-1, -1, 1])
