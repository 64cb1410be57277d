"""The expected gradient of credit over turns, by exact enumeration, where stopping is one of the actions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from assay.algorithms import GRPO, PPO, RLOO, GiGPO, Reinforce, ReinforcePP
from assay.algorithms.algorithm import Algorithm
from assay.algorithms.turn_credit import CreditBy
from assay.estimators import returns_to_go
from assay.losses import Normaliser
from assay.types import Group
from turn_world import (
    EPISODES,
    GO,
    HISTORIES,
    LEAP,
    SCORES,
    STATES,
    STOP,
    Actions,
    chance,
    earned,
    expected_gradient,
    moments,
    paid,
    parameters,
    true_gradient,
    turn_logprobs,
)

PAGES = Path(__file__).parents[2] / "docs" / "algorithms"
SEED = 2
ONE: dict[str, Any] = {"normaliser": "constant", "normaliser_constant": 1.0, "turn_rewards": "add"}
"""A divisor that does not depend on what was sampled."""


class ObviousBaseline(RLOO):
    """What not to do: each reward less the mean of what siblings were paid at the same turn, then summed from the turn
    on. As many means are subtracted as turns are left, and how many are left is the policy's own doing."""

    name: str = "obvious_baseline"

    def turn_advantages(self, group: Group, earned_GT: Sequence[Tensor], scale: float) -> list[list[float]]:
        return [
            returns_to_go(
                torch.stack([earned_T[turn] - self._mean(earned_GT, member, turn) for turn in range(len(earned_T))])
            ).tolist()
            for member, earned_T in enumerate(earned_GT)
        ]

    def _mean(self, earned_GT: Sequence[Tensor], member: int, turn: int) -> Tensor:
        others = [own[turn] for i, own in enumerate(earned_GT) if i != member and len(own) > turn]
        return torch.stack(others).mean() if others else torch.zeros(())


class ZeroAfterTheEnd(RLOO):
    """Unbiased too: returns to go less the siblings' mean at the same turn, 0 where a sibling has ended."""

    name: str = "zero_after_the_end"

    def turn_advantages(self, group: Group, earned_GT: Sequence[Tensor], scale: float) -> list[list[float]]:
        longest = max(map(len, earned_GT))
        padded = [torch.nn.functional.pad(returns_to_go(own), (0, longest - len(own))) for own in earned_GT]
        return [
            [float(self.advantages(torch.stack(padded)[:, turn])[member]) for turn in range(len(own))]
            for member, own in enumerate(earned_GT)
        ]


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0))


def relative_error(measured: Tensor, true: Tensor) -> float:
    return float((measured - true).norm() / true.norm())


def assert_is(measured: Tensor, expected: Tensor) -> None:
    # Credit is in float32.
    assert_close(measured, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("group_size", "forks"), [(2, False), (2, True), (3, True)])
@pytest.mark.parametrize("credit_by", ["episode", "turn", "state"])
def test_credit_over_turns_has_the_true_gradient(credit_by: CreditBy, group_size: int, forks: bool) -> None:
    logits = parameters(SEED)
    true = true_gradient(logits)
    assert true.abs().max() > 0.05
    algorithm = RLOO(credit_by=credit_by, **ONE)
    assert_is(expected_gradient(algorithm, logits, group_size=group_size, forks=forks), true)


@pytest.mark.parametrize("credit_by", ["episode", "turn"])
def test_a_mean_with_oneself_in_it_costs_every_turn_the_same_factor(credit_by: CreditBy) -> None:
    logits = parameters(SEED)
    for algorithm in (
        Reinforce(baseline="group_mean", credit_by=credit_by, **ONE),
        GRPO(scale_by_std=False, credit_by=credit_by, **ONE),
    ):
        assert_is(expected_gradient(algorithm, logits, group_size=2), 1 / 2 * true_gradient(logits))
    assert_is(
        expected_gradient(Reinforce(credit_by=credit_by, **ONE), logits, group_size=2),
        true_gradient(logits),
    )


def test_turn_rewards_count_as_the_setting_says() -> None:
    logits = parameters(SEED)
    for turn_rewards, value in (
        ("ignore", lambda episode: SCORES[episode]),
        ("replace", lambda episode: sum(paid(episode))),
    ):
        for credit_by in ("episode", "turn", "state"):
            algorithm = RLOO(credit_by=credit_by, **{**ONE, "turn_rewards": turn_rewards})
            assert_is(expected_gradient(algorithm, logits, group_size=2), true_gradient(logits, value))


def test_the_obvious_baseline_pays_for_stopping() -> None:
    """Its expected gradient is that of an objective in which every turn costs what siblings are paid at that turn on
    average: volcengine/verl issue 7244."""
    logits = parameters(SEED)
    measured = expected_gradient(ObviousBaseline(**ONE), logits, group_size=3)
    costs = [expected_mean(logits, turn, num_siblings=2) for turn in range(3)]
    charged = true_gradient(logits, lambda episode: sum(r - costs[turn] for turn, r in enumerate(earned(episode))))
    assert_is(measured, charged)
    true, more_turns = true_gradient(logits), true_gradient(logits, len)
    assert relative_error(measured, true) > 0.7
    assert cosine(measured, true) < 0.7
    # The true step makes episodes longer; this one shortens them.
    assert float((true * more_turns).sum()) > 0.06
    assert float((measured * more_turns).sum()) < -0.02


def expected_mean(logits: Tensor, turn: int, num_siblings: int) -> float:
    """Of what siblings that reach a turn are paid there; 0 where none does."""
    total = 0.0
    for siblings in itertools.product(EPISODES, repeat=num_siblings):
        there = [earned(episode)[turn] for episode in siblings if len(episode) > turn]
        probability = math.prod(float(chance(logits, episode).detach()) for episode in siblings)
        total += probability * (sum(there) / len(there) if there else 0.0)
    return total


def test_a_discount_is_the_stated_bias() -> None:
    """Each turn follows its own discounted return; the discount up to the turn itself is left out, as is usual."""
    logits = parameters(SEED)
    for discount in (0.5, 0.0):
        followed = torch.zeros_like(logits)
        for episode in EPISODES:
            returns = returns_to_go(torch.tensor(earned(episode), dtype=torch.float64), discount)
            toward = torch.autograd.grad((turn_logprobs(logits, episode) * returns).sum(), logits)[0]
            followed += float(chance(logits, episode).detach()) * toward
        for credit_by in ("turn", "state"):
            algorithm = RLOO(credit_by=credit_by, turn_discount=discount, **ONE)
            assert_is(expected_gradient(algorithm, logits, group_size=2), followed)
        assert relative_error(followed, true_gradient(logits)) > 0.1


def test_standardised_turns_are_biased() -> None:
    logits = parameters(SEED)
    measured = expected_gradient(GRPO(credit_by="turn", **ONE), logits, group_size=3)
    assert 0.5 < cosine(measured, true_gradient(logits)) < 0.99


def shared(logits: Tensor, history: Actions, group_size: int) -> float:
    """E[1 - 1 / n], n the turns of siblings in a state and one's own: what GiGPO weights the state with."""
    total = 0.0
    for siblings in itertools.product(EPISODES, repeat=group_size - 1):
        visited = sum(STATES[e[:turn]] == STATES[history] for e in siblings for turn in range(len(e)))
        total += math.prod(float(chance(logits, e).detach()) for e in siblings) * (1 - 1 / (1 + visited))
    return total


@pytest.mark.parametrize("group_size", [2, 3])
def test_gigpo_weights_states_by_how_often_they_are_shared(group_size: int) -> None:
    logits = parameters(SEED)
    true = true_gradient(logits)
    measured = expected_gradient(GiGPO(turn_discount=1.0, **ONE), logits, group_size=group_size)
    for history in ((), (GO,), (GO, GO)):
        row = HISTORIES.index(history)
        weight = (group_size - 1) / group_size + shared(logits, history, group_size)
        assert_is(measured[row], weight * true[row])
    # Whoever leaps may come back to the tower: then the mean depends on what is done there.
    row = HISTORIES.index((LEAP,))
    weight = (group_size - 1) / group_size + shared(logits, (LEAP,), group_size)
    assert float((measured[row] - weight * true[row]).norm() / true[row].norm()) > 0.02
    assert cosine(measured, true) < 0.9999


def test_gigpo_without_the_weight_of_turns_is_grpo() -> None:
    logits = parameters(SEED)
    for scale_by_std in (False, True):
        plain = expected_gradient(GRPO(scale_by_std=scale_by_std, **ONE), logits, group_size=2)
        measured = expected_gradient(
            GiGPO(turn_weight=0.0, scale_by_std=scale_by_std, **ONE),
            logits,
            group_size=2,
        )
        assert_is(measured, plain)


def to_come(logits: Tensor, history: Actions) -> float:
    """Expected return from a history on."""
    after = [episode for episode in EPISODES if episode[: len(history)] == history]
    chances = [float(chance(logits, episode).detach()) for episode in after]
    values = [sum(earned(episode)[len(history) :]) for episode in after]
    return sum(p * value for p, value in zip(chances, values, strict=True)) / sum(chances)


@pytest.mark.parametrize("forks", [False, True], ids=["one sample", "a fork each turn"])
def test_ppo_over_turns_is_unbiased_with_any_critic_where_decay_is_1(forks: bool) -> None:
    logits = parameters(SEED)
    algorithm = PPO(over="turn", decay=1.0, whiten=False, **ONE)
    measured = expected_gradient(
        algorithm, logits, group_size=1, forks=forks, values=lambda history: 0.7 - 1.3 * len(history) + sum(history)
    )
    assert_is(measured, true_gradient(logits))


@pytest.mark.parametrize("forks", [False, True], ids=["one sample", "a fork each turn"])
@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_ppo_over_turns_with_a_smaller_decay_is_unbiased_with_a_true_critic(decay: float, forks: bool) -> None:
    """The critic's values within a turn are nonsense, and nobody looks at them."""
    logits = parameters(SEED)
    algorithm = PPO(over="turn", decay=decay, whiten=False, **ONE)
    right = expected_gradient(
        algorithm, logits, group_size=1, forks=forks, values=lambda history: to_come(logits, history)
    )
    assert_is(right, true_gradient(logits))
    wrong = expected_gradient(algorithm, logits, group_size=1, forks=forks, values=lambda history: 0.0)
    assert relative_error(wrong, true_gradient(logits)) > 0.05


@pytest.mark.parametrize("forks", [False, True], ids=["one sample", "a fork each turn"])
def test_ppo_over_tokens_pays_each_turn_on_its_last_token(forks: bool) -> None:
    logits = parameters(SEED)
    algorithm = PPO(decay=1.0, whiten=False, **ONE)
    measured = expected_gradient(algorithm, logits, group_size=1, forks=forks, values=lambda history: 0.4)
    assert_is(measured, true_gradient(logits))


def test_reinforce_pp_over_turns_whitens_what_each_turn_is_credited_with() -> None:
    """Whitened over the tokens of a step: biased, and by less the more rollouts a step has."""
    logits = parameters(SEED)
    algorithm = ReinforcePP(credit_by="turn", **ONE)
    two, three = (
        cosine(expected_gradient(algorithm, logits, group_size=size), true_gradient(logits)) for size in (2, 3)
    )
    assert 0.6 < two < 0.7
    assert 0.8 < three < 1.0


def test_forks_change_nothing_but_where_samples_are_what_is_counted() -> None:
    logits = parameters(SEED)

    def both(normaliser: Normaliser) -> tuple[Tensor, Tensor]:
        algorithm = RLOO(normaliser=normaliser, turn_rewards="add", credit_by="turn")
        whole, forked = [expected_gradient(algorithm, logits, group_size=2, forks=forks) for forks in (False, True)]
        return whole, forked

    for normaliser in ("tokens", "turns", "groups"):
        assert_is(*both(normaliser))
    for normaliser in ("episodes", "sequences"):
        whole, forked = both(normaliser)
        assert relative_error(forked, whole) > 0.05


def compared_forms() -> dict[str, Algorithm]:
    return {
        "nothing": Reinforce(credit_by="turn", **ONE),
        "siblings' episodes": RLOO(**ONE),
        "siblings at the same turn": RLOO(credit_by="turn", **ONE),
        "the same, 0 after a sibling's end": ZeroAfterTheEnd(**ONE),
        "siblings in the same state": RLOO(credit_by="state", **ONE),
        "the obvious form": ObviousBaseline(**ONE),
        "GiGPO": GiGPO(turn_discount=1.0, **ONE),
    }


def test_the_page_says_what_each_form_does_here() -> None:
    logits = parameters(SEED)
    true, more_turns = true_gradient(logits), true_gradient(logits, len)
    rows = []
    for less, algorithm in compared_forms().items():
        measured, varies = moments(algorithm, logits, group_size=3)
        numbers = (relative_error(measured, true), cosine(measured, true), float((measured * more_turns).sum()))
        rows.append("| {} | {:.3f} | {:.3f} | {:+.3f} | {:.3f} |".format(less, *numbers, varies))
    assert "\n".join(rows) in (PAGES / "turns.md").read_text()


def test_the_pages_say_what_divisors_and_deviations_do_here() -> None:
    logits = parameters(SEED)
    true = true_gradient(logits)

    def found(algorithm: Algorithm) -> str:
        return f"{cosine(expected_gradient(algorithm, logits, group_size=3), true):.3f}"

    by: dict[str, str] = {}
    for normaliser in ("tokens", "groups", "turns", "episodes", "sequences"):
        by[normaliser] = found(RLOO(normaliser=normaliser, turn_rewards="add", credit_by="turn"))
    assert (
        f'{by["tokens"]} under `"tokens"` and `"groups"`, {by["turns"]} under `"turns"` and {by["episodes"]} under '
        '`"episodes"` and `"sequences"`'
    ) in (PAGES / "turns.md").read_text()
    assert (by["groups"], by["sequences"]) == (by["tokens"], by["episodes"])
    scaled = found(GiGPO(turn_discount=1.0, scale_by_std=True, **ONE))
    assert f"By standard deviations the cosine is {scaled} there" in (PAGES / "gigpo.md").read_text()


def test_stopping_is_an_action_here() -> None:
    logits = parameters(SEED)
    assert 0.3 < float(chance(logits, (STOP,)).detach()) < 0.6
    assert sum(float(chance(logits, episode).detach()) for episode in EPISODES) == pytest.approx(1.0)
