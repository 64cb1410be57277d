"""Options that vary the published algorithms, in numbers worked by hand and in TRL's and verl's own formulas."""

from __future__ import annotations

import math
from typing import Any, get_args

import pydantic
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from assay.algorithms import (
    CISPO,
    DAPO,
    DPPO,
    GRPO,
    GSPO,
    PPO,
    RLOO,
    SAPO,
    SFT,
    Algorithm,
    AnyAlgorithm,
    Distillation,
    ExpertIteration,
    LossInputs,
    Reinforce,
    ReinforcePP,
)
from assay.errors import ContractError
from assay.losses import ImportanceCorrection
from assay.types import Completion, Ending, EndingKind, Group, Message, Rollout, Sample, Score, Task, Turn

TASK = Task("test", (Message("user", "?"),), "!")
COMPARING = (RLOO, GRPO, DAPO, GSPO, CISPO, SAPO, DPPO, ReinforcePP)
OF_REWARDS = (Reinforce, PPO, *COMPARING)


def group_of(*rewards: float, group_id: int = 0, truncated: tuple[int, ...] = (), length: int = 2) -> Group:
    """A group whose members earned these rewards; above 0 is solved."""
    rollouts, scores = [], []
    for i, reward in enumerate(rewards):
        completion = Completion((1,) * length, (-0.5,) * length, "stop", ((0, 0),))
        turn = Turn((0,), False, completion, Message("assistant", "?"))
        kind = EndingKind.TRUNCATED if i in truncated else EndingKind.FINISHED
        rollouts.append(Rollout(TASK.task_id, group_id, i, (turn,), Ending(kind)))
        scores.append(Score.solved(reward) if reward > 0 else Score.failed(value=reward))
    return Group(group_id, TASK, tuple(rollouts), tuple(scores))


def sample_of(member: int, group_id: int = 0, **annotations: list[float]) -> Sample:
    length = len(next(iter(annotations.values()), [0.0, 0.0]))
    mask = torch.tensor([False] + [True] * length)
    tensors: dict[str, Any] = {name: torch.tensor([0.0, *values]) for name, values in annotations.items()}
    sampling = torch.full((1 + length,), -0.5) * mask
    return Sample(group_id, member, torch.arange(1 + length), mask, sampling, **tensors)


def inputs_of(now: list[float], old: list[float], advantages: list[float], **changes: Any) -> LossInputs:
    """Tokens of one sequence, unless `sequence_ids` says otherwise."""
    ids = changes.pop("sequence_ids", torch.zeros(len(now), dtype=torch.long))
    values: dict[str, Any] = {
        "policy_logprobs": torch.tensor(now, dtype=torch.float64).log().requires_grad_(),
        "old_logprobs": torch.tensor(old, dtype=torch.float64).log(),
        "advantages": torch.tensor(advantages, dtype=torch.float64),
        "weights": torch.ones(len(now), dtype=torch.float64),
        "entropy": torch.zeros(len(now), dtype=torch.float64),
        "sequence_ids": ids,
        "num_sequences": int(ids.max()) + 1,
    }
    return LossInputs(**(values | changes))


def gradient_of(algorithm: Algorithm, inputs: LossInputs) -> list[float]:
    """[N] of the summed loss by each token's log-probability."""
    (gradient,) = torch.autograd.grad(algorithm.loss(inputs).loss_sum, inputs.policy_logprobs)
    return gradient.tolist()


# ---- the off-policy sequence mask ----


def trl_off_policy_mask(advantages_B: Tensor, now_BT: Tensor, sampled_BT: Tensor, mask_BT: Tensor, threshold: float):
    """What TRL 1.16 multiplies the loss with, from its documentation: keep where A >= 0, or the mean over the
    sequence of log sampled - log now is at most the threshold."""
    distance_B = ((sampled_BT - now_BT) * mask_BT).sum(1) / mask_BT.sum(1)
    return ((advantages_B >= 0) | (distance_B <= threshold)).double()


def test_a_failure_that_the_policy_has_left_is_left_alone() -> None:
    """Two sequences of two tokens: mean log ratios log 2 and 0; the first is beyond 0.5, and left where it failed."""
    now, sampled = [0.1, 0.4, 0.5, 0.5], [0.4, 0.4, 0.5, 0.5]
    ids = torch.tensor([0, 0, 1, 1])
    for first, kept in ((-1.0, [0, 0, 1, 1]), (1.0, [1, 1, 1, 1])):
        inputs = inputs_of(now, sampled, [first, first, -1.0, -1.0], sequence_ids=ids)
        plain = gradient_of(RLOO(), inputs)
        masked = RLOO(off_policy_mask=0.5)
        assert gradient_of(masked, inputs) == [k * g for k, g in zip(kept, plain, strict=True)]
        share = masked.loss(inputs).metric_sums["loss/off_policy_share"]
        assert float(share) == 4 - sum(kept)
        assert (
            kept[::2]
            == trl_off_policy_mask(
                inputs.advantages[::2],
                inputs.policy_logprobs.detach().view(2, 2),
                inputs.old_logprobs.view(2, 2),
                torch.ones(2, 2),
                0.5,
            ).tolist()
        )


def test_the_off_policy_mask_looks_at_the_sampler_whatever_the_ratio_is_against() -> None:
    far = torch.tensor([0.9, 0.9], dtype=torch.float64).log()
    inputs = inputs_of([0.1, 0.1], [0.1, 0.1], [-1.0, -1.0], sampling_logprobs=far)
    assert gradient_of(RLOO(off_policy_mask=0.5), inputs) == [0.0, 0.0]
    assert gradient_of(RLOO(off_policy_mask=3.0), inputs) == [1.0, 1.0]


def test_the_off_policy_mask_leaves_kl_and_entropy() -> None:
    inputs = inputs_of(
        [0.1, 0.1], [0.9, 0.9], [-1.0, -1.0], reference_logprobs=torch.full((2,), -1.0, dtype=torch.float64)
    )
    with_kl = RLOO(off_policy_mask=0.5, kl_coefficient=0.1)
    only_kl = RLOO(kl_coefficient=0.1)
    without = inputs_of([0.1, 0.1], [0.9, 0.9], [0.0, 0.0], reference_logprobs=inputs.reference_logprobs)
    assert gradient_of(with_kl, inputs) == gradient_of(only_kl, without)


@pytest.mark.parametrize("algorithm", [SFT, ExpertIteration], ids=lambda a: a.__name__)
def test_imitation_has_no_failures_to_mask(algorithm: type[Algorithm]) -> None:
    with pytest.raises(pydantic.ValidationError, match="off_policy_mask has no effect"):
        algorithm.model_validate({"off_policy_mask": 0.5})


# ---- the overlong filter and the price of length, for all ----


@pytest.mark.parametrize("algorithm", OF_REWARDS, ids=lambda a: a.__name__)
def test_every_algorithm_of_rewards_can_filter_what_was_cut_off(algorithm: type[Algorithm]) -> None:
    """It is compared with and not trained on: 1 beside a failure that was cut off keeps its advantage."""
    samples = [sample_of(i, values=[0.0, 0.0]) for i in range(3)]
    group = group_of(1.0, 0.0, 0.5, truncated=(1,))
    filtered = algorithm.model_validate({"overlong": "filter", "dynamic_sampling": False}).credit([group], samples)
    assert [sample.member for sample in filtered] == [0, 2]
    if algorithm not in (PPO, ReinforcePP):
        whole = algorithm.model_validate({"dynamic_sampling": False}).credit([group], samples)
        assert_close(filtered[0].advantages, whole[0].advantages)


def test_expert_iteration_and_distillation_can_filter_too() -> None:
    group = group_of(1.0, 1.0, truncated=(1,))
    assert [s.member for s in ExpertIteration(overlong="filter").credit([group], [sample_of(0), sample_of(1)])] == [0]
    assert not ExpertIteration(overlong="filter").keep(group_of(1.0, truncated=(0,)))
    samples = [sample_of(i, teacher_logprobs=[-0.1, -0.2]) for i in range(2)]
    filtered = Distillation(teacher="somewhere", overlong="filter").credit([group], samples)
    assert [sample.member for sample in filtered] == [0]


@pytest.mark.parametrize("algorithm", OF_REWARDS, ids=lambda a: a.__name__)
def test_every_algorithm_of_rewards_can_price_length(algorithm: type[Algorithm]) -> None:
    shaped = algorithm.model_validate({"overlong": "penalty", "max_response_tokens": 4, "overlong_margin": 4})
    (member,) = list(group_of(1.0, length=2).measured)
    assert shaped.reward(member[0], member[1], 1.0) == 0.5


@pytest.mark.parametrize(
    ("algorithm", "settings", "message"),
    [
        (SFT, {"overlong": "filter"}, "overlong has no effect"),
        (ExpertIteration, {"overlong": "penalty"}, "not made of rewards"),
        (Distillation, {"teacher": "x", "overlong": "penalty"}, "not made of rewards"),
        (GRPO, {"overlong": "penalty"}, "needs max_response_tokens and overlong_margin"),
        (PPO, {"max_response_tokens": 10}, "max_response_tokens has no effect"),
        (RLOO, {"sequence_clip": 0.2}, 'no effect with ratio "token"'),
        (GRPO, {"scale_by_std": "step"}, "scale_by_std"),
        (RLOO, {"pass_at_k": 0}, "greater than or equal to 1"),
        (RLOO, {"off_policy_mask": 0.0}, "greater than 0"),
        (DPPO, {"divergence": "js"}, "divergence"),
    ],
)
def test_options_that_cannot_be_meant(algorithm: type[Algorithm], settings: dict, message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        algorithm.model_validate(settings)


# ---- normalisers ----


@pytest.mark.parametrize("normaliser", ["tokens", "groups", "turns", "sequences", "episodes", "constant"])
@pytest.mark.parametrize("algorithm", get_args(get_args(AnyAlgorithm)[0]), ids=lambda a: a.__name__)
def test_every_algorithm_can_have_every_normaliser(algorithm: type[Algorithm], normaliser: str) -> None:
    settings: dict[str, Any] = {"teacher": "somewhere"} if algorithm is Distillation else {}
    if normaliser == "constant":
        settings["normaliser_constant"] = 8.0
    assert algorithm.model_validate({"normaliser": normaliser, **settings}).normaliser == normaliser


def test_luspo_is_gspo_with_a_constant() -> None:
    """TRL's luspo: the mean over sequences of the sum over tokens of -min(s A, clip(s) A). Sequences of three tokens
    (ratios 2, 1, 1/2: s = 1) and of one (ratio 4, clipped at 1.5): -(3 + 1.5) / 2."""
    ids = torch.tensor([0, 0, 0, 1])
    inputs = inputs_of([0.8, 0.5, 0.2, 0.8], [0.4, 0.5, 0.4, 0.2], [1.0] * 4, sequence_ids=ids)
    luspo = GSPO(normaliser="constant", normaliser_constant=1, clip_low=0.5, clip_high=0.5)
    assert float(luspo.loss(inputs).loss_sum.detach()) / 2 == pytest.approx(-(3 + 1.5) / 2)


# ---- rewards scaled by the batch ----


@pytest.mark.parametrize("algorithm", [GRPO, DAPO, GSPO, CISPO, SAPO, DPPO], ids=lambda a: a.__name__)
def test_advantages_over_the_standard_deviation_of_all_rewards(algorithm: type[Algorithm]) -> None:
    """Rewards 1, 0 and 1, 1: deviation 1/2 over the four, so 1, -1, 0, 0; TRL's scale_rewards="batch" with its epsilon
    of 1e-4 gives 0.9998."""
    groups = [group_of(1.0, 0.0), group_of(1.0, 1.0, group_id=1)]
    samples = [sample_of(i, group_id=g) for g in (0, 1) for i in (0, 1)]
    credited = algorithm.model_validate({"scale_by_std": "batch"}).credit(groups, samples)
    assert [float(sample.advantages[-1]) for sample in credited] == pytest.approx([1, -1, 0, 0], abs=1e-5)
    rewards = torch.tensor([1.0, 0.0, 1.0, 1.0])
    trl = (rewards - torch.tensor([0.5, 0.5, 1.0, 1.0])) / (rewards.std() + 1e-4)
    assert [float(sample.advantages[-1]) for sample in credited] == pytest.approx(trl.tolist(), abs=3e-4)


def test_equal_rewards_in_the_whole_batch_give_exact_zeros() -> None:
    groups = [group_of(0.1, 0.1, 0.1), group_of(0.1, 0.1, 0.1, group_id=1)]
    samples = [sample_of(i, group_id=g) for g in (0, 1) for i in range(3)]
    assert not any(sample.advantages.any() for sample in GRPO(scale_by_std="batch").credit(groups, samples))


# ---- SAPO, DPPO ----


def test_sapo_by_hand() -> None:
    """Gates at ratio 2: 4 sigmoid(1) and 4 / 1.05 sigmoid(1.05); slopes 4 sigmoid' times the ratio. As verl's and TRL's
    formula has it."""
    inputs = inputs_of([0.8, 0.8], [0.4, 0.4], [1.0, -1.0])

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    by_hand = -4 * sigmoid(1.0) + 4 / 1.05 * sigmoid(1.05)
    assert float(SAPO().loss(inputs).loss_sum.detach()) == pytest.approx(by_hand)
    slopes = [4 * sigmoid(t) * (1 - sigmoid(t)) * 2 for t in (1.0, 1.05)]
    assert gradient_of(SAPO(), inputs) == pytest.approx([-slopes[0], slopes[1]])
    assert gradient_of(SAPO(), inputs_of([0.5], [0.5], [1.0])) == pytest.approx([-1.0]), "on fresh samples a plain step"


def verl_dppo_gradient(now: float, old: float, advantage: float, bound: float, kl: bool) -> float:
    """Of verl's loss -A sg(min(ratio, 20)) log pi times its mask, by log pi."""
    if kl:
        moved = old * (math.log(old) - math.log(now)) + (1 - old) * math.log((1 - old + 1e-8) / (1 - now + 1e-8))
        valid = moved <= bound or (now <= old if advantage > 0 else now >= old)
    else:
        valid = now - old <= bound if advantage > 0 else now - old >= -bound
    return -advantage * min(now / old, 20.0) * valid


@pytest.mark.parametrize("kl", [False, True])
def test_dppo_is_verls(kl: bool) -> None:
    pairs = [(0.8, 0.5), (0.5, 0.8), (1e-3, 1e-5), (1e-5, 1e-3), (0.8, 0.99), (0.55, 0.5), (0.5, 0.5)]
    settings: dict[str, Any] = {"divergence": "kl", "max_fall": 0.05, "max_rise": 0.05} if kl else {}
    bound = 0.05 if kl else 0.15
    masked = 0
    for advantage in (1.0, -1.0):
        inputs = inputs_of([n for n, _ in pairs], [o for _, o in pairs], [advantage] * len(pairs))
        expected = [verl_dppo_gradient(n, o, advantage, bound, kl) for n, o in pairs]
        assert gradient_of(DPPO.model_validate(settings), inputs) == pytest.approx(expected)
        masked += expected.count(0.0)
    assert masked == 3, "0.5 to 0.8, and 0.8 to 0.5 and 0.99 to 0.8: rare tokens move freely"


def test_dppo_looks_at_the_sampler() -> None:
    assert DPPO().ratio_against == "sampling"
    assert not DPPO().needs.proximal


# ---- truncated importance sampling with a lower bound ----


def test_small_weights_are_raised_to_the_lower_bound() -> None:
    """Trainer over sampler 4, 1 and 1/4: 2, 1 and 1/2, as TRL's token_truncate with clip_min 0.5 and clip_max 2."""
    sampling = torch.tensor([0.1, 0.4, 0.8], dtype=torch.float64).log()
    inputs = inputs_of([0.4, 0.4, 0.2], [0.4, 0.4, 0.2], [1.0] * 3, sampling_logprobs=sampling)
    corrected = RLOO(correction=ImportanceCorrection(kind="truncate", low=0.5, high=2.0))
    assert gradient_of(corrected, inputs) == pytest.approx([-2.0, -1.0, -0.5])
    assert float(corrected.loss(inputs).metric_sums["loss/correction_cut_share"]) == 2.0


# ---- RLOO with the sequence's ratio ----


def test_rloo_weights_a_response_by_its_whole_ratio() -> None:
    """Sequences with ratios 2 x 1.5 and 1/2: every token of the first has weight 3, as TRL's loss
    -exp(sum log ratio) A per sequence has it."""
    ids = torch.tensor([0, 0, 1])
    inputs = inputs_of([0.8, 0.6, 0.2], [0.4, 0.4, 0.4], [1.0, 1.0, -1.0], sequence_ids=ids)
    assert gradient_of(RLOO(ratio="sequence"), inputs) == pytest.approx([-3.0, -3.0, 0.5])
    assert gradient_of(RLOO(), inputs) == pytest.approx([-2.0, -1.5, 0.5])


@pytest.mark.parametrize("advantage", [1.0, -1.0])
@pytest.mark.parametrize("ratios", [(1.5, 1.5), (1.1, 1.05), (0.5, 1.0), (0.9, 1.0)])
def test_rloo_with_a_clip_is_trls(ratios: tuple[float, float], advantage: float) -> None:
    old = torch.tensor([0.4, 0.4], dtype=torch.float64)
    now = (old * torch.tensor(ratios, dtype=torch.float64)).log().requires_grad_()
    whole = (now - old.log()).sum().exp()
    trl = -torch.min(whole * advantage, whole.clamp(0.8, 1.2) * advantage)
    (expected,) = torch.autograd.grad(trl, now)
    inputs = inputs_of([0.4 * r for r in ratios], [0.4, 0.4], [advantage] * 2)
    assert gradient_of(RLOO(ratio="sequence", sequence_clip=0.2), inputs) == pytest.approx(expected.tolist())


def test_a_response_that_has_become_unthinkable_gives_nothing() -> None:
    inputs = inputs_of([1.0] * 40, [0.3] * 40, [1.0] * 40)
    assert not any(gradient_of(RLOO(ratio="sequence"), inputs))


# ---- pass@k as the objective ----


def test_only_what_the_best_of_k_gains_counts() -> None:
    """Rewards 1, 0, 0 for the best of two: 1 is in 2 of 3 pairs and adds 1 to each; 1, 1, 0, 0: each success adds 1 to
    two of the three pairs that it is in."""
    groups = group_of(1.0, 0.0, 0.0)
    samples = [sample_of(i) for i in range(3)]
    credited = RLOO(pass_at_k=2).credit([groups], samples)
    assert [float(s.advantages[-1]) for s in credited] == [2.0, 0.0, 0.0]
    credited = RLOO(pass_at_k=2).credit([group_of(1.0, 1.0, 0.0, 0.0)], [sample_of(i) for i in range(4)])
    assert [float(s.advantages[-1]) for s in credited] == pytest.approx([4 / 3, 4 / 3, 0, 0])
    assert RLOO(pass_at_k=4).needs.min_group_size == GRPO(pass_at_k=4).needs.min_group_size == 4


def test_pass_at_the_whole_group_is_verls_but_for_the_groups_size() -> None:
    """verl's grpo_passk: the best gets (best - second) / (std + 1e-6), the others nothing; here k times that."""
    rewards = [0.2, 1.0, 0.5, 0.0]
    credited = GRPO(pass_at_k=4).credit([group_of(*rewards)], [sample_of(i) for i in range(4)])
    spread = float(torch.tensor(rewards).std()) + 1e-6
    assert [float(s.advantages[-1]) for s in credited] == pytest.approx([0, 4 * 0.5 / spread, 0, 0], rel=1e-5)


# ---- PPO with the KL in the reward ----


def ppo_sample() -> Sample:
    return sample_of(
        0,
        values=[0.0, 0.0, 0.0],
        proximal_logprobs=[-1.0, -1.0, -1.0],
        reference_logprobs=[-2.0, -1.5, -1.0],
    )


def test_each_token_pays_its_own_divergence() -> None:
    """k1 is 1, 1/2, 0; with beta 1/2 token rewards are -1/2, -1/4 and 1, so what is still to come is 1/4, 3/4, 1."""
    algorithm = PPO(kl_coefficient=0.5, kl_in="reward", decay=1.0, whiten=False)
    (credited,) = algorithm.credit([group_of(1.0, length=3)], [ppo_sample()])
    assert_close(credited.advantages[1:], torch.tensor([0.25, 0.75, 1.0]))
    assert credited.returns is not None
    assert_close(credited.returns[1:], torch.tensor([0.25, 0.75, 1.0]))


def test_a_tokens_own_divergence_is_felt_whole_however_far_the_end_is() -> None:
    algorithm = PPO(kl_coefficient=0.5, kl_in="reward", decay=0.5, whiten=False)
    (credited,) = algorithm.credit([group_of(1.0, length=3)], [ppo_sample()])
    # delta is -1/2, -1/4, 1 without a critic: -1/2 - 1/8 + 1/4, -1/4 + 1/2, 1.
    assert_close(credited.advantages[1:], torch.tensor([-0.375, 0.25, 1.0]))


# ---- distillation over the vocabulary ----


def test_the_loss_over_the_vocabulary_is_the_divergence_itself() -> None:
    algorithm = Distillation(teacher="somewhere", over="vocabulary")
    assert algorithm.needs.teacher_distribution
    assert not algorithm.needs.proximal
    divergence = torch.tensor([0.25, 0.5], dtype=torch.float64, requires_grad=True)
    inputs = inputs_of([0.8, 0.5], [0.4, 0.5], [0.0, 0.0], teacher_kl=divergence)
    output = algorithm.loss(inputs)
    assert float(output.loss_sum.detach()) == 0.75
    assert float(output.metric_sums["loss/teacher_kl_nats"]) == 0.75
    (gradient,) = torch.autograd.grad(output.loss_sum, divergence)
    assert gradient.tolist() == [1.0, 1.0], "no ratio: every word is in it with its own probability"
    credited = algorithm.credit([group_of(1.0)], [sample_of(0)])
    assert not credited[0].advantages.any()
    with pytest.raises(ContractError, match="without the divergence"):
        algorithm.loss(inputs_of([0.8], [0.4], [0.0]))


@pytest.mark.parametrize(
    "settings", [{"ratio_against": "sampling"}, {"correction": {"kind": "truncate"}}], ids=["ratio", "correction"]
)
def test_no_sampled_token_is_corrected_for_over_the_vocabulary(settings: dict) -> None:
    with pytest.raises(pydantic.ValidationError, match='no effect with over "vocabulary"'):
        Distillation.model_validate({"teacher": "somewhere", "over": "vocabulary", **settings})
