from __future__ import annotations

import math
import pickle
from collections.abc import Sequence

import pydantic
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from assay.algorithms import (
    CISPO,
    DAPO,
    GRPO,
    GSPO,
    PPO,
    RLOO,
    SFT,
    AnyAlgorithm,
    Distillation,
    ExpertIteration,
    GiGPO,
    LossInputs,
    LossOutput,
    Needs,
    Reinforce,
    ReinforcePP,
)
from assay.batching import to_samples
from assay.config import Settings, dump, load
from assay.errors import ConfigError, ContractError, DataError
from assay.losses import ImportanceCorrection
from assay.losses.ratio import OLD_KL, RATIO_MAX, RATIO_MEAN
from assay.types import Completion, Ending, EndingKind, Group, Message, Rollout, Sample, Score, Task, Turn

ALGORITHMS = [
    Reinforce(),
    Reinforce(baseline="group_mean"),
    RLOO(),
    GRPO(),
    GRPO.dr_grpo(64),
    RLOO(ratio_against="sampling"),
    DAPO(overlong="penalty", max_response_tokens=20, overlong_margin=4),
    GSPO(),
    CISPO(correction=ImportanceCorrection(kind="mask", level="geometric", low=0.5)),
    ReinforcePP(baseline="group_mean", kl_coefficient=0.1, kl_in="reward"),
    ExpertIteration(entropy_coefficient=0.01),
    Distillation(teacher="somewhere"),
    SFT(),
    PPO(),
    GiGPO(turn_rewards="add"),
    RLOO(turn_rewards="replace", credit_by="turn", turn_discount=0.5),
]


def group_of(*rewards: float | None, group_id: int = 0) -> Group:
    task = Task("test", (Message("user", "?"),), "!")
    rollouts = [Rollout(task.task_id, group_id, i, (), Ending(EndingKind.FINISHED)) for i in range(len(rewards))]
    scores = [Score.not_measured("sandbox died") if r is None else Score.solved(r) for r in rewards]
    return Group(group_id, task, tuple(rollouts), tuple(scores))


def sample_of(member: int, mask: list[bool], group_id: int = 0, weight: float = 1.0) -> Sample:
    loss_mask = torch.tensor(mask)
    tokens = torch.arange(len(mask))
    return Sample(group_id, member, tokens, loss_mask, torch.zeros(len(mask)), weight=weight)


class Run(Settings):
    algorithm: AnyAlgorithm = GRPO()


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=repr)
def test_algorithms_are_frozen_hashable_and_pickled_whole(algorithm) -> None:
    assert pickle.loads(pickle.dumps(algorithm)) == algorithm
    assert {algorithm: 1}[algorithm.model_copy()] == 1
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        algorithm.normaliser = "episodes"


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=repr)
def test_recorded_settings_load_as_they_were(algorithm) -> None:
    run = Run(algorithm=algorithm)
    assert load(Run, dump(run)) == run


def test_algorithm_is_chosen_by_name() -> None:
    assert load(Run, {}, ["algorithm.name=rloo"]).algorithm == RLOO()
    assert load(Run, {}, ["algorithm.name=reinforce", "algorithm.baseline=group_mean"]).algorithm.needs == Needs(
        True, 2
    )
    with pytest.raises(ConfigError, match="trpo"):
        load(Run, {}, ["algorithm.name=trpo"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["algorithm.name=rloo", "algorithm.normaliser=constant"], "needs normaliser_constant"),
        (["algorithm.name=rloo", "algorithm.normaliser_constant=100"], "has no effect with normaliser 'tokens'"),
        (["algorithm.name=reinforce", "algorithm.clip_low=0.1"], "unknown key 'algorithm.clip_low'"),
        (["algorithm.clip_low=0.0"], "greater than 0"),
        (["algorithm.clip_high=inf"], "algorithm"),
        (["algorithm.normaliser=constant", "algorithm.normaliser_constant=0.0"], "greater than 0"),
        (["algorithm.normaliser=words"], "tokens"),
    ],
)
def test_settings_that_cannot_be_meant_are_errors(settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(Run, {"algorithm": {"name": "grpo"}}, settings)


def test_published_defaults() -> None:
    assert (GRPO().clip_low, GRPO().clip_high, GRPO().scale_by_std, GRPO().normaliser) == (0.2, 0.2, True, "sequences")
    assert Reinforce().baseline == "none"
    done_right = GRPO.dr_grpo(512, clip_high=0.28)
    assert (done_right.scale_by_std, done_right.normaliser, done_right.normaliser_constant) == (False, "constant", 512)
    assert done_right.clip_high == 0.28


def test_needs() -> None:
    assert Reinforce().needs == Needs(proximal=True, min_group_size=1)
    assert RLOO().needs == GRPO().needs == Needs(proximal=True, min_group_size=2)
    assert GRPO(ratio_against="sampling").needs == Needs(proximal=False, min_group_size=2)


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        (Reinforce(), [1.0, 0.0, 0.0, 0.0]),
        (Reinforce(baseline="group_mean"), [0.75, -0.25, -0.25, -0.25]),
        (RLOO(), [1.0, -1 / 3, -1 / 3, -1 / 3]),
        (GRPO(), [1.5, -0.5, -0.5, -0.5]),
        (GRPO.dr_grpo(8), [0.75, -0.25, -0.25, -0.25]),
    ],
    ids=repr,
)
def test_credit_by_hand(algorithm, expected: list[float]) -> None:
    samples = [sample_of(i, [False, True, False, True]) for i in (2, 0, 3, 1)]
    credited = algorithm.credit([group_of(1.0, 0.0, 0.0, 0.0)], samples)
    assert [sample.member for sample in credited] == [2, 0, 3, 1]
    for sample in credited:
        advantage = expected[sample.member]
        assert sample.advantages.dtype == torch.float32
        assert_close(sample.advantages, torch.tensor([0.0, advantage, 0.0, advantage]), rtol=1e-5, atol=0.0)


def test_credit_rejects_what_was_not_measured() -> None:
    group = group_of(1.0, None, 0.0)
    with pytest.raises(ContractError, match="rollout 1 of group 0 has no measured score"):
        RLOO().credit([group], [sample_of(1, [False, True])])
    with pytest.raises(ContractError, match="rollout 0 of group 7"):
        RLOO().credit([group], [sample_of(0, [False, True], group_id=7)])


def test_credit_rejects_groups_that_are_too_small_or_given_twice() -> None:
    with pytest.raises(ContractError, match="1 measured members, 2 are needed"):
        GRPO().credit([group_of(1.0, None)], [])
    with pytest.raises(ContractError, match="twice"):
        GRPO().credit([group_of(1.0, 0.0), group_of(0.0, 0.0)], [])


@pytest.mark.parametrize("rewards", [(1e300, 0.0), (1e308, 1e308, -1e308)])
def test_rewards_too_large_for_float32_are_an_error(rewards: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="scale the reward"):
        RLOO().credit([group_of(*rewards)], [])


def inputs_of(policy: list[float], old: list[float], advantages: list[float], weights: list[float]) -> LossInputs:
    return LossInputs(
        policy_logprobs=torch.tensor(policy).log().requires_grad_(),
        old_logprobs=torch.tensor(old).log(),
        advantages=torch.tensor(advantages),
        weights=torch.tensor(weights),
        entropy=torch.zeros(len(policy)),
        sequence_ids=torch.zeros(len(policy), dtype=torch.long),
        num_sequences=1,
    )


def test_loss_sums_are_weighted_by_hand() -> None:
    # Ratios 2, 1/2 and 1.
    inputs = inputs_of([0.8, 0.2, 0.5], [0.4, 0.4, 0.5], [1.0, -1.0, 2.0], [0.5, 0.25, 1.0])
    plain = RLOO().loss(inputs)
    assert plain.loss_sum.item() == pytest.approx(
        0.5 * -2 * math.log(0.8) + 0.25 * 0.5 * math.log(0.2) + 1.0 * -2 * math.log(0.5)
    )
    assert set(plain.metric_sums) == {RATIO_MEAN, OLD_KL}
    assert float(plain.metric_sums[RATIO_MEAN]) == pytest.approx(0.5 * 2 + 0.25 * 0.5 + 1.0)
    assert float(plain.metric_sums[OLD_KL]) == pytest.approx(0.5 * (1 - math.log(2)) + 0.25 * (math.log(2) - 0.5))
    assert float(plain.metric_maxima[RATIO_MAX]) == pytest.approx(2.0)

    group_relative = GRPO().loss(inputs)
    assert group_relative.loss_sum.item() == pytest.approx(0.5 * -1.2 + 0.25 * 0.8 + 1.0 * -2)
    assert float(group_relative.metric_sums["loss/clip_high_share"]) == pytest.approx(0.5)
    assert float(group_relative.metric_sums["loss/clip_low_share"]) == pytest.approx(0.25)


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=repr)
def test_only_the_loss_carries_a_gradient(algorithm) -> None:
    output = algorithm.loss(inputs_of([0.5], [0.5], [1.0], [1.0]))
    assert output.loss_sum.requires_grad
    assert not any(value.requires_grad for value in [*output.metric_sums.values(), *output.metric_maxima.values()])


def test_a_micro_batch_without_tokens_adds_nothing() -> None:
    output = GRPO().loss(inputs_of([], [], [], []))
    assert isinstance(output, LossOutput)
    assert output.loss_sum.item() == 0.0
    assert not any(float(value) for value in [*output.metric_sums.values(), *output.metric_maxima.values()])


class OwnRewards(RLOO):
    """Each turn is credited with what it earned itself."""

    name: str = "own_rewards"

    def turn_advantages(self, group: Group, earned_GT: Sequence[Tensor], scale: float) -> list[list[float]]:
        return [earned_T.tolist() for earned_T in earned_GT]


def test_credit_may_differ_from_turn_to_turn_and_reaches_forks() -> None:
    def turn(tokens: list[int], reward: float, extends: bool) -> Turn:
        completion = Completion(tuple(tokens), (-1.0,) * len(tokens), "stop", ((0, 0),))
        return Turn((1,), extends, completion, Message("assistant", ""), env_reward=reward)

    finished = Ending(EndingKind.FINISHED)
    rollouts = (
        Rollout("t", 0, 0, (turn([5, 6], 1.0, False), turn([7], 0.5, True), turn([8], 0.25, False)), finished),
        Rollout("t", 0, 1, (turn([9], 0.0, False),), finished),
    )
    group = Group(0, Task("d", (Message("user", "?"),), "1"), rollouts, (Score.solved(), Score.failed()))
    first, fork, other = OwnRewards(turn_rewards="add").credit([group], to_samples([group]))
    assert first.advantages.tolist() == [0.0, 1.0, 1.0, 0.0, 0.5]
    assert fork.advantages.tolist() == [0.0, 1.25]
    assert other.advantages.tolist() == [0.0, 0.0]

    class TooFew(RLOO):
        def turn_advantages(self, group: Group, earned_GT: Sequence[Tensor], scale: float) -> list[list[float]]:
            return [[1.0] for _ in earned_GT]

    with pytest.raises(ContractError, match="has a turn 1 and was credited for 1 turns"):
        TooFew(turn_rewards="ignore").credit([group], to_samples([group]))
