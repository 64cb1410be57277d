from __future__ import annotations

import time

import pytest
import torch

from assay.batching import pack
from assay.types import CreditedSample, Sample


def sample(prompt: list[int], completion: list[int], group_id: int = 0, member: int = 0, **changes) -> Sample:
    length = len(prompt) + len(completion)
    mask = torch.arange(length) >= len(prompt)
    tokens = torch.tensor(prompt + completion)
    return Sample(group_id, member, tokens, mask, sampling_logprobs=-tokens / 100 * mask, **changes)


def test_a_shared_prompt_is_laid_down_once():
    samples = [
        sample([1, 2, 3], [4, 5], member=0),
        sample([1, 2, 3], [6, 7, 8], member=1),
        sample([9], [10], group_id=1),
    ]
    [[batch]] = pack(samples, 100)
    # The last token of a sample predicts nothing: 5, 8 and 10 are targets only.
    assert batch.token_ids.tolist() == [1, 2, 3, 4, 6, 7, 9]
    assert batch.position_ids.tolist() == [0, 1, 2, 3, 3, 4, 0]
    assert batch.segment_ids.tolist() == [0, 0, 0, 1, 2, 2, 3]
    assert batch.prefix_segments.tolist() == [0, 0, 0, 3]
    assert batch.predict_from.tolist() == [2, 3, 2, 4, 5, 6]
    assert batch.target_ids.tolist() == [4, 5, 6, 7, 8, 10]
    assert batch.sequence_ids.tolist() == [0, 0, 1, 1, 1, 2]
    assert batch.sequence_lengths.tolist() == [2, 3, 1]
    assert batch.group_ids.tolist() == [0, 0, 1]
    assert batch.member_ids.tolist() == [0, 1, 0]
    assert batch.sample_ids.tolist() == [0, 1, 2]
    assert batch.sampling_logprobs.tolist() == pytest.approx([-0.04, -0.05, -0.06, -0.07, -0.08, -0.10])
    assert batch.advantages.tolist() == [0.0] * 6
    assert batch.proximal_logprobs is None


def test_what_all_prompts_begin_with_is_laid_down_once():
    opening = list(range(20, 40))
    samples = [
        sample([*opening, 1, 2], [4, 5], member=0),
        sample([*opening, 1, 2], [6, 7, 8], member=1),
        sample([*opening, 1, 3], [9, 10], group_id=1),
    ]
    [[batch]] = pack(samples, 100)
    assert batch.token_ids.tolist() == [*opening, 1, 2, 4, 6, 7, 3, 9]
    assert batch.position_ids.tolist() == [*range(21), 21, 22, 22, 23, 21, 22]
    assert batch.segment_ids.tolist() == [0] * 21 + [1, 2, 3, 3, 4, 4]
    assert batch.prefix_segments.tolist() == [0, 0, 1, 1, 0]
    assert batch.predict_from.tolist() == [21, 22, 21, 23, 24, 25, 26]
    assert batch.target_ids.tolist() == [4, 5, 6, 7, 8, 9, 10]


def test_a_short_opening_is_not_worth_a_segment():
    opening = list(range(20, 35))
    [[batch]] = pack([sample([*opening, 1], [4]), sample([*opening, 2], [4], group_id=1)], 100)
    assert batch.prefix_segments.tolist() == [0, 1]
    [[batch]] = pack([sample([*opening, 9, 1], [4]), sample([*opening, 9, 2], [4], group_id=1)], 100)
    assert batch.prefix_segments.tolist() == [0, 0, 0]


def test_an_opening_counts_once_towards_the_limit():
    opening = list(range(20, 40))
    samples = [sample([*opening, g], [4, 5, 6], group_id=g) for g in range(6)]  # 20 once, then 3 each
    micro_batches = pack(samples, 30)[0]
    assert [batch.num_tokens for batch in micro_batches] == [29, 29]


def turns(*parts: tuple[list[int], bool], member: int = 0) -> Sample:
    """What was said, and whether it was sampled."""
    tokens = torch.tensor([token for part, _ in parts for token in part])
    mask = torch.tensor([sampled for part, sampled in parts for _ in part])
    return Sample(0, member, tokens, mask, torch.zeros(len(tokens)))


def test_forks_share_their_turns_sampled_tokens_included():
    prompt, first, said = list(range(20, 36)), list(range(40, 60)), list(range(60, 80))
    whole = turns((prompt, False), (first, True), (said, False), ([1, 2], True))
    # A fork in which the same words are what was said before, another whose first turn was rewritten, and a sibling.
    fork = turns(([*prompt, *first, *said], False), ([3, 4], True))
    rewritten = turns(([*prompt, *first[:2], 99, *said], False), ([5, 6], True))
    sibling = turns((prompt, False), ([7, 8], True), member=1)
    [[batch]] = pack([whole, fork, rewritten, sibling], 1000)
    assert batch.num_tokens == 56 + 1 + 1 + (39 - 18 + 1) + 1
    # prompt | two tokens more | rest of the turn, said | 1 | 3 | rewritten, 5 | 7
    assert batch.prefix_segments.tolist() == [0, 0, 1, 2, 2, 1, 0]
    assert batch.segment_ids.bincount().tolist() == [16, 2, 38, 1, 1, 22, 1]
    assert batch.target_ids.tolist() == [*first, 1, 2, 3, 4, 5, 6, 7, 8]
    assert batch.predict_from.tolist() == [*range(15, 35), 55, 56, 55, 57, 78, 79, 15, 80]
    assert batch.position_ids[batch.predict_from].tolist() == [*range(15, 35), 55, 56, 55, 56, 38, 39, 15, 16]


def test_siblings_that_sampled_the_same_are_laid_down_once():
    alike = [sample([1, 2, 3], [4, 5, 6], member=i) for i in range(3)]
    [[batch]] = pack([*alike, sample([1, 2, 3], [4, 5], member=3)], 100)
    assert batch.token_ids.tolist() == [1, 2, 3, 4, 5]
    assert batch.predict_from.tolist() == [2, 3, 4] * 3 + [2, 3]
    assert batch.prefix_segments.tolist() == [0]


def test_a_prompt_is_not_shared_when_told_so():
    [[batch]] = pack([sample([1, 2], [3]), sample([1, 2], [4])], 100, share_prompts=False)
    assert batch.token_ids.tolist() == [1, 2, 1, 2]
    assert batch.prefix_segments.tolist() == [0, 1]
    assert batch.predict_from.tolist() == [1, 3]


def test_continuations_of_one_token_need_no_segment():
    [[batch]] = pack([sample([1, 2], [3]), sample([1, 2], [4])], 100)
    assert batch.token_ids.tolist() == [1, 2]
    assert batch.prefix_segments.tolist() == [0]
    assert batch.predict_from.tolist() == [1, 1]
    assert batch.target_ids.tolist() == [3, 4]


def test_what_follows_the_last_trained_token_is_left_out_and_turns_keep_their_context():
    tokens = torch.tensor([1, 2, 3, 4, 5, 6, 7])
    mask = torch.tensor([False, True, False, False, True, False, False])
    [[batch]] = pack([Sample(0, 0, tokens, mask, torch.zeros(7))], 100)
    assert batch.token_ids.tolist() == [1, 2, 3, 4]
    assert batch.predict_from.tolist() == [0, 3]
    assert batch.target_ids.tolist() == [2, 5]


def test_micro_batches_hold_at_most_max_tokens():
    samples = [sample([1, 2, 3, 4], [5 + i, 6, 7], member=i) for i in range(6)]  # 4 once, then 2 each
    micro_batches = pack(samples, 9)[0]
    assert [batch.num_tokens for batch in micro_batches] == [8, 8, 8]
    assert [batch.sample_ids.tolist() for batch in micro_batches] == [[0, 1], [2, 3], [4, 5]]


def test_a_sample_longer_than_the_limit_has_a_micro_batch_of_its_own():
    micro_batches = pack([sample([1], [2]), sample([1] * 20, [2]), sample([1], [2])], 5)[0]
    assert [batch.num_tokens for batch in micro_batches] == [1, 20, 1]


def test_minibatches_are_whole_groups_as_even_as_they_can_be():
    samples = [sample([1], [2] * (g + 1), group_id=g, member=i) for g in range(5) for i in range(g + 1)]
    minibatches = pack(samples, 1000, num_minibatches=3)
    groups = [sorted({g for batch in minibatch for g in batch.group_ids.tolist()}) for minibatch in minibatches]
    assert groups == [[0], [1, 2], [3, 4]]


def test_there_are_no_more_minibatches_than_groups():
    assert len(pack([sample([1], [2])], 10, num_minibatches=4)) == 1
    assert pack([], 10) == []


def test_a_sample_without_trained_tokens_is_left_out_and_ids_still_point_into_the_list():
    silent = Sample(0, 0, torch.tensor([1, 2]), torch.tensor([False, False]), torch.zeros(2))
    [[batch]] = pack([silent, sample([1], [2])], 10)
    assert batch.sample_ids.tolist() == [1]


def test_credit_and_proximal_log_probabilities_follow_their_tokens():
    one = sample([1, 2], [3, 4], weight=0.5, proximal_logprobs=torch.tensor([0.0, 0.0, -1.0, -2.0]))
    two = sample([1, 2], [5], proximal_logprobs=torch.tensor([0.0, 0.0, -3.0]))
    credited = [
        CreditedSample.of(one, torch.tensor([0.0, 0.0, 0.5, 0.25])),
        CreditedSample.of(two, torch.tensor([0, 0, -1.0])),
    ]
    [[batch]] = pack(credited, 10)
    assert batch.advantages.tolist() == [0.5, 0.25, -1.0]
    assert batch.proximal_logprobs is not None
    assert batch.proximal_logprobs.tolist() == [-1.0, -2.0, -3.0]
    assert batch.sequence_weights.tolist() == [0.5, 1.0]


def test_what_cannot_be_packed_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        pack([sample([1], [2])], 0)
    with pytest.raises(ValueError, match="at least 1"):
        pack([sample([1], [2])], 10, num_minibatches=0)
    with pytest.raises(ValueError, match="all samples"):
        pack([sample([1], [2]), sample([1], [2], proximal_logprobs=torch.zeros(2))], 10)
    with pytest.raises(ValueError, match="all samples"):
        pack([sample([1], [2]), CreditedSample.of(sample([1], [2]), torch.zeros(2))], 10)


def test_a_million_tokens_are_packed_in_seconds():
    samples = [sample(list(range(g, g + 200)), [7] * 800, group_id=g, member=i) for g in range(125) for i in range(8)]
    start = time.process_time()
    minibatches = pack(samples, 16_384, num_minibatches=4)
    assert time.process_time() - start < 5.0
    assert sum(batch.num_predictions for minibatch in minibatches for batch in minibatch) == 800_000


def test_a_unit_is_never_split():
    # Two pairs of 3 + 3 packed tokens; the second would end after its first half if samples were laid down one by one.
    pairs = [
        sample([10 * pair + side], [1, 2, 3], group_id=pair, member=side, unit_id=0)
        for pair in (1, 2)
        for side in (0, 1)
    ]
    [batches] = pack(pairs, 9)
    assert [batch.group_ids.tolist() for batch in batches] == [[1, 1], [2, 2]]
    assert [batch.unit_ids.tolist() for batch in batches] == [[0, 0], [0, 0]]
    alone = [one.replace(unit_id=None) for one in pairs]
    [batches] = pack(alone, 9)
    assert [batch.group_ids.tolist() for batch in batches] == [[1, 1, 2], [2]]
    assert [batch.unit_ids.tolist() for batch in batches] == [[0, 1, 2], [0]]


def test_units_of_one_group_are_told_apart_and_larger_ones_than_a_micro_batch_stay_whole():
    two = [sample([7], [member, 2], member=member, unit_id=unit) for unit, member in ((0, 0), (1, 1), (0, 2), (1, 3))]
    [[batch]] = pack(two, 100)
    assert batch.member_ids.tolist() == [0, 2, 1, 3]
    assert batch.unit_ids.tolist() == [0, 0, 1, 1]
    [batches] = pack(two, 2)
    assert [batch.member_ids.tolist() for batch in batches] == [[0, 2], [1, 3]]
