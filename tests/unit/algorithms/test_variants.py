"""What each variant adds to the shared parts, in numbers worked by hand."""

from __future__ import annotations

import math
from typing import Any

import pydantic
import pytest
import torch
from torch.testing import assert_close

from assay.algorithms import (
    CISPO,
    DAPO,
    GRPO,
    GSPO,
    PPO,
    RLOO,
    SFT,
    Algorithm,
    Distillation,
    ExpertIteration,
    LossInputs,
    Needs,
    Reinforce,
    ReinforcePP,
)
from assay.errors import ContractError
from assay.losses import ImportanceCorrection
from assay.losses.correction import CORRECTION_CUT_SHARE, CORRECTION_MEAN
from assay.losses.kl import REFERENCE_KL
from assay.types import (
    Completion,
    Ending,
    EndingKind,
    Group,
    Message,
    Rollout,
    Sample,
    Score,
    Task,
    Turn,
)

TASK = Task("test", (Message("user", "?"),), "!")


def group_of(*rewards: float, lengths: tuple[int, ...] = (), truncated: tuple[int, ...] = ()) -> Group:
    """A group whose members earned these rewards; above 0 is solved."""
    rollouts, scores = [], []
    for i, reward in enumerate(rewards):
        length = lengths[i] if lengths else 2
        completion = Completion((1,) * length, (-0.5,) * length, "stop", ((0, 0),))
        turn = Turn((0,), False, completion, Message("assistant", "?"))
        kind = EndingKind.TRUNCATED if i in truncated else EndingKind.FINISHED
        rollouts.append(Rollout(TASK.task_id, 0, i, (turn,), Ending(kind)))
        scores.append(Score.solved(reward) if reward > 0 else Score.failed(value=reward))
    return Group(0, TASK, tuple(rollouts), tuple(scores))


def sample_of(member: int, length: int = 2, **annotations: list[float]) -> Sample:
    mask = torch.tensor([False] + [True] * length)
    tensors = {name: torch.tensor([0.0, *values]) for name, values in annotations.items()}
    sampling = tensors.pop("sampling_logprobs", torch.full((1 + length,), -0.5) * mask)
    return Sample(0, member, torch.arange(1 + length), mask, sampling, **tensors)


def credited(algorithm: Algorithm, group: Group, samples: list[Sample]) -> list[list[float]]:
    return [[round(a, 5) for a in sample.advantages.tolist()] for sample in algorithm.credit([group], samples)]


def inputs_of(**changes: Any) -> LossInputs:
    """Two tokens of one sequence, ratios 2 and 1, advantages 1 and -1."""
    values = {
        "policy_logprobs": torch.tensor([0.8, 0.5]).log().requires_grad_(),
        "old_logprobs": torch.tensor([0.4, 0.5]).log(),
        "advantages": torch.tensor([1.0, -1.0]),
        "weights": torch.ones(2),
        "entropy": torch.tensor([0.5, 0.25]),
        "sequence_ids": torch.zeros(2, dtype=torch.long),
        "num_sequences": 1,
        **changes,
    }
    return LossInputs(**values)


# ---- DAPO ----


def test_dapo_has_the_published_settings() -> None:
    dapo = DAPO()
    assert (dapo.clip_low, dapo.clip_high, dapo.normaliser, dapo.kl_coefficient) == (0.2, 0.28, "tokens", 0.0)


def test_dapo_keeps_groups_with_a_signal() -> None:
    assert DAPO().keep(group_of(1.0, 0.0, 1.0))
    assert not DAPO().keep(group_of(1.0, 1.0))
    assert DAPO(dynamic_sampling=False).keep(group_of(1.0, 1.0))


def test_any_algorithm_of_rewards_can_sample_dynamically() -> None:
    for algorithm in (RLOO, GRPO, Reinforce, ReinforcePP, PPO):
        assert algorithm().keep(group_of(1.0, 1.0))
        assert not algorithm(dynamic_sampling=True).keep(group_of(1.0, 1.0))
        assert algorithm(dynamic_sampling=True).keep(group_of(1.0, 0.0))
    assert Reinforce().needs.min_group_size == 1
    assert Reinforce(dynamic_sampling=True).needs.min_group_size == 2, "groups of one would be replaced for ever"
    with pytest.raises(pydantic.ValidationError, match="dynamic_sampling has no effect"):
        ExpertIteration(dynamic_sampling=True)


def test_dapo_penalises_length_by_hand() -> None:
    dapo = DAPO(overlong="penalty", max_response_tokens=20, overlong_margin=4, scale_by_std=False)
    group = group_of(1.0, 1.0, lengths=(2, 18))
    # 18 of 20 tokens is half into the margin: rewards 1 and 1/2.
    assert credited(dapo, group, [sample_of(0), sample_of(1)]) == [[0, 0.25, 0.25], [0, -0.25, -0.25]]
    assert dapo.keep(group), "the penalty is a signal too"


def test_dapo_leaves_out_what_was_cut_off_but_compares_with_it() -> None:
    group = group_of(1.0, 0.0, truncated=(1,))
    assert credited(DAPO(overlong="filter", scale_by_std=False), group, [sample_of(0), sample_of(1)]) == [[0, 0.5, 0.5]]


def test_dapo_replaces_a_group_that_was_cut_off_whole() -> None:
    """It would be kept for its unequal rewards and then give nothing to train on: the step would be short."""
    group = group_of(1.0, 0.0, truncated=(0, 1))
    assert DAPO().keep(group)
    assert not DAPO(overlong="filter").keep(group)
    assert DAPO(overlong="filter").keep(group_of(1.0, 0.0, truncated=(0,)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"overlong": "penalty"}, "needs max_response_tokens and overlong_margin"),
        ({"max_response_tokens": 10}, "max_response_tokens has no effect"),
        ({"overlong": "penalty", "max_response_tokens": 4, "overlong_margin": 5}, "more than max_response_tokens"),
    ],
)
def test_dapo_options_that_cannot_be_meant(settings: dict, message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        DAPO.model_validate(settings)


# ---- GSPO, CISPO ----


def test_gspo_clips_the_whole_sequence() -> None:
    inputs = inputs_of(advantages=torch.ones(2))
    # The sequence's ratio is sqrt 2: above 1 + 0.2 on both tokens, though the second has not moved.
    output = GSPO(clip_low=0.2, clip_high=0.2).loss(inputs)
    assert float(output.loss_sum.detach()) == pytest.approx(-2 * 1.2)
    assert float(output.metric_sums["loss/clip_high_share"]) == 2.0
    output.loss_sum.backward()
    assert not inputs.policy_logprobs.grad.any()


def test_cispo_by_hand() -> None:
    output = CISPO(max_weight=1.5).loss(inputs_of())
    assert float(output.loss_sum.detach()) == pytest.approx(-1.5 * math.log(0.8) + math.log(0.5))
    assert float(output.metric_sums["loss/weight_cut_share"]) == 1.0
    with pytest.raises(pydantic.ValidationError, match="min_weight 6 is more than max_weight 5"):
        CISPO(min_weight=6.0)


# ---- REINFORCE++ ----


def test_reinforce_pp_whitens_over_the_tokens_of_the_batch() -> None:
    group = group_of(1.0, 0.0)
    # One token earned 1, three 0: mean 1/4, standard deviation 1/2.
    advantages = credited(ReinforcePP(), group, [sample_of(0, length=1), sample_of(1, length=3)])
    assert advantages == [[0, 1.5], [0, -0.5, -0.5, -0.5]]


def test_reinforce_pp_baseline_subtracts_the_groups_mean_first() -> None:
    easy = group_of(1.0, 1.0)
    hard = Group(1, TASK, *[tuple(x) for x in zip(*[(r, s) for r, s in _members(group_of(1.0, 0.0), 1)], strict=True)])
    samples = [sample_of(0), sample_of(1), _in_group(sample_of(0), 1), _in_group(sample_of(1), 1)]
    plain = [float(s.advantages[1]) for s in ReinforcePP().credit([easy, hard], samples)]
    baseline = [float(s.advantages[1]) for s in ReinforcePP(baseline="group_mean").credit([easy, hard], samples)]
    # Rewards 1, 1, 1, 0 on eight tokens: mean 3/4, variance 8 x 3/16 / 7.
    assert plain[0] == pytest.approx(0.25 / math.sqrt(1.5 / 7), rel=1e-5)
    assert plain[3] == pytest.approx(-0.75 / math.sqrt(1.5 / 7), rel=1e-5)
    # 0, 0, 1/2, -1/2: mean 0, variance 1 / 7.
    assert baseline == pytest.approx([0, 0, 0.5 * math.sqrt(7), -0.5 * math.sqrt(7)], rel=1e-5)


def _members(group: Group, group_id: int) -> list[tuple[Rollout, Score]]:
    return [
        (Rollout(r.task_id, group_id, r.member, r.turns, r.ending), s)
        for r, s in zip(group.rollouts, group.scores, strict=True)
    ]


def _in_group(sample: Sample, group_id: int) -> Sample:
    return sample.replace(group_id=group_id)


# ---- expert iteration, distillation ----


def test_expert_iteration_imitates_what_was_solved() -> None:
    algorithm = ExpertIteration()
    group = group_of(1.0, 0.0, 0.5)
    kept = algorithm.credit([group], [sample_of(i) for i in range(3)])
    assert [sample.member for sample in kept] == [0, 2]
    assert kept[0].advantages.tolist() == [0, 1, 1]
    assert algorithm.keep(group)
    assert not algorithm.keep(group_of(0.0, -1.0))
    output = algorithm.loss(inputs_of(advantages=torch.ones(2)))
    assert float(output.loss_sum.detach()) == pytest.approx(-math.log(0.8) - math.log(0.5))


def test_expert_iteration_has_no_ratio_to_choose() -> None:
    with pytest.raises(pydantic.ValidationError, match="ratio_against has no effect"):
        ExpertIteration(ratio_against="sampling")


def test_distillation_takes_the_teachers_word_token_by_token() -> None:
    algorithm = Distillation(teacher="somewhere")
    assert algorithm.needs == Needs(proximal=True, teacher="somewhere")
    sample = sample_of(0, sampling_logprobs=[-1.0, -2.0], teacher_logprobs=[-0.5, -4.0])
    assert credited(algorithm, group_of(1.0), [sample]) == [[0, 0.5, -2.0]]
    annotated = sample.replace(proximal_logprobs=torch.tensor([0.0, -1.5, -2.0]))
    assert credited(algorithm, group_of(0.0), [annotated]) == [[0, 0.5, -2.0]]
    with pytest.raises(ContractError, match="teacher"):
        algorithm.credit([group_of(1.0)], [sample_of(0)])
    with pytest.raises(pydantic.ValidationError, match="kl_coefficient has no effect"):
        Distillation(teacher="somewhere", kl_coefficient=0.1)


def test_distillation_compares_the_teacher_with_the_policy_as_it_is_now() -> None:
    """Teacher 0.6 and 0.5, sampler 0.2 and 0.5, policy 0.8 and 0.5: advantages log 3/4 and 0, ratios to old 2 and 1."""
    sampling = torch.tensor([0.2, 0.5]).log()
    advantages = torch.tensor([0.6, 0.5]).log() - sampling
    algorithm = Distillation(teacher="somewhere")
    inputs = inputs_of(advantages=advantages, sampling_logprobs=sampling)
    (gradient,) = torch.autograd.grad(algorithm.loss(inputs).loss_sum, inputs.policy_logprobs)
    assert_close(gradient, torch.tensor([-2 * math.log(0.75), 0.0]))
    assert not algorithm.gradient_is_credit


# ---- supervised fine-tuning ----


def test_sft_is_the_negative_log_likelihood() -> None:
    algorithm = SFT()
    assert algorithm.needs == Needs(demonstrations=True)
    assert credited(algorithm, group_of(0.0), [sample_of(0)]) == [[0, 1, 1]]
    inputs = inputs_of(advantages=torch.ones(2))
    loss = algorithm.loss(inputs).loss_sum
    assert float(loss.detach()) == pytest.approx(-math.log(0.8) - math.log(0.5))
    (gradient,) = torch.autograd.grad(loss, inputs.policy_logprobs)
    assert_close(gradient, -torch.ones(2))


# ---- published settings ----


def test_published_settings_are_the_defaults() -> None:
    gspo, cispo, ppo, plus = GSPO(), CISPO(), PPO(), ReinforcePP()
    assert (gspo.clip_low, gspo.clip_high, gspo.normaliser, gspo.scale_by_std) == (3e-4, 4e-4, "sequences", True)
    assert (cispo.min_weight, cispo.max_weight, cispo.normaliser) == (0.0, 5.0, "tokens")
    assert (ppo.clip_low, ppo.clip_high, ppo.discount, ppo.decay, ppo.value_clip) == (0.2, 0.2, 1.0, 0.95, 0.2)
    assert (plus.clip_low, plus.clip_high, plus.normaliser, plus.baseline) == (0.2, 0.2, "tokens", "none")
    for algorithm in (gspo, cispo, ppo, plus, GRPO(), DAPO(), RLOO(), Reinforce(), ExpertIteration(), SFT()):
        assert (algorithm.kl_coefficient, algorithm.entropy_coefficient) == (0.0, 0.0)
        assert getattr(algorithm, "dual_clip", None) is None


# ---- what all share ----


@pytest.mark.parametrize("algorithm", [RLOO, GRPO, CISPO], ids=lambda a: a.__name__)
def test_the_correction_multiplies_the_policy_loss(algorithm: type[Algorithm]) -> None:
    # Trainer over sampler: 4 and 1/2.
    inputs = inputs_of(sampling_logprobs=torch.tensor([0.1, 1.0]).log())
    separate = [
        float(algorithm().loss(inputs_of(weights=torch.tensor(weights))).loss_sum.detach())
        for weights in ([1.0, 0.0], [0.0, 1.0])
    ]
    output = algorithm.model_validate({"correction": {"kind": "truncate", "high": 3.0}}).loss(inputs)
    assert float(output.loss_sum.detach()) == pytest.approx(3 * separate[0] + 0.5 * separate[1])
    assert float(output.metric_sums[CORRECTION_MEAN]) == pytest.approx(3.5)
    assert float(output.metric_sums[CORRECTION_CUT_SHARE]) == 1.0


def test_kl_in_the_loss_by_hand() -> None:
    reference = torch.tensor([0.4, 0.5]).log()
    output = RLOO(kl_coefficient=0.1).loss(inputs_of(reference_logprobs=reference))
    plain = float(RLOO().loss(inputs_of()).loss_sum.detach())
    k3 = 0.5 - 1 + math.log(2)
    assert float(output.loss_sum.detach()) == pytest.approx(plain + 0.1 * 2 * k3)
    assert float(output.metric_sums[REFERENCE_KL]) == pytest.approx(k3)


def test_the_correction_multiplies_the_kl_of_the_loss_too() -> None:
    """Trainer over sampler: 4, cut at 3, and 1/2, left out. KL: ratio 2 times k3 of 0.8 against 0.4."""
    inputs = inputs_of(
        sampling_logprobs=torch.tensor([0.1, 1.0]).log(),
        reference_logprobs=torch.tensor([0.4, 0.25]).log(),
    )
    algorithm = RLOO(kl_coefficient=0.1, correction=ImportanceCorrection(kind="truncate", high=3.0))
    policy = [-2 * math.log(0.8), math.log(0.5)]
    kl = [2 * (0.5 - 1 + math.log(2)), 0.5 - 1 + math.log(2)]
    expected = 3 * (policy[0] + 0.1 * kl[0]) + 0.5 * (policy[1] + 0.1 * kl[1])
    assert float(algorithm.loss(inputs).loss_sum.detach()) == pytest.approx(expected)
    masked = RLOO(kl_coefficient=0.1, correction=ImportanceCorrection(kind="mask", low=0.6, high=5.0))
    expected = 4 * (policy[0] + 0.1 * kl[0])
    assert float(masked.loss(inputs).loss_sum.detach()) == pytest.approx(expected)


def test_kl_in_the_reward_by_hand() -> None:
    algorithm = Reinforce(kl_coefficient=0.5, kl_in="reward")
    assert algorithm.needs.reference
    samples = [
        sample_of(0, proximal_logprobs=[-1.0, -1.0], reference_logprobs=[-2.0, -1.5]),
        sample_of(1, proximal_logprobs=[-1.0, -1.0], reference_logprobs=[-1.0, -1.0]),
    ]
    assert algorithm.needs.proximal_in_credit
    # 1 - 0.5 (1 + 0.5), and 0.
    assert credited(algorithm, group_of(1.0, 0.0), samples) == [[0, 0.25, 0.25], [0, 0, 0]]
    loss = algorithm.loss(inputs_of(reference_logprobs=torch.zeros(2))).loss_sum
    assert float(loss.detach()) == float(Reinforce().loss(inputs_of()).loss_sum.detach())
    with pytest.raises(ContractError, match="reference"):
        algorithm.credit([group_of(1.0)], [sample_of(0)])
    with pytest.raises(ContractError, match="trainer's own"):
        # The sampler's would be the divergence of another policy.
        algorithm.credit([group_of(1.0)], [sample_of(0, reference_logprobs=[-1.0, -1.0])])


def test_the_entropy_bonus_by_hand() -> None:
    entropy = torch.tensor([0.5, 0.25], requires_grad=True)
    algorithm = RLOO(entropy_coefficient=0.1)
    assert algorithm.needs.entropy_gradient
    output = algorithm.loss(inputs_of(entropy=entropy))
    plain = float(RLOO().loss(inputs_of()).loss_sum.detach())
    assert float(output.loss_sum.detach()) == pytest.approx(plain - 0.1 * 0.75)
    output.loss_sum.backward()
    assert_close(entropy.grad, torch.full((2,), -0.1))


def test_a_loss_with_another_term_has_a_gradient_without_credit() -> None:
    assert RLOO().gradient_is_credit
    assert RLOO(kl_coefficient=0.1, kl_in="reward").gradient_is_credit
    assert not RLOO(kl_coefficient=0.1).gradient_is_credit
    assert not RLOO(entropy_coefficient=0.1).gradient_is_credit


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"correction": {"kind": "mask"}, "ratio_against": "sampling"}, "counts the sampler twice"),
        ({"kl_in": "reward"}, "has no effect with kl_coefficient 0"),
        ({"kl_coefficient": -1.0}, "greater than or equal to 0"),
    ],
)
def test_shared_options_that_cannot_be_meant(settings: dict, message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        GRPO.model_validate(settings)


# ---- PPO ----


def test_ppo_credits_token_by_token() -> None:
    algorithm = PPO(decay=0.5, whiten=False)
    assert algorithm.needs.values
    sample = sample_of(0, values=[0.5, 0.75])
    (credited_sample,) = algorithm.credit([group_of(1.0)], [sample])
    assert_close(credited_sample.advantages, torch.tensor([0.0, 0.375, 0.25]))
    assert_close(credited_sample.returns, torch.tensor([0.0, 0.875, 1.0]))
    with pytest.raises(ContractError, match="values"):
        algorithm.credit([group_of(1.0)], [sample_of(0)])


def test_ppo_teaches_its_critic_by_a_lambda_of_its_own() -> None:
    """Values 1/2 and 3/4, reward 1: at lambda 1 the returns are what was earned; the advantages are those of 1/2."""
    (found,) = PPO(decay=0.5, critic_decay=1.0, whiten=False).credit(
        [group_of(1.0)], [sample_of(0, values=[0.5, 0.75])]
    )
    assert_close(found.advantages, torch.tensor([0.0, 0.375, 0.25]))
    assert_close(found.returns, torch.tensor([0.0, 1.0, 1.0]))


def test_ppo_whitens_over_the_tokens_of_the_step() -> None:
    samples = [sample_of(0, values=[0.0, 0.0]), sample_of(1, length=3, values=[0.2, 0.1, 0.4])]
    found = PPO().credit([group_of(1.0, 0.0)], samples)
    tokens = torch.cat([sample.advantages[sample.loss_mask] for sample in found])
    assert float(tokens.mean()) == pytest.approx(0.0, abs=1e-6)
    assert float(tokens.std()) == pytest.approx(1.0, rel=1e-5)
    assert float(found[0].returns[-1]) == 1.0, "returns are what they were"


def test_ppo_value_loss_by_hand() -> None:
    loss = PPO(value_clip=0.2).value_loss(torch.tensor([1.0, 0.1]), torch.zeros(2), torch.ones(2))
    assert_close(loss, torch.tensor([0.32, 0.405]))


def test_ppo_leaves_nothing_of_equal_advantages() -> None:
    samples = [sample_of(i, values=[0.0, 0.0]) for i in range(3)]
    for credited_sample in PPO(decay=1.0).credit([group_of(0.1, 0.1, 0.1)], samples):
        assert not credited_sample.advantages.any()
