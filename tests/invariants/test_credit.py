"""What must hold for credit and loss whatever the numbers are."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from assay.algorithms import CISPO, DAPO, GRPO, GSPO, RLOO, LossInputs, Reinforce
from assay.losses import ImportanceCorrection, normalising_count, token_weights
from assay.types import Ending, EndingKind, Group, Message, Rollout, Sample, Score, Task

PLAIN = Reinforce()
COMPARING = [Reinforce(baseline="group_mean"), RLOO(), GRPO(), GRPO.dr_grpo(64), DAPO(), GSPO(), CISPO()]
REWARDS = (0.3, 1.0, 0.0, 1.0, 0.7)


def group_of(rewards: tuple[float | None, ...], order: list[int] | None = None, group_id: int = 0) -> Group:
    """Members 0, 1, ... have these rewards, None for not measured; the group holds them in this order."""
    task = Task("test", (Message("user", "?"),), "!")
    order = order or list(range(len(rewards)))
    return Group(
        group_id,
        task,
        tuple(Rollout(task.task_id, group_id, i, (), Ending(EndingKind.FINISHED)) for i in order),
        tuple(Score.not_measured("crash") if (r := rewards[i]) is None else Score.solved(r) for i in order),
    )


def sample_of(member: int, group_id: int = 0, length: int = 5, weight: float = 1.0) -> Sample:
    loss_mask = torch.arange(length) >= 2
    return Sample(
        group_id, member, torch.zeros(length, dtype=torch.long), loss_mask, torch.zeros(length), weight=weight
    )


def advantage_by_member(algorithm, groups: list[Group], members: list[int]) -> dict[int, float]:
    credited = algorithm.credit(groups, [sample_of(i) for i in members])
    return {sample.member: float(sample.advantages[-1]) for sample in credited}


@pytest.mark.parametrize("algorithm", [PLAIN, *COMPARING], ids=repr)
def test_permuting_a_group_permutes_credit(algorithm) -> None:
    members = list(range(len(REWARDS)))
    expected = advantage_by_member(algorithm, [group_of(REWARDS)], members)
    for order in ([4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
        assert advantage_by_member(algorithm, [group_of(REWARDS, order)], members) == pytest.approx(expected, rel=1e-6)
        # The same tasks and rewards under other member numbers: advantages follow the reward.
        renamed = group_of(tuple(REWARDS[i] for i in order))
        moved = advantage_by_member(algorithm, [renamed], members)
        assert {order[i]: advantage for i, advantage in moved.items()} == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("algorithm", COMPARING, ids=repr)
@pytest.mark.parametrize("reward", [0.0, 1.0, 0.1, -1 / 3])
def test_equal_rewards_give_no_gradient_at_all(algorithm, reward: float) -> None:
    credited = algorithm.credit([group_of((reward,) * 7)], [sample_of(i) for i in range(7)])
    advantages = torch.cat([sample.advantages for sample in credited])
    assert torch.equal(advantages, torch.zeros_like(advantages))

    now = torch.randn(len(advantages), generator=torch.Generator().manual_seed(0)).requires_grad_()
    ids = torch.arange(7).repeat_interleave(5)
    weights = torch.ones(len(ids))
    inputs = LossInputs(
        policy_logprobs=now,
        old_logprobs=torch.zeros_like(now),
        advantages=advantages,
        weights=weights,
        entropy=weights,
        sequence_ids=ids,
        num_sequences=7,
    )
    algorithm.loss(inputs).loss_sum.backward()
    assert now.grad is not None
    assert not now.grad.any()


@pytest.mark.parametrize("algorithm", [PLAIN, *COMPARING], ids=repr)
def test_members_not_measured_change_nothing_for_the_others(algorithm) -> None:
    complete = advantage_by_member(algorithm, [group_of((1.0, 0.0, 0.5))], [0, 1, 2])
    with_unknown = advantage_by_member(algorithm, [group_of((1.0, 0.0, 0.5, None, None))], [0, 1, 2])
    assert with_unknown == complete
    if algorithm != PLAIN:  # The same two as failures would have changed the baseline.
        assert advantage_by_member(algorithm, [group_of((1.0, 0.0, 0.5, 0.0, 0.0))], [0, 1, 2]) != complete


@pytest.mark.parametrize("algorithm", [PLAIN, *COMPARING], ids=repr)
def test_groups_do_not_see_each_other(algorithm) -> None:
    alone = advantage_by_member(algorithm, [group_of((1.0, 0.0))], [0, 1])
    beside = advantage_by_member(algorithm, [group_of((9.0, -9.0), group_id=1), group_of((1.0, 0.0))], [0, 1])
    assert beside == alone


@pytest.mark.parametrize("algorithm", [PLAIN, *COMPARING], ids=repr)
def test_forks_share_their_rollouts_credit_and_prompt_tokens_get_none(algorithm) -> None:
    whole = algorithm.credit([group_of((1.0, 0.0))], [sample_of(0), sample_of(1)])
    forked = algorithm.credit(
        [group_of((1.0, 0.0))],
        [sample_of(0, length=9, weight=0.5), sample_of(1), sample_of(0, length=4, weight=0.5)],
    )
    advantage = float(whole[0].advantages[-1])
    assert advantage > 0
    for fork in (forked[0], forked[2]):
        assert_close(fork.advantages, torch.where(fork.loss_mask, advantage, 0.0))
    assert torch.equal(forked[1].advantages, whole[1].advantages)


MINIBATCH_LENGTHS = torch.tensor([4, 1, 3, 2, 6])
MINIBATCH_SHARES = torch.tensor([1.0, 0.5, 0.5, 1.0, 1.0], dtype=torch.float64)


def gradient_and_sums(algorithm, cuts: list[list[int]]) -> dict[str, torch.Tensor]:
    """Loss, gradient and metrics of one minibatch of five samples, packed into micro-batches of these samples."""
    generator = torch.Generator().manual_seed(1)
    num_tokens = int(MINIBATCH_LENGTHS.sum())
    old, sampling, reference, advantages = torch.randn(4, num_tokens, dtype=torch.float64, generator=generator)
    parameter = torch.randn(num_tokens, dtype=torch.float64, generator=generator).requires_grad_()
    sample_of_token = torch.arange(5).repeat_interleave(MINIBATCH_LENGTHS)

    num_episodes = float(MINIBATCH_SHARES.sum())
    count = normalising_count(algorithm.normaliser, algorithm.normaliser_constant, num_tokens, 5, num_episodes)
    sums: dict[str, torch.Tensor] = {}
    for samples in cuts:
        tokens = torch.cat([torch.nonzero(sample_of_token == sample)[:, 0] for sample in samples])
        ids = torch.arange(len(samples)).repeat_interleave(MINIBATCH_LENGTHS[samples])
        weights = token_weights(algorithm.normaliser, ids, MINIBATCH_LENGTHS[samples], MINIBATCH_SHARES[samples])
        output = algorithm.loss(
            LossInputs(
                policy_logprobs=parameter[tokens],
                old_logprobs=old[tokens],
                advantages=advantages[tokens],
                weights=weights,
                entropy=torch.zeros(len(tokens)),
                sequence_ids=ids,
                num_sequences=len(samples),
                sampling_logprobs=sampling[tokens],
                reference_logprobs=reference[tokens],
            )
        )
        (output.loss_sum / count).backward()
        parts = {"loss": output.loss_sum.detach(), "weights": weights.sum(), **output.metric_sums}
        for name, value in parts.items():
            sums[name] = sums.get(name, torch.zeros(())) + value
    assert parameter.grad is not None
    return {**sums, "gradient": parameter.grad}


@pytest.mark.parametrize("normaliser", ["tokens", "sequences", "episodes", "constant"])
@pytest.mark.parametrize("algorithm", [PLAIN, RLOO(), GRPO()], ids=lambda algorithm: algorithm.name)
def test_how_a_minibatch_is_cut_changes_nothing(algorithm, normaliser) -> None:
    settings = {"normaliser": normaliser, "normaliser_constant": 8.0 if normaliser == "constant" else None}
    check_cuts(type(algorithm)(**settings))


@pytest.mark.parametrize(
    "algorithm",
    [
        GSPO(clip_low=0.5, clip_high=0.5),
        CISPO(),
        DAPO(kl_coefficient=0.1),
        RLOO(correction=ImportanceCorrection(kind="truncate", level="sequence")),
        RLOO(correction=ImportanceCorrection(kind="mask", level="geometric", low=0.2)),
    ],
    ids=repr,
)
def test_how_a_minibatch_is_cut_changes_nothing_for_whole_sequences(algorithm) -> None:
    check_cuts(algorithm)


def check_cuts(algorithm) -> None:
    whole = gradient_and_sums(algorithm, [[0, 1, 2, 3, 4]])
    for cuts in ([[0, 1], [2, 3], [4]], [[4], [3], [2], [1], [0]], [[0, 4, 2], [3, 1]]):
        for name, value in gradient_and_sums(algorithm, cuts).items():
            assert_close(value, whole[name], msg=lambda text, name=name: f"{name}: {text}")


def test_normalisers_differ_where_lengths_do() -> None:
    gradients = [
        gradient_and_sums(RLOO(normaliser=normaliser), [[0, 1, 2, 3, 4]])["gradient"]
        for normaliser in ("tokens", "sequences", "episodes")
    ]
    assert not torch.allclose(gradients[0], gradients[1])
    assert not torch.allclose(gradients[1], gradients[2])
