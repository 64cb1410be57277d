"""Algorithms of pairs: who is chosen, what is left out, and that a pair is never split."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch.testing import assert_close

from assay.algorithms import DPO, IPO, KTO, ORPO, LossInputs, SimPO
from assay.algorithms.preference import PAIR_ACCURACY, PAIR_MARGIN
from assay.batching import mismatched, pack, to_samples
from assay.errors import ContractError, DataError
from assay.types import Completion, Ending, EndingKind, Group, Message, Rollout, Sample, Score, Task, Turn


def group(rewards: tuple[float | None, ...], group_id: int = 0, truncated: tuple[int, ...] = ()) -> Group:
    """Member i answered with i + 1 tokens."""
    task = Task("pairs", (Message("user", f"question {group_id}"),), "")
    rollouts, scores = [], []
    for member, reward in enumerate(rewards):
        completion = Completion((7,) * (member + 1), (0.0,) * (member + 1), "stop", ((0, 0),))
        turn = Turn((1, 2, 3 + group_id), False, completion, Message("assistant", "x"))
        ending = Ending(EndingKind.TRUNCATED, "length") if member in truncated else Ending(EndingKind.FINISHED)
        rollouts.append(Rollout(task.task_id, group_id, member, (turn,), ending))
        scores.append(Score.not_measured("x") if reward is None else Score.solved(reward))
    return Group(group_id, task, tuple(rollouts), tuple(scores))


def credited(algorithm: DPO | KTO, *groups: Group) -> dict[tuple[int, int], float]:
    """(group, member) to the mark of each of its tokens."""
    samples = algorithm.credit(groups, to_samples(groups))
    return {(s.group_id, s.member): float(s.advantages[s.loss_mask].unique()) for s in samples}


def test_the_best_and_the_worst_of_a_group_are_its_pair() -> None:
    assert credited(DPO(online=True), group((0.5, 1.0, None, 0.0))) == {(0, 1): 1.0, (0, 3): -1.0}


def test_a_group_of_equals_has_no_pair_and_a_truncated_side_takes_its_pair_along() -> None:
    assert credited(DPO(), group((1.0, 1.0)), group((0.0, 1.0), 1)) == {(1, 0): -1.0, (1, 1): 1.0}
    assert credited(DPO(online=True, overlong="filter"), group((1.0, 0.0), truncated=(1,))) == {}


def test_kto_takes_every_response_alone() -> None:
    assert credited(KTO(), group((0.5, 0.0)), group((0.0,), 1)) == {(0, 0): 1.0, (0, 1): -1.0, (1, 0): -1.0}


def test_packing_never_splits_a_pair() -> None:
    groups = [group((1.0, 0.0), number) for number in range(3)]
    batches = pack(DPO().credit(groups, to_samples(groups)), max_tokens=1)[0]
    assert [batch.unit_ids.tolist() for batch in batches] == [[0, 0]] * 3


def inputs(advantages: list[float], units: list[int]) -> LossInputs:
    """One token a sample."""
    count = len(advantages)
    logprobs = torch.log(torch.tensor([0.5, 0.25, 0.1, 0.2][:count], dtype=torch.float64))
    return LossInputs(
        policy_logprobs=logprobs,
        old_logprobs=logprobs,
        advantages=torch.tensor(advantages),
        weights=torch.ones(count),
        entropy=torch.zeros(count),
        sequence_ids=torch.arange(count),
        num_sequences=count,
        unit_ids=torch.tensor(units),
        reference_logprobs=torch.full((count,), 0.25, dtype=torch.float64).log(),
    )


def test_loss_and_metrics_of_pairs_whose_sides_are_apart() -> None:
    # Ratios 2 and 1, and 0.4 and 0.8: the margins are log 2 of a right pair, and log 2 of a wrong one.
    output = DPO(beta=1.0).loss(inputs([1.0, -1.0, 1.0, -1.0], [0, 0, 1, 1]))
    assert_close(output.loss_sum, torch.tensor([1.5, 3.0], dtype=torch.float64).log().sum())
    assert float(output.metric_sums[PAIR_ACCURACY]) == 1.0
    assert_close(float(output.metric_sums[PAIR_MARGIN]), 0.0)


def test_forks_of_a_response_are_added_up() -> None:
    # 0.5 and 0.25 are two forks of one chosen response: together 1/8 over 1/16.
    output = DPO(beta=1.0).loss(inputs([1.0, 1.0, -1.0], [0, 0, 0]))
    assert_close(output.loss_sum, torch.tensor(1 + 0.4 / 2, dtype=torch.float64).log())


def test_a_lost_side_is_an_error() -> None:
    with pytest.raises(ContractError, match="lost a side"):
        DPO().loss(inputs([1.0, 1.0], [0, 1]))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (DPO, {"unbiased": True}),
        (DPO, {"kl_coefficient": 0.1}),
        (DPO, {"entropy_coefficient": 0.1}),
        (DPO, {"normaliser": "tokens"}),
        (DPO, {"dynamic_sampling": True}),
        (DPO, {"label_smoothing": 0.5}),
        (IPO, {"turn_rewards": "add"}),
        (SimPO, {"ratio_against": "sampling"}),
        (ORPO, {"overlong": "filter"}),
        (KTO, {"beta": 0.0}),
    ],
)
def test_an_option_without_effect_is_an_error(kind: type, options: dict) -> None:
    with pytest.raises(ValidationError):
        kind(**options)


def test_online_it_may_drop_groups_of_equals() -> None:
    assert DPO(online=True, dynamic_sampling=True).keep(group((1.0, 1.0))) is False
    assert not DPO(online=True).needs.pairs
    assert DPO().needs.pairs


def sample(prompt: list[int], response: list[int]) -> Sample:
    tokens = torch.tensor(prompt + response)
    mask = torch.tensor([False] * len(prompt) + [True] * len(response))
    return Sample(0, 0, tokens, mask, torch.zeros(len(tokens)))


def test_each_response_comes_after_the_next_other_prompt() -> None:
    samples = [sample([1], [5, 6]), sample([1], [7]), sample([2, 3], [8])]
    found = mismatched(samples, max_context=10)
    assert [made.token_ids.tolist() for made in found] == [[2, 3, 5, 6], [2, 3, 7], [1, 8]]
    assert [made.loss_mask.tolist() for made in found][1] == [False, False, True]


def test_what_does_not_fit_is_left_out_and_one_prompt_alone_is_an_error() -> None:
    samples = [sample([1], [5, 6]), sample([2, 3], [8])]
    assert [made.token_ids.tolist() for made in mismatched(samples, max_context=3)] == [[1, 8]]
    with pytest.raises(DataError, match="groups_per_step"):
        mismatched([sample([1], [5]), sample([1], [6])], max_context=10)
    with pytest.raises(DataError, match="fits the context"):
        mismatched(samples, max_context=1)
