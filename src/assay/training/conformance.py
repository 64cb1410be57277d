"""Conformance checks that every estimator, loss and algorithm must pass, runnable by anyone: `assay check algorithms`.

Three kinds of checks: numbers worked by hand and gradients against finite differences in float64
(`assay.training.worked_by_hand`), and invariants of a whole algorithm through the packer, the policy and the trainer
(`check_algorithm`).
"""

from __future__ import annotations

import functools
import math
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from assay import losses as lo
from assay.algorithms import (
    CISPO,
    DAPO,
    DPO,
    DPPO,
    GRPO,
    GSPO,
    IPO,
    KTO,
    ORPO,
    PPO,
    RLOO,
    SAPO,
    SFT,
    Algorithm,
    Distillation,
    ExpertIteration,
    GiGPO,
    Reinforce,
    ReinforcePP,
    RewardModelFit,
    SimPO,
)
from assay.batching import pack, to_samples
from assay.errors import ConfigError
from assay.models import open_model
from assay.policies.tiny import write_tiny_model
from assay.training.trainer import Trainer, TrainerSettings
from assay.training.worked_by_hand import Check, check_gradients, check_tables
from assay.types import (
    Batch,
    Completion,
    CreditedSample,
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

ALGORITHMS: tuple[Algorithm, ...] = (
    Reinforce(),
    Reinforce(baseline="group_mean"),
    RLOO(),
    GRPO(),
    GRPO.dr_grpo(64),
    DAPO(),
    GSPO(),
    CISPO(),
    ReinforcePP(),
    ReinforcePP(baseline="group_mean"),
    ExpertIteration(),
    Distillation(teacher="default"),
    Distillation(teacher="default", over="vocabulary"),
    SFT(),
    PPO(),
    PPO(decay=1.0, whiten=False),
    DAPO(overlong="penalty", max_response_tokens=5, overlong_margin=3),
    GRPO(dual_clip=3.0),
    RLOO(kl_coefficient=0.1),
    RLOO(kl_coefficient=0.1, kl_in="reward"),
    RLOO(entropy_coefficient=0.01),
    RLOO(normaliser="episodes"),
    RLOO(correction=lo.ImportanceCorrection(kind="truncate", level="sequence")),
    GRPO(correction=lo.ImportanceCorrection(kind="mask", low=0.5), kl_coefficient=0.1),
    SAPO(),
    DPPO(),
    DPPO(divergence="kl", max_fall=0.05, max_rise=0.05),
    GRPO(normaliser="groups"),
    GRPO(scale_by_std="batch"),
    GRPO(off_policy_mask=0.5),
    GSPO(normaliser="constant", normaliser_constant=1.0),
    RLOO(ratio="sequence", sequence_clip=0.2),
    RLOO(pass_at_k=2),
    RLOO(overlong="filter"),
    PPO(kl_coefficient=0.1, kl_in="reward"),
    RLOO(turn_rewards="add"),
    RLOO(turn_rewards="replace", credit_by="turn", turn_discount=0.9),
    GRPO(turn_rewards="add", credit_by="state", normaliser="turns"),
    ReinforcePP(turn_rewards="add", credit_by="turn"),
    PPO(over="turn", turn_rewards="add"),
    DPO(),
    DPO(label_smoothing=0.1, length_normalised=True, likelihood_coefficient=1.0),
    DPO(online=True, label_smoothing=0.1, unbiased=True),
    IPO(),
    KTO(undesirable_weight=1.5),
    SimPO(),
    ORPO(),
    RewardModelFit(margins="ignore", tie_width=0.5),
    GiGPO(),
    GiGPO(turn_rewards="add", scale_by_std=True),
)
"""Every algorithm, in the forms that differ."""
MICROBATCH_TOKENS = 20
"""Tokens of a micro-batch: less than two of `check_algorithm`'s samples of one prompt, which have 12 tokens of prompt
and 2 to 5 of response."""


def check_algorithm(algorithm: Algorithm) -> list[Check]:
    """The invariants of one algorithm, with a tiny random model.

    Args:
        algorithm: any; one of your own too.
    """
    name = _form(algorithm)
    comparing = algorithm.min_group_size > 1 or isinstance(algorithm, ReinforcePP)
    # A KL in the reward, or a penalty for length, makes equal scores unequal rewards.
    comparing = comparing and algorithm.kl_in == "loss" and algorithm.overlong != "penalty"
    # Where what turns are paid counts in place of the score, it is what members earn here.
    given = functools.partial(_group, in_turns=algorithm.turn_rewards == "replace")
    rewards = (1.0, 0.0, 0.25, 0.75)
    plain = _advantages(algorithm, given(rewards))
    checks = [Check(name, "every advantage is finite", _unless(all(map(math.isfinite, plain.values())), str(plain)))]

    backwards = _advantages(algorithm, given(rewards, order=(3, 2, 1, 0)))
    checks.append(Check(name, "permuting a group permutes credit", _differ(plain, backwards)))
    with_unknown = _advantages(algorithm, given((*rewards, None, None)))
    checks.append(Check(name, "members not measured change nothing for the others", _differ(plain, with_unknown)))
    checks.append(Check(name, "what an environment pays for turns is used, or its use is an error", _used(algorithm)))
    if comparing:
        equal = _advantages(algorithm, given((0.1,) * 5))
        checks.append(Check(name, "equal rewards give exact zeros", _unless(not any(equal.values()), str(equal))))

    with tempfile.TemporaryDirectory() as folder:
        model = write_tiny_model(Path(folder) / "model")
        groups = [given(rewards), given((0.0, 0.5, 1.0), group_id=1)]
        samples = algorithm.credit(groups, _annotated(to_samples(groups)))
        shifted = [_aged(sample) for sample in samples]
        whole = _gradient(model, algorithm, pack(shifted, 10_000)[0])
        layouts = {
            "splitting a minibatch into micro-batches changes nothing": pack(shifted, MICROBATCH_TOKENS)[0],
            "sharing a prompt changes nothing": pack(shifted, 10_000, share_prompts=False)[0],
            "the order of samples changes nothing": pack(shifted[::-1], 10_000)[0],
        }
        if any(len(batches) == len(pack(shifted, 10_000)[0]) for what, batches in layouts.items() if "micro" in what):
            raise AssertionError("the minibatch was not split: the check would say nothing")
        for what, batches in layouts.items():
            difference = (_gradient(model, algorithm, batches) - whole).abs().max()
            error = float(difference / whole.abs().max().clamp(min=1e-12))
            checks.append(Check(name, what, _unless(error < 1e-4, f"gradient off by {error:.2g} of its largest entry")))
        checks.append(Check(name, "there is a gradient at all", _unless(bool(whole.any()), "it is zero")))
    return checks


def check_all(algorithms: Iterable[Algorithm] = ALGORITHMS) -> list[Check]:
    """Tables, gradients and the invariants of these algorithms."""
    return [*check_tables(), *check_gradients(), *(check for a in algorithms for check in check_algorithm(a))]


def _form(algorithm: Algorithm) -> str:
    """Return an algorithm's name and the options it has set: "rloo kl_coefficient=0.1"."""
    name = algorithm.name  # pyright: ignore[reportAttributeAccessIssue]
    given = algorithm.model_dump(exclude_defaults=True)
    for part, settings in [*given.items()]:
        if isinstance(settings, dict):
            given |= {f"{part}.{key}": value for key, value in given.pop(part).items()}
    return " ".join([name, *(f"{key}={value}" for key, value in given.items() if key not in ("name", "teacher"))])


def _used(algorithm: Algorithm) -> str:
    """Return what is wrong with how an algorithm takes a group whose first member's first turn was paid for."""
    scores = (1.0, 1.0, 0.5)
    try:
        paid = _advantages(algorithm, _group(scores, paid=0.25))
    except ConfigError as refusal:
        named = algorithm.turn_rewards == "refuse" and "turn_rewards" in str(refusal)
        return "" if named else f"it refuses them for another reason: {refusal}"
    if algorithm.turn_rewards == "refuse":
        return "it ignores them, and nobody said so"
    changed = _differ(_advantages(algorithm, _group(scores)), paid)
    if algorithm.turn_rewards == "ignore":
        return changed and f"they count though they are to be ignored: {changed}"
    return "" if changed else "they are to count and change nothing"


def _unless(holds: bool, problem: str) -> str:
    return "" if holds else problem


def _differ(first: Mapping[int, float], second: Mapping[int, float]) -> str:
    wrong = {
        i: (value, second.get(i))
        for i, value in first.items()
        if not math.isclose(value, second.get(i, math.nan), rel_tol=1e-5, abs_tol=1e-7)
    }
    return f"member to (before, after): {wrong}" if wrong else ""


def _group(
    rewards: tuple[float | None, ...],
    order: tuple[int, ...] = (),
    group_id: int = 0,
    paid: float | None = None,
    in_turns: bool = False,
) -> Group:
    """Member i answered with i + 2 tokens and earned rewards[i]; None for not measured.

    Args:
        rewards: the scores.
        order: of the members.
        group_id: of the group; decides the prompt.
        paid: what the environment pays the first member for its turn.
        in_turns: whether the environment pays all members their rewards for their turns.
    """
    task = Task("check", (Message("user", "?" * (1 + group_id)),), "!")
    rollouts, scores = [], []
    for i in order or range(len(rewards)):
        tokens = tuple(97 + (7 * i + j + 3 * group_id) % 20 for j in range(i + 2))
        completion = Completion(tokens, (-5.0 + 0.1 * i,) * len(tokens), "stop", ((0, 0),))
        payment = rewards[i] if in_turns else None if i else paid
        prompt, message = tuple(range(60 + group_id, 72 + group_id)), Message("assistant", "")
        turn = Turn(prompt, False, completion, message, env_reward=payment)
        rollouts.append(Rollout(task.task_id, group_id, i, (turn,), Ending(EndingKind.FINISHED)))
        reward = rewards[i]
        scores.append(Score.not_measured("check") if reward is None else Score.solved(reward))
    return Group(group_id, task, tuple(rollouts), tuple(scores))


def _annotated(samples: list[Sample]) -> list[Sample]:
    """Return the samples with annotations of a reference, a teacher and a critic, made up and different from token to
    token."""
    return [
        sample.replace(
            proximal_logprobs=sample.sampling_logprobs + 0.02 * sample.loss_mask,
            reference_logprobs=sample.sampling_logprobs - 0.1 * sample.loss_mask,
            values=0.1 * torch.arange(len(sample.token_ids)) * sample.loss_mask,
            reference_point=0.3,
            teacher_logprobs=sample.sampling_logprobs + 0.05 * torch.arange(len(sample.token_ids)) * sample.loss_mask,
        )
        for sample in samples
    ]


def _aged(sample: CreditedSample) -> CreditedSample:
    """Return the sample as if the policy had moved since the start of the step: ratios differ from 1."""
    return sample.replace(proximal_logprobs=sample.sampling_logprobs)  # pyright: ignore[reportReturnType]


def _advantages(algorithm: Algorithm, group: Group) -> dict[int, float]:
    """Return the sum of each member's token advantages, by member."""
    credited = algorithm.credit([group], _annotated(to_samples([group])))
    return {sample.member: float(sample.advantages.sum()) for sample in credited}


def _gradient(model: Path, algorithm: Algorithm, batches: list[Batch]) -> Tensor:
    """Return the gradient of one update, before clipping: with a first beta of 0 the first moment is the gradient."""
    policy = open_model(model).policy()
    # Another model of the same words: there is nothing to learn from itself.
    teacher = None
    if algorithm.needs.teacher_distribution:
        teacher = open_model(write_tiny_model(model.with_name("teacher"), seed=1)).policy().requires_grad_(False)
    settings = TrainerSettings(learning_rate=1e-9, betas=(0.0, 0.9), max_grad_norm=1e30)
    trainer = Trainer(policy, settings, temperature=1.0, teacher=teacher)
    trainer.update([batches], algorithm)
    moments = trainer.state_dict().tensors
    return torch.cat([moments[name].flatten() for name in sorted(moments) if name.startswith("exp_avg/")])
