"""The expected gradient of every estimator, by exact enumeration: no sampling, float64.

A policy of three words and two tokens: logits of the first word [3] and of the second given the first [3, 3], so nine
responses. Every minibatch that can be sampled is laid end to end in one batch, each token weighted by the probability
of its minibatch times its weight in it: one backward pass through the algorithm's own loss is the expectation.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
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
    Distillation,
    ExpertIteration,
    LossInputs,
    Reinforce,
    ReinforcePP,
)
from assay.algorithms.algorithm import Algorithm
from assay.batching import to_samples
from assay.losses import (
    ImportanceCorrection,
    correction_weights,
    k1,
    k3,
    kl_penalty,
    normalising_count,
    policy_gradient,
    token_weights,
)
from assay.types import Completion, Ending, EndingKind, Group, Message, Rollout, Score, Task, Turn

Response = tuple[int, ...]
PAIRS: list[Response] = list(itertools.product(range(3), repeat=2))
"""All nine responses of two words."""
UP_TO_PAIRS: list[Response] = [(0,), *((first, second) for first in (1, 2) for second in range(3))]
"""Word 0 ends the response: one response of length 1, six of length 2."""

GRADED = dict(zip(PAIRS, (1.0, 0.0, 0.25, -1.0, 3.0, 0.0, 0.5, 0.0, 2.0), strict=True))
BINARY = {response: float(response in ((0, 1), (2, 2))) for response in PAIRS}
BY_LENGTH = {(0,): 0.2, (1, 0): 1.0, (1, 1): 0.0, (1, 2): 0.0, (2, 0): -0.5, (2, 1): 2.0, (2, 2): 0.0}

Rewards = dict[Response, float]


def parameters(seed: int = 0) -> Tensor:
    """[4, 3] logits: row 0 of the first word, row 1 + w of the second word after w."""
    return torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def token_logprobs(logits: Tensor, response: Response) -> Tensor:
    rows = [0, *(1 + word for word in response[:-1])]
    return logits.log_softmax(-1)[rows, list(response)]


def probability(logits: Tensor, response: Response) -> Tensor:
    return token_logprobs(logits, response).sum().exp()


def gradient_of(value: Tensor, logits: Tensor) -> Tensor:
    return torch.autograd.grad(value, logits)[0]


def true_gradient(logits: Tensor, rewards: Rewards) -> Tensor:
    """Gradient of the expected reward, or of any function of the response given in its place."""
    return gradient_of(torch.stack([probability(logits, y) * r for y, r in rewards.items()]).sum(), logits)


def expected_reward(logits: Tensor, rewards: Rewards) -> float:
    return sum(float(probability(logits, y).detach()) * r for y, r in rewards.items())


def expected_gradient(
    algorithm: Algorithm,
    logits: Tensor,
    rewards: Rewards,
    *,
    group_size: int,
    num_groups: int = 1,
    sampled_from: Tensor | None = None,
) -> Tensor:
    """Exact expectation of the step that the algorithm takes uphill, over all minibatches of `num_groups` groups."""
    responses = list(rewards)
    behaviour = (logits if sampled_from is None else sampled_from).detach()
    chances = [float(probability(behaviour, y)) for y in responses]
    now = [token_logprobs(logits, y) for y in responses]
    old = [token_logprobs(behaviour, y) for y in responses]
    advantages: dict[tuple[int, ...], list[float]] = {
        group: algorithm.advantages(torch.tensor([rewards[responses[i]] for i in group], dtype=torch.float64)).tolist()
        for group in itertools.product(range(len(responses)), repeat=group_size)
    }
    parts: dict[str, list[Tensor]] = {"now": [], "old": [], "advantages": [], "weights": [], "lengths": []}
    for minibatch in itertools.product(advantages, repeat=num_groups):
        members = [i for group in minibatch for i in group]
        lengths = torch.tensor([len(responses[i]) for i in members])
        sequence_ids = torch.arange(len(members)).repeat_interleave(lengths)
        shares = torch.ones(len(members), dtype=torch.float64)
        rule, constant = algorithm.normaliser, algorithm.normaliser_constant
        count = normalising_count(rule, constant, int(lengths.sum()), len(members), len(members), num_groups)
        of_group = lengths.view(num_groups, group_size).sum(1).repeat_interleave(group_size)
        chance = math.prod(chances[i] for i in members)
        member_advantages = torch.tensor([a for group in minibatch for a in advantages[group]], dtype=torch.float64)
        parts["now"] += [now[i] for i in members]
        parts["old"] += [old[i] for i in members]
        parts["advantages"].append(member_advantages[sequence_ids])
        weights = token_weights(rule, sequence_ids, lengths, shares, of_group)
        parts["weights"].append(weights * (chance / count))
        parts["lengths"].append(lengths)
    tokens = {name: torch.cat(tensors) for name, tensors in parts.items()}
    lengths = tokens["lengths"]
    inputs = LossInputs(
        policy_logprobs=tokens["now"],
        old_logprobs=tokens["old"],
        advantages=tokens["advantages"],
        weights=tokens["weights"],
        entropy=torch.zeros_like(tokens["weights"]),
        sequence_ids=torch.arange(len(lengths)).repeat_interleave(lengths),
        num_sequences=len(lengths),
    )
    return -gradient_of(algorithm.loss(inputs).loss_sum, logits)


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0))


def settings(normaliser: str) -> dict:
    return {"normaliser": normaliser, "normaliser_constant": 5.0 if normaliser == "constant" else None}


# All responses have two tokens: all rules but "constant" come to a mean over samples of a mean over two tokens.
DIVISORS = {"tokens": 2.0, "groups": 2.0, "sequences": 2.0, "episodes": 2.0, "constant": 5.0}


@pytest.mark.parametrize("normaliser", list(DIVISORS))
@pytest.mark.parametrize("group_size", [2, 3])
@pytest.mark.parametrize(
    ("make", "factor"),
    [
        pytest.param(Reinforce, lambda G: 1.0, id="reinforce"),
        pytest.param(lambda **s: Reinforce(baseline="group_mean", **s), lambda G: (G - 1) / G, id="group mean"),
        pytest.param(RLOO, lambda G: 1.0, id="rloo"),
        pytest.param(lambda **s: GRPO(scale_by_std=False, **s), lambda G: (G - 1) / G, id="grpo without std"),
    ],
)
def test_expected_gradient_is_the_true_one(
    make: Callable[..., Algorithm], factor: Callable[[int], float], group_size: int, normaliser: str
) -> None:
    logits = parameters()
    measured = expected_gradient(make(**settings(normaliser)), logits, GRADED, group_size=group_size)
    true = true_gradient(logits, GRADED)
    assert true.abs().max() > 0.05
    assert_close(measured * DIVISORS[normaliser], factor(group_size) * true, rtol=1e-10, atol=1e-13)


def difficulty_weight(solve_chance: float, group_size: int) -> float:
    """What standardising multiplies the gradient of a task by, for rewards of 0 and 1: the expected advantage of
    solving it minus that of failing it, over how many of the G - 1 siblings solve it."""

    def advantage(reward: int, solved_siblings: int) -> float:
        solved = reward + solved_siblings
        rewards = [1.0] * solved + [0.0] * (group_size - solved)
        spread = statistics.stdev(rewards)
        return (reward - statistics.fmean(rewards)) / spread if spread else 0.0

    return sum(
        math.comb(group_size - 1, k)
        * solve_chance**k
        * (1 - solve_chance) ** (group_size - 1 - k)
        * (advantage(1, k) - advantage(0, k))
        for k in range(group_size)
    )


@pytest.mark.parametrize("group_size", [2, 3, 4])
def test_standardised_on_binary_rewards_weights_tasks_by_difficulty(group_size: int) -> None:
    logits = parameters()
    solve_chance = expected_reward(logits, BINARY)
    measured = expected_gradient(GRPO(), logits, BINARY, group_size=group_size)
    true = true_gradient(logits, BINARY)
    # Within one task the direction is the true one. 1e-5: epsilon is in the divisor.
    weight = difficulty_weight(solve_chance, group_size)
    assert_close(measured * 2, weight * true, rtol=1e-5, atol=1e-15)


def test_difficulty_weight_by_hand() -> None:
    # Groups of two and three weight every task alike; from four on, hard and easy tasks gain on middling ones.
    for chance in (0.01, 0.3, 0.5):
        assert difficulty_weight(chance, 2) == pytest.approx(math.sqrt(1 / 2))
        assert difficulty_weight(chance, 3) == pytest.approx(2 / math.sqrt(3))
    assert difficulty_weight(1e-9, 4) == pytest.approx(1.5)
    assert difficulty_weight(0.5, 4) == pytest.approx(0.75 + 0.375 * math.sqrt(3))
    assert difficulty_weight(0.05, 16) / difficulty_weight(0.5, 16) > 1.5
    # With many members it goes to 1 / sqrt(p (1 - p)), one over the standard deviation.
    assert difficulty_weight(0.3, 400) == pytest.approx(1 / math.sqrt(0.3 * 0.7), rel=0.01)


def test_standardised_pairs_follow_the_win_rate_not_the_reward() -> None:
    logits = parameters()
    measured = expected_gradient(GRPO(), logits, GRADED, group_size=2)
    chances = {y: float(probability(logits, y).detach()) for y in GRADED}

    def sign(difference: float) -> float:
        return float((difference > 0) - (difference < 0))

    wins = {y: sum(sign(r - other) * chances[z] for z, other in GRADED.items()) for y, r in GRADED.items()}
    assert_close(measured * 2, true_gradient(logits, wins) / math.sqrt(2), rtol=1e-4, atol=1e-8)
    # The stated bias is real: another direction than the reward's.
    assert cosine(measured, true_gradient(logits, GRADED)) < 0.99


@pytest.mark.parametrize("group_size", [2, 3])
def test_constant_normaliser_is_unbiased_for_every_length(group_size: int) -> None:
    logits = parameters(seed=3)
    measured = expected_gradient(RLOO(**settings("constant")), logits, BY_LENGTH, group_size=group_size)
    assert_close(measured * 5, true_gradient(logits, BY_LENGTH), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("group_size", [2, 3])
def test_sequences_normaliser_follows_the_advantage_per_token(group_size: int) -> None:
    logits = parameters(seed=3)
    measured = expected_gradient(RLOO(normaliser="sequences"), logits, BY_LENGTH, group_size=group_size)
    value = expected_reward(logits, BY_LENGTH)
    per_token = {y: (r - value) / len(y) for y, r in BY_LENGTH.items()}
    assert_close(measured, true_gradient(logits, per_token), rtol=1e-10, atol=1e-13)
    assert cosine(measured, true_gradient(logits, BY_LENGTH)) < 0.999


def test_sequences_normaliser_makes_a_long_failure_cheaper_than_a_short_one() -> None:
    # Both fail; the policy moves toward the longer failure, though neither earns more than the other.
    rewards = {y: float(y == (2, 1)) for y in UP_TO_PAIRS}
    logits = torch.zeros(4, 3, dtype=torch.float64).requires_grad_()

    def drift(algorithm: Algorithm) -> float:
        """Change of log p(long failure) - log p(short failure) per unit of step; a long failure is (1, 0)."""
        step = expected_gradient(algorithm, logits, rewards, group_size=2)
        gap = token_logprobs(logits, (1,)).sum() - token_logprobs(logits, (0,)).sum()
        return float((gradient_of(gap, logits) * step).sum())

    assert drift(RLOO(**settings("constant"))) == pytest.approx(0.0, abs=1e-15)
    assert drift(RLOO(normaliser="sequences")) > 1e-3


def test_tokens_normaliser_is_biased_by_less_the_larger_the_minibatch() -> None:
    logits = parameters(seed=3)
    true = true_gradient(logits, BY_LENGTH)
    mean_length = expected_reward(logits, {y: float(len(y)) for y in BY_LENGTH})
    errors = [
        float((expected_gradient(RLOO(), logits, BY_LENGTH, group_size=2, num_groups=n) * mean_length - true).norm())
        / float(true.norm())
        for n in (1, 2)
    ]
    assert errors[0] > 0.01
    assert 0 < errors[1] < 0.6 * errors[0]


def test_groups_normaliser_keeps_its_bias_however_many_groups() -> None:
    """Each group has a divisor of its own, which depends on what was sampled: with one group it is "tokens", and more
    groups do not change the expectation."""
    logits = parameters(seed=3)
    one, two = [
        expected_gradient(RLOO(normaliser="groups"), logits, BY_LENGTH, group_size=2, num_groups=n) for n in (1, 2)
    ]
    assert_close(one, expected_gradient(RLOO(), logits, BY_LENGTH, group_size=2), rtol=1e-10, atol=1e-13)
    assert_close(two, one, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("algorithm", [Reinforce(), RLOO(), GRPO()], ids=lambda algorithm: algorithm.name)
def test_ratio_against_the_same_policy_changes_nothing(algorithm: Algorithm) -> None:
    logits = parameters()
    twin = logits.detach().clone()
    on_policy = expected_gradient(algorithm, logits, GRADED, group_size=2)
    assert_close(expected_gradient(algorithm, logits, GRADED, group_size=2, sampled_from=twin), on_policy)


def off_policy_gradient(logits: Tensor, old: Tensor, responses: Sequence[Response], rewards: Rewards) -> Tensor:
    """Expectation under `old` of the policy-gradient step for `logits`, without baseline, summed over tokens."""
    total = torch.zeros((), dtype=torch.float64)
    for y in responses:
        tokens = torch.full((len(y),), rewards[y], dtype=torch.float64)
        loss = policy_gradient(token_logprobs(logits, y), token_logprobs(old, y), tokens).sum()
        total = total + probability(old, y) * loss
    return -gradient_of(total, logits)


def test_token_ratio_is_exact_for_one_token_and_biased_for_two() -> None:
    logits, old = parameters(seed=0), parameters(seed=1).detach()
    words = {(0,): 1.0, (1,): 0.0, (2,): -2.0}
    assert_close(off_policy_gradient(logits, old, list(words), words), true_gradient(logits, words))
    error = off_policy_gradient(logits, old, PAIRS, GRADED) - true_gradient(logits, GRADED)
    assert float(error.norm()) > 0.05
    # A thousandth of the way from the old policy, about a thousandth of the bias.
    near = (old + 1e-3 * (logits.detach() - old)).requires_grad_()
    near_error = off_policy_gradient(near, old, PAIRS, GRADED) - true_gradient(near, GRADED)
    assert float(near_error.norm()) < 5e-3 * float(error.norm())


@pytest.mark.parametrize(
    ("algorithm", "same_as"),
    [
        (GSPO(), GRPO()),
        (DAPO(), GRPO(normaliser="tokens")),
        (CISPO(), GRPO(normaliser="tokens")),
        (SAPO(), GRPO()),
        (DPPO(), GRPO(normaliser="tokens")),
        (RLOO(ratio="sequence", sequence_clip=0.2), RLOO()),
        (GRPO(off_policy_mask=0.1), GRPO()),
        (GSPO(normaliser="constant", normaliser_constant=5.0), GRPO(normaliser="constant", normaliser_constant=5.0)),
    ],
    ids=lambda algorithm: algorithm.name,
)
def test_on_fresh_samples_the_variants_of_grpo_differ_by_their_normaliser_alone(
    algorithm: Algorithm, same_as: Algorithm
) -> None:
    logits = parameters(seed=3)
    measured = expected_gradient(algorithm, logits, BY_LENGTH, group_size=2)
    assert measured.abs().max() > 0.01
    assert_close(measured, expected_gradient(same_as, logits, BY_LENGTH, group_size=2), rtol=1e-10, atol=1e-13)


def test_a_sequence_ratio_is_biased_off_policy() -> None:
    """The geometric mean is no importance weight: with everything open, GSPO does not follow the expected reward."""
    logits, old = parameters(seed=0), parameters(seed=1).detach()
    near = (old + 0.3 * (logits.detach() - old)).requires_grad_()
    measured = expected_gradient(
        GSPO(scale_by_std=False, clip_low=1e3, clip_high=1e3), near, GRADED, group_size=2, sampled_from=old
    )
    true = true_gradient(near, GRADED) / 2
    assert cosine(measured * 2, true) < 0.9999
    assert_close(
        expected_gradient(GSPO(scale_by_std=False), old.clone().requires_grad_(), GRADED, group_size=2) * 2,
        true_gradient(old.clone().requires_grad_(), GRADED) / 2,
    )


@pytest.mark.parametrize("group_size", [2, 3])
def test_the_whole_sequences_ratio_is_unbiased_off_policy(group_size: int) -> None:
    """For responses of one and two tokens, with a constant divisor; a token's own ratio is not."""
    logits, old = parameters(seed=3), parameters(seed=1).detach()
    rule = settings("constant")
    true = true_gradient(logits, BY_LENGTH)
    whole = RLOO(ratio="sequence", **rule)
    measured = expected_gradient(whole, logits, BY_LENGTH, group_size=group_size, sampled_from=old)
    assert_close(measured * 5, true, rtol=1e-9, atol=1e-12)
    by_token = expected_gradient(RLOO(**rule), logits, BY_LENGTH, group_size=group_size, sampled_from=old)
    assert float((by_token * 5 - true).norm()) > 0.05
    # With a clip it is biased toward the old policy, as every clip is.
    clipped = RLOO(ratio="sequence", sequence_clip=0.2, **rule)
    measured = expected_gradient(clipped, logits, BY_LENGTH, group_size=group_size, sampled_from=old)
    assert float((measured * 5 - true).norm()) > 0.05


def best_of(k: int, logits: Tensor, rewards: Rewards) -> Tensor:
    """Gradient of the expected best reward of k attempts."""
    total = torch.zeros((), dtype=torch.float64)
    for attempts in itertools.product(rewards, repeat=k):
        chance = torch.stack([probability(logits, y) for y in attempts]).prod()
        total = total + chance * max(rewards[y] for y in attempts)
    return gradient_of(total, logits)


@pytest.mark.parametrize(("k", "group_size"), [(2, 2), (2, 3), (3, 3)])
@pytest.mark.parametrize("rewards", [GRADED, BINARY], ids=["graded", "binary"])
def test_pass_at_k_follows_the_best_of_k_attempts(k: int, group_size: int, rewards: Rewards) -> None:
    logits = parameters()
    measured = expected_gradient(RLOO(pass_at_k=k), logits, rewards, group_size=group_size)
    assert_close(measured * 2, best_of(k, logits, rewards), rtol=1e-9, atol=1e-12)
    assert cosine(measured, true_gradient(logits, rewards)) < 1 - 1e-6 or rewards is BINARY
    without_std = GRPO(pass_at_k=k, scale_by_std=False)
    assert_close(expected_gradient(without_std, logits, rewards, group_size=group_size), measured)


def test_the_off_policy_mask_is_a_bias_off_policy() -> None:
    """Every failure that the policy has left is forgotten: without a baseline what remains is not the true gradient."""
    logits, old = parameters(seed=0), parameters(seed=1).detach()
    shifted = {y: r - 1.5 for y, r in GRADED.items()}
    rule = settings("constant")
    options = {"ratio": "sequence", **rule}
    masked = expected_gradient(RLOO(off_policy_mask=0.1, **options), logits, shifted, group_size=2, sampled_from=old)
    true = true_gradient(logits, shifted)
    assert float((masked * 5 - true).norm()) > 0.05
    open_mask = RLOO(off_policy_mask=1e3, **options)
    assert_close(expected_gradient(open_mask, logits, shifted, group_size=2, sampled_from=old) * 5, true)


def test_expert_iteration_follows_the_chance_to_solve() -> None:
    """One attempt a minibatch; where it fails there is nothing to imitate and no step."""
    logits = parameters()
    solved = [y for y, reward in BINARY.items() if reward]
    inputs = [token_logprobs(logits, y) for y in solved]
    chances = torch.cat([torch.full((2,), float(probability(logits, y).detach()), dtype=torch.float64) for y in solved])
    now = torch.cat(inputs)
    ids = torch.arange(len(solved)).repeat_interleave(2)
    result = ExpertIteration().loss(
        LossInputs(now, now.detach(), torch.ones_like(now), chances / 2, torch.zeros_like(now), ids, len(solved))
    )
    assert_close(-gradient_of(result.loss_sum, logits) * 2, true_gradient(logits, BINARY), rtol=1e-10, atol=1e-13)


def group_of(group_id: int, responses: Sequence[Response], rewards: Sequence[float]) -> Group:
    """Members that said these words and earned these rewards, as the collector would hand them to credit."""
    task = Task("words", (Message("user", "?"),), "!")
    rollouts = [
        Rollout(
            task.task_id,
            group_id,
            i,
            (Turn((9,), False, Completion(y, (-1.0,) * len(y), "stop", ((0, 0),)), Message("assistant", "")),),
            Ending(EndingKind.FINISHED),
        )
        for i, y in enumerate(responses)
    ]
    return Group(group_id, task, tuple(rollouts), tuple(Score.solved(reward) for reward in rewards))


def credited_gradient(
    algorithm: Algorithm,
    logits: Tensor,
    tasks: Sequence[Rewards],
    values: Sequence[float] | None = None,
    reference: Tensor | None = None,
) -> Tensor:
    """As `expected_gradient`, through the algorithm's own credit over the whole minibatch: one attempt at each task.

    Args:
        values: a critic's, of the states in `STATES`, for algorithms that need them.
        reference: logits of the model that a KL in the reward is taken to.
    """
    total = torch.zeros_like(logits)
    for minibatch in itertools.product(*(list(rewards) for rewards in tasks)):
        groups = [group_of(i, [y], [tasks[i][y]]) for i, y in enumerate(minibatch)]
        samples = to_samples(groups)
        if values is not None:
            samples = [
                sample.replace(values=torch.tensor([0.0, values[0], values[1 + y[0]]][: 1 + len(y)]))
                for sample, y in zip(samples, minibatch, strict=True)
            ]
        if reference is not None:
            samples = [
                sample.replace(
                    proximal_logprobs=F.pad(token_logprobs(logits, y).detach(), (1, 0)),
                    reference_logprobs=F.pad(token_logprobs(reference, y), (1, 0)),
                )
                for sample, y in zip(samples, minibatch, strict=True)
            ]
        credited = algorithm.credit(groups, samples)
        now = [token_logprobs(logits, y) for y in minibatch]
        lengths = torch.tensor([len(y) for y in minibatch])
        tokens = torch.cat(now)
        ids = torch.arange(len(minibatch)).repeat_interleave(lengths)
        inputs = LossInputs(
            policy_logprobs=tokens,
            old_logprobs=tokens.detach(),
            advantages=torch.cat([sample.advantages[sample.loss_mask] for sample in credited]).double(),
            weights=torch.full_like(tokens, 1.0).detach() / len(tokens),
            entropy=torch.zeros_like(tokens),
            sequence_ids=ids,
            num_sequences=len(minibatch),
        )
        chance = math.prod(float(probability(logits, y).detach()) for y in minibatch)
        total -= chance * gradient_of(algorithm.loss(inputs).loss_sum, logits)
    return total


CRITIC = (0.3, -0.8, 0.5, 1.7)
"""Values of the states in `STATES`, as wrong as can be."""


def true_values(logits: Tensor, rewards: Rewards) -> list[float]:
    """Expected reward from each of `STATES` on."""
    after = [sum(float(logits[1 + a].softmax(-1)[b].detach()) * rewards[(a, b)] for b in range(3)) for a in range(3)]
    return [sum(float(logits[0].softmax(-1)[a].detach()) * after[a] for a in range(3)), *after]


def test_ppo_is_unbiased_with_any_critic_where_decay_is_1() -> None:
    logits = parameters()
    measured = credited_gradient(PPO(decay=1.0, whiten=False), logits, [GRADED], CRITIC)
    # One response of two tokens: the loss is their mean. 1e-6: credit is in float32.
    assert_close(measured * 2, true_gradient(logits, GRADED), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_ppo_with_a_smaller_decay_is_unbiased_with_a_true_critic_only(decay: float) -> None:
    logits = parameters()
    algorithm = PPO(decay=decay, whiten=False)
    true = true_gradient(logits, GRADED)
    right = credited_gradient(algorithm, logits, [GRADED], true_values(logits, GRADED))
    assert_close(right * 2, true, rtol=1e-5, atol=1e-6)
    wrong = credited_gradient(algorithm, logits, [GRADED], CRITIC)
    assert float((wrong * 2 - true).norm()) > 0.05


@pytest.mark.parametrize("critic", [CRITIC, (0.0,) * 4])
def test_ppo_with_the_kl_in_the_reward_follows_reward_less_divergence(critic: Sequence[float]) -> None:
    """Each token pays its own: with decay 1 the gradient is that of the reward less the whole response's divergence."""
    logits, reference, beta = parameters(seed=0), parameters(seed=2).detach(), 0.3
    algorithm = PPO(decay=1.0, whiten=False, kl_coefficient=beta, kl_in="reward")
    measured = credited_gradient(algorithm, logits, [GRADED], critic, reference)
    divergence = torch.zeros((), dtype=torch.float64)
    for y in PAIRS:
        difference = (token_logprobs(logits, y) - token_logprobs(reference, y)).sum()
        divergence = divergence + probability(logits, y) * difference
    true = true_gradient(logits, GRADED) - beta * gradient_of(divergence, logits)
    assert_close(measured * 2, true, rtol=1e-5, atol=1e-6)


def test_ppo_with_a_true_critic_and_no_decay_follows_it_too() -> None:
    """With decay 0 and a critic that knows the reward less the divergence to come, nothing is felt twice or not."""
    logits, reference, beta = parameters(seed=0), parameters(seed=2).detach(), 0.3
    shaped = {
        y: reward - beta * float((token_logprobs(logits, y) - token_logprobs(reference, y)).sum().detach())
        for y, reward in GRADED.items()
    }
    critic = true_values(logits, shaped)
    # What the first word has paid already is not to come any more.
    first = (logits.log_softmax(-1)[0] - reference.log_softmax(-1)[0]).detach()
    critic = [critic[0], *(value + beta * float(paid) for value, paid in zip(critic[1:], first, strict=True))]
    algorithm = PPO(decay=0.0, whiten=False, kl_coefficient=beta, kl_in="reward")
    measured = credited_gradient(algorithm, logits, [GRADED], critic, reference)
    any_critic = PPO(decay=1.0, whiten=False, kl_coefficient=beta, kl_in="reward")
    assert_close(measured, credited_gradient(any_critic, logits, [GRADED], critic, reference), rtol=1e-5, atol=1e-6)


def test_ppo_discounts_toward_the_reward() -> None:
    """With a discount and no critic the first word is credited with less than the second."""
    logits = parameters()
    measured = credited_gradient(PPO(decay=1.0, discount=0.5, whiten=False), logits, [GRADED], (0.0,) * 4)
    true = true_gradient(logits, GRADED)
    # Row 0 holds the first word, whose reward lies one token away; the other rows the second.
    assert_close(measured[0] * 2, 0.5 * true[0], rtol=1e-5, atol=1e-6)
    assert_close(measured[1:] * 2, true[1:], rtol=1e-5, atol=1e-6)


def test_reinforce_pp_keeps_the_direction_within_one_task_for_binary_rewards() -> None:
    logits = parameters()
    measured = credited_gradient(ReinforcePP(), logits, [BINARY] * 3)
    assert cosine(measured, true_gradient(logits, BINARY)) == pytest.approx(1.0, abs=1e-9)


def test_reinforce_pp_without_the_groups_mean_compares_unlike_tasks() -> None:
    """The best that a hard task gives counts for less than 0 beside the worst of an easy one."""
    groups = [group_of(0, [(0, 0)], [1.0]), group_of(1, [(0, 0)], [4.0])]
    hard, easy = [float(sample.advantages[-1]) for sample in ReinforcePP().credit(groups, to_samples(groups))]
    assert hard == pytest.approx(-easy)
    assert hard < 0


def test_dynamic_sampling_scales_the_step_by_how_often_a_group_is_kept() -> None:
    """What `keep` leaves out has no advantage: with groups of one size that refill the batch, the direction stays."""
    logits = parameters()
    group_size = 3
    all_groups = expected_gradient(DAPO(dynamic_sampling=False), logits, BINARY, group_size=group_size)
    kept = torch.zeros_like(logits)
    kept_chance = 0.0
    algorithm = DAPO()
    for members in itertools.product(BINARY, repeat=group_size):
        if not algorithm.keep(group_of(0, members, [BINARY[y] for y in members])):
            continue
        chance = math.prod(float(probability(logits, y).detach()) for y in members)
        kept_chance += chance
        advantages = algorithm.advantages(torch.tensor([BINARY[y] for y in members], dtype=torch.float64))
        step = sum(
            (
                a * gradient_of(token_logprobs(logits, y).sum(), logits)
                for a, y in zip(advantages, members, strict=True)
            ),
            start=torch.zeros_like(logits),
        )
        kept += chance * step / (2 * group_size)
    solve_chance = expected_reward(logits, BINARY)
    assert kept_chance == pytest.approx(1 - solve_chance**3 - (1 - solve_chance) ** 3)
    # Both are sums over the groups that were sampled; a batch that is refilled holds 1 / kept_chance times as many.
    assert_close(kept, all_groups, rtol=1e-9, atol=1e-12)


def test_sft_follows_the_likelihood_of_what_was_written() -> None:
    logits = parameters()
    demonstrations = {(0, 1): 0.75, (2, 2): 0.25}
    now = torch.cat([token_logprobs(logits, y) for y in demonstrations])
    shares = torch.tensor([share for share in demonstrations.values() for _ in range(2)], dtype=torch.float64)
    ids = torch.arange(2).repeat_interleave(2)
    ones = torch.ones_like(now).detach()
    result = SFT().loss(LossInputs(now, now.detach(), ones, shares, 0 * ones, ids, 2))
    likelihood = sum(
        (share * probability(logits, y).log() for y, share in demonstrations.items()),
        start=torch.zeros((), dtype=torch.float64),
    )
    assert_close(-gradient_of(result.loss_sum, logits), gradient_of(likelihood, logits), rtol=1e-10, atol=1e-13)


STATES: list[Response] = [(), (0,), (1,), (2,)]
"""What has been said before each of the two words."""


def divergence_gradient(logits: Tensor, reference: Tensor, visited: Tensor) -> Tensor:
    """Sum over states of the chance to be in it under `visited`, held fixed, times the gradient of
    KL(now || reference) there."""
    total = torch.zeros((), dtype=torch.float64)
    for row, state in enumerate(STATES):
        chance = float(probability(visited, state).detach()) if state else 1.0
        now = logits.log_softmax(-1)[row]
        total = total + chance * (now.exp() * (now - reference.log_softmax(-1)[row])).sum()
    return gradient_of(total, logits)


@pytest.mark.parametrize("off_policy", [False, True])
def test_the_kl_penalty_has_the_gradient_of_the_divergence_in_every_state(off_policy: bool) -> None:
    logits, reference = parameters(seed=0), parameters(seed=2).detach()
    sampled_from = parameters(seed=1).detach() if off_policy else logits.detach()
    value = torch.zeros((), dtype=torch.float64)
    for y in PAIRS:
        penalty = kl_penalty(token_logprobs(logits, y), token_logprobs(sampled_from, y), token_logprobs(reference, y))
        value = value + float(probability(sampled_from, y)) * penalty.sum()
    assert_close(
        gradient_of(value, logits), divergence_gradient(logits, reference, sampled_from), rtol=1e-9, atol=1e-12
    )


def test_kl_in_the_reward_has_the_gradient_of_the_whole_responses_divergence() -> None:
    logits, reference = parameters(seed=0), parameters(seed=2).detach()
    beta = 0.3
    shaped = {
        y: reward - beta * float((token_logprobs(logits, y) - token_logprobs(reference, y)).sum().detach())
        for y, reward in GRADED.items()
    }
    measured = expected_gradient(Reinforce(), logits, shaped, group_size=1) * 2
    divergence = torch.zeros((), dtype=torch.float64)
    for y in PAIRS:
        difference = (token_logprobs(logits, y) - token_logprobs(reference, y)).sum()
        divergence = divergence + probability(logits, y) * difference
    assert_close(
        measured, true_gradient(logits, GRADED) - beta * gradient_of(divergence, logits), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("off_policy", [False, True])
def test_distillation_descends_the_divergence_in_every_state_whoever_sampled(off_policy: bool) -> None:
    logits, teacher = parameters(seed=0), parameters(seed=2).detach()
    sampler = parameters(seed=1).detach() if off_policy else logits.detach()
    algorithm = Distillation(teacher="somewhere", ratio_against="sampling")

    def step(now_logits: Tensor) -> Tensor:
        value = torch.zeros((), dtype=torch.float64)
        for y in PAIRS:
            now, sampled = token_logprobs(now_logits, y), token_logprobs(sampler, y)
            weights = torch.full((2,), float(probability(sampler, y)), dtype=torch.float64)
            advantages = token_logprobs(teacher, y) - sampled
            inputs = LossInputs(now, sampled, advantages, weights, 0 * weights, torch.zeros(2, dtype=torch.long), 1)
            value = value + algorithm.loss(inputs).loss_sum
        return gradient_of(value, now_logits)

    assert_close(step(logits), divergence_gradient(logits, teacher, sampler), rtol=1e-9, atol=1e-12)
    there = teacher.clone().requires_grad_()
    assert_close(step(there), torch.zeros_like(there), rtol=0, atol=1e-12)


def test_distillation_over_the_vocabulary_is_what_the_sampled_token_estimates() -> None:
    """One sample each: the expected step of the sampled token is the step of the divergence, in every visited state."""
    logits, teacher = parameters(seed=0), parameters(seed=2).detach()
    exact = Distillation(teacher="somewhere", over="vocabulary")
    value = torch.zeros((), dtype=torch.float64)
    for y in PAIRS:
        states = logits.log_softmax(-1)[[0, 1 + y[0]]]
        others = teacher.log_softmax(-1)[[0, 1 + y[0]]]
        divergence = (states.exp() * (states - others)).sum(-1)
        now = token_logprobs(logits, y)
        weights = torch.full((2,), float(probability(logits, y).detach()), dtype=torch.float64)
        ids = torch.zeros(2, dtype=torch.long)
        inputs = LossInputs(now, now.detach(), 0 * weights, weights, 0 * weights, ids, 1, teacher_kl=divergence)
        value = value + exact.loss(inputs).loss_sum
    assert_close(
        gradient_of(value, logits), divergence_gradient(logits, teacher, logits.detach()), rtol=1e-9, atol=1e-12
    )


def test_the_kl_of_the_loss_is_corrected_for_the_sampler() -> None:
    """One update on samples of another policy: ratio 1 against "proximal", and the weight in front of both terms."""
    logits, reference = parameters(seed=0), parameters(seed=2).detach()
    sampler = parameters(seed=1).detach()
    correction = ImportanceCorrection(kind="truncate", high=1e6)
    algorithm = RLOO(kl_coefficient=1.0, correction=correction)
    value = torch.zeros((), dtype=torch.float64)
    for y in PAIRS:
        now, sampled = token_logprobs(logits, y), token_logprobs(sampler, y)
        weights = torch.full((2,), float(probability(sampler, y)), dtype=torch.float64)
        inputs = LossInputs(
            now,
            now.detach(),
            0 * weights,
            weights,
            0 * weights,
            torch.zeros(2, dtype=torch.long),
            1,
            sampling_logprobs=sampled,
            reference_logprobs=token_logprobs(reference, y),
        )
        value = value + algorithm.loss(inputs).loss_sum
    assert_close(gradient_of(value, logits), divergence_gradient(logits, reference, sampler), rtol=1e-9, atol=1e-12)


def test_what_the_other_estimators_do_as_a_loss() -> None:
    """On fresh samples k1 has no gradient at all, and k3 that of the other divergence, KL(reference || now)."""
    logits, reference = parameters(seed=0), parameters(seed=2).detach()

    def gradient(estimator: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        value = torch.zeros((), dtype=torch.float64)
        for y in PAIRS:
            chance = float(probability(logits, y).detach())
            value = value + chance * estimator(token_logprobs(logits, y), token_logprobs(reference, y)).sum()
        return gradient_of(value, logits)

    assert_close(gradient(k1), torch.zeros_like(logits), rtol=0, atol=1e-12)
    forward = torch.zeros((), dtype=torch.float64)
    for row, state in enumerate(STATES):
        visited = float(probability(logits.detach(), state)) if state else 1.0
        there = reference.softmax(-1)[row]
        forward = forward + visited * (there * (there.log() - logits.log_softmax(-1)[row])).sum()
    assert_close(gradient(k3), gradient_of(forward, logits), rtol=1e-9, atol=1e-12)


def corrected_gradient(logits: Tensor, sampler: Tensor, correction: ImportanceCorrection) -> Tensor:
    """Expectation under the sampler of the corrected step, no baseline, at the start of an update."""
    total = torch.zeros((), dtype=torch.float64)
    for y, reward in GRADED.items():
        now, sampled = token_logprobs(logits, y), token_logprobs(sampler, y)
        factors, _ = correction_weights(now.detach(), sampled, torch.zeros(2, dtype=torch.long), 1, correction)
        loss = factors * policy_gradient(now, now.detach(), torch.full((2,), reward, dtype=torch.float64))
        total = total + float(probability(sampler, y)) * loss.sum()
    return -gradient_of(total, logits)


def test_only_the_whole_sequences_weight_is_unbiased() -> None:
    logits, sampler = parameters(seed=0), parameters(seed=1).detach()
    true = true_gradient(logits, GRADED)
    options = {"kind": "truncate", "high": 1e6}
    assert_close(corrected_gradient(logits, sampler, ImportanceCorrection(level="sequence", **options)), true)
    for level in ("token", "geometric"):
        biased = corrected_gradient(logits, sampler, ImportanceCorrection(level=level, **options))
        assert float((biased - true).norm()) > 0.05
