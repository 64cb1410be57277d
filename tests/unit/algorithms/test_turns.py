"""Credit over turns, with numbers worked by hand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import pydantic
import pytest
import torch
from torch.testing import assert_close

from assay.algorithms import DAPO, GRPO, PPO, RLOO, SFT, Algorithm, Distillation, ExpertIteration, GiGPO, Reinforce
from assay.algorithms.turn_credit import FLAT_STATES, SHARED_STATES, TURN_REWARD
from assay.batching import to_samples
from assay.errors import ConfigError, DataError
from assay.estimators import anchored, returns_to_go
from assay.losses import Normaliser
from assay.observe.step_metrics import SIGNAL
from assay.types import Completion, Ending, EndingKind, Group, Message, Rollout, Score, Task, Turn

FINISHED = Ending(EndingKind.FINISHED)


def turn(reward: float | None = None, shown: str = "", *, tokens: int = 1, extends: bool = False) -> Turn:
    """One that sampled so many tokens, was paid so much, and after which the environment showed this."""
    completion = Completion(tuple(range(tokens)), (-1.0,) * tokens, "stop", ((0, 0),) if tokens else ())
    messages = (Message("user", shown),) if shown else ()
    return Turn((9,), extends, completion, Message("assistant", "!"), messages, reward)


def group(*members: Sequence[Turn], scores: Sequence[float | None] = ()) -> Group:
    rollouts = tuple(Rollout("t", 0, i, tuple(turns), FINISHED) for i, turns in enumerate(members))
    values = scores or [0.0] * len(members)
    given = tuple(Score.not_measured("crash") if v is None else Score.solved(v) for v in values)
    return Group(0, Task("world", (Message("user", "?"),), "!"), rollouts, given)


def credit(algorithm: Algorithm, given: Group, values: float | None = None) -> list[list[float]]:
    """Advantages of the trained-on tokens of each member, forks one after the other."""
    samples = to_samples([given])
    if values is not None:
        samples = [sample.replace(values=values * sample.loss_mask) for sample in samples]
    found: dict[int, list[float]] = {}
    for sample in algorithm.credit([given], samples):
        found.setdefault(sample.member, []).extend(sample.advantages[sample.loss_mask].tolist())
    return [found[index] for index in sorted(found)]


# Returns to go 2, 1, 1 and 1; scores 1 and 0 make them 3, 2, 2 and 1.
UNEQUAL = group([turn(1.0), turn(0.0), turn(1.0)], [turn(1.0)], scores=[1.0, 0.0])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"turn_rewards": "ignore"}, [[1.0, 1.0, 1.0], [-1.0]]),
        ({"turn_rewards": "add"}, [[2.0, 2.0, 2.0], [-2.0]]),
        ({"turn_rewards": "replace"}, [[1.0, 1.0, 1.0], [-1.0]]),
        ({"turn_rewards": "add", "credit_by": "turn"}, [[2.0, 1.0, 1.0], [-2.0]]),
        ({"turn_rewards": "replace", "credit_by": "turn"}, [[1.0, 0.0, 0.0], [-1.0]]),
        # Returns to go 1.5, 1, 2 and 1.
        ({"turn_rewards": "add", "credit_by": "turn", "turn_discount": 0.5}, [[0.5, 0.0, 1.0], [-0.5]]),
        ({"turn_rewards": "replace", "credit_by": "turn", "turn_discount": 0.0}, [[0.0, -1.0, 0.0], [0.0]]),
        # A score at the end alone: each turn is compared as its episode is.
        ({"turn_rewards": "ignore", "credit_by": "turn"}, [[1.0, 1.0, 1.0], [-1.0]]),
    ],
)
def test_two_members_by_hand(settings: dict[str, Any], expected: list[list[float]]) -> None:
    assert credit(RLOO(**settings), UNEQUAL) == expected


def test_standardised_by_turn_by_hand() -> None:
    # At turn 0: 3 and 1 (mean 2, deviation sqrt 2); at the others 2 and 1 (3/2, sqrt 1/2).
    found = credit(GRPO(turn_rewards="add", credit_by="turn"), UNEQUAL)
    half = math.sqrt(0.5)
    assert_close(torch.tensor(found[0]), torch.tensor([half, half, half]), rtol=1e-5, atol=0.0)
    assert found[1] == pytest.approx([-half], rel=1e-5)


def test_credit_by_state_by_hand() -> None:
    # The hall is reached at different turns: returns to go 2 (turn 1), 5 and 1 (turns 1 and 2), and never.
    given = group(
        [turn(0.0, "hall"), turn(2.0)],
        [turn(1.0, "hall"), turn(4.0, "hall"), turn(1.0)],
        [turn(3.0, "roof"), turn(7.0)],
    )
    found = credit(RLOO(turn_rewards="replace", credit_by="state"), given)
    # The first turns of 2, 6 and 10 are compared with each other.
    assert [member[0] for member in found] == [2 - 8, 6 - 6, 10 - 4]
    assert found[0][1] == 2 - (5 + 1) / 2
    assert found[1][1:] == [5 - 2, 1 - 2]
    # Nobody else was on the roof: compared at the same turn, 2 and 5.
    assert found[2][1] == 7 - (2 + 5) / 2


GIGPO = group(
    # Undiscounted returns to go 2, 2; 6, 5, 1; 10, 7. Episodes 2, 6 and 10.
    [turn(0.0, "hall"), turn(2.0)],
    [turn(1.0, "hall"), turn(4.0, "hall"), turn(1.0)],
    [turn(3.0, "roof"), turn(7.0)],
)


def test_gigpo_by_hand() -> None:
    """Equations 3, 5, 7 and 8 of the paper, with F_norm = 1, gamma = 1 and omega = 1/2."""
    found = credit(GiGPO(turn_rewards="replace", turn_discount=1.0, turn_weight=0.5), GIGPO)
    # Episodes -4, 0, 4; the first state 2, 6, 10: -4, 0, 4; the hall 2, 5, 1: mean 8/3; the roof alone: 0.
    expected = [[-4 - 2, -4 + (2 - 8 / 3) / 2], [0, (5 - 8 / 3) / 2, (1 - 8 / 3) / 2], [4 + 2, 4]]
    for member, numbers in zip(found, expected, strict=True):
        assert member == pytest.approx(numbers, rel=1e-6)


def test_gigpo_by_standard_deviations_by_hand() -> None:
    found = credit(GiGPO(turn_rewards="replace", turn_discount=1.0, scale_by_std=True), GIGPO)
    # Of 2, 6, 10: 4. Of 2, 5, 1: sqrt(13/3).
    deviation = math.sqrt(13 / 3)
    expected = [[-1 - 1, -1 + (2 - 8 / 3) / deviation], [0, (5 - 8 / 3) / deviation, (1 - 8 / 3) / deviation], [2, 1]]
    for member, numbers in zip(found, expected, strict=True):
        assert member == pytest.approx(numbers, rel=1e-5, abs=1e-6)


def test_gigpos_discount_is_of_turns_alone() -> None:
    # Discounted returns 1 and 2, and 3; episodes 2 and 3.
    given = group([turn(0.0, "hall"), turn(2.0)], [turn(3.0)])
    found = credit(GiGPO(turn_rewards="replace", turn_discount=0.5), given)
    assert found == [[-0.5 - 1.0, -0.5], [0.5 + 1.0]]


def test_the_authors_numbers() -> None:
    """What `step_norm_reward` of the authors' gigpo/core_gigpo.py (github.com/langfengQ/DrMAS at 3b556f2) gives for
    returns 1, 0.5, 0.25 in one state and 3 in another: by the sample's standard deviation plus 1e-6, a state alone less
    itself."""
    returns, states = torch.tensor([1.0, 0.5, 3.0, 0.25]), ["a", "a", "b", "a"]
    # mean 0.583333, deviation 0.381881
    assert_close(
        anchored(returns, states, scale_by_std=True),
        torch.tensor([1.091086, -0.218217, 0.0, -0.872869]),
        rtol=1e-5,
        atol=0,
    )
    assert_close(
        anchored(returns, states, scale_by_std=False),
        torch.tensor([0.416667, -0.083333, 0.0, -0.333333]),
        rtol=1e-5,
        atol=1e-6,
    )


def test_states_are_told_apart_by_all_that_was_shown() -> None:
    def shown(message: Message) -> list[Turn]:
        first = Turn((9,), False, Completion((1,), (-1.0,), "stop", ((0, 0),)), Message("assistant", ""), (message,))
        return [first, turn(1.0)]

    same = group(shown(Message("tool", "x")), shown(Message("tool", "x")), [turn(5.0)])
    other = group(shown(Message("tool", "x")), shown(Message("user", "x")), [turn(5.0)])
    algorithm = RLOO(turn_rewards="replace", credit_by="state")
    assert credit(algorithm, same)[0][1] == 1.0 - 1.0
    assert credit(algorithm, other)[0][1] == 1.0 - (1.0 + 5.0) / 2


def test_a_state_that_the_environment_names_is_the_state() -> None:
    """Two who were shown the same in different states, and two who were shown different things in the same one."""

    def member(state: str, shown: str, last: float) -> list[Turn]:
        return [turn(0.0, shown), dataclasses.replace(turn(last), state=state)]

    given = group(member("a", "x", 1.0), member("a", "y", 4.0), member("b", "x", 16.0))
    found = credit(RLOO(turn_rewards="replace", credit_by="state"), given)
    assert [numbers[1] for numbers in found] == [1 - 4, 4 - 1, 16 - 2.5]


PPO_GROUP = group([turn(1.0, "x", tokens=2), turn(0.0, "x", tokens=3), turn(2.0)], scores=[4.0])


def test_ppo_over_turns_by_hand() -> None:
    """Values 1/2 before every turn, gamma 1/2, lambda 1/2: deltas 1 + 1/4 - 1/2, 0 + 1/4 - 1/2 and 6 - 1/2."""
    algorithm = PPO(over="turn", discount=0.5, decay=0.5, whiten=False, turn_rewards="add")
    last, middle = 5.5, -0.25 + 0.25 * 5.5
    first = 0.75 + 0.25 * middle
    [found] = credit(algorithm, PPO_GROUP, values=0.5)
    assert found == pytest.approx([first] * 2 + [middle] * 3 + [last])
    samples = [sample.replace(values=0.5 * sample.loss_mask) for sample in to_samples([PPO_GROUP])]
    returns = [value for s in algorithm.credit([PPO_GROUP], samples) for value in s.returns[s.loss_mask].tolist()]  # pyright: ignore[reportOptionalSubscript]
    assert returns == pytest.approx([advantage + 0.5 for advantage in found])


def test_ppo_over_tokens_goes_through_forks() -> None:
    """Six tokens in three forks, gamma 1 and lambda 0: what a token earned and the next value, less its own."""
    algorithm = PPO(decay=0.0, whiten=False, turn_rewards="add")
    [found] = credit(algorithm, PPO_GROUP, values=0.5)
    assert found == pytest.approx([0.0, 1.0, 0.0, 0.0, 0.0, 5.5])
    discounted = PPO(decay=1.0, discount=0.5, whiten=False, turn_rewards="replace")
    [found] = credit(discounted, PPO_GROUP, values=0.0)
    assert found == pytest.approx([0.5 + 1 / 16, 1 + 1 / 8, 1 / 4, 1 / 2, 1, 2])


@pytest.mark.parametrize("over", ["token", "turn"])
def test_ppo_loses_nothing_that_a_turn_without_tokens_earned(over: Any) -> None:
    given = group([turn(tokens=2), turn(1.0, tokens=0), turn(tokens=1), turn(tokens=0)], scores=[4.0])
    algorithm = PPO(over=over, decay=1.0, whiten=False, turn_rewards="add")
    assert credit(algorithm, given, values=0.0) == [[5.0, 5.0, 4.0]]


@pytest.mark.parametrize("forks", [False, True])
@pytest.mark.parametrize("normaliser", ["turns", "episodes"])
def test_a_rollouts_share_does_not_depend_on_its_forks(forks: bool, normaliser: Normaliser) -> None:
    """Two turns of two tokens and of one: every form credits each turn the same, forked or not."""
    turns = [turn(1.0, "x", tokens=2), turn(0.5, "x", tokens=1, extends=not forks)]
    given = group(turns, [turn(0.0)])
    assert len(to_samples([given])) == (3 if forks else 2)
    algorithm = RLOO(turn_rewards="replace", credit_by="turn", normaliser=normaliser)
    assert credit(algorithm, given) == [[1.5, 1.5, 0.5], [-1.5]]
    assert credit(RLOO(turn_rewards="replace"), given) == [[1.5, 1.5, 1.5], [-1.5]]


PAID = group([turn(), turn(0.0)], [turn()], scores=[1.0, 0.0])


@pytest.mark.parametrize(
    "algorithm", [RLOO(), GRPO(), PPO(), GiGPO(), RLOO(credit_by="turn"), SFT(), ExpertIteration(), DAPO()], ids=repr
)
def test_what_an_environment_pays_is_never_ignored_in_silence(algorithm: Algorithm) -> None:
    with pytest.raises(ConfigError, match=r"pays for single turns .turn 1 of rollout 0.*set algorithm.turn_rewards to"):
        algorithm.credit([PAID], [])
    if algorithm.dynamic_sampling:
        with pytest.raises(ConfigError, match="turn_rewards"):
            algorithm.keep(PAID)
    said = algorithm.model_copy(update={"turn_rewards": "ignore"})
    assert said.credit([PAID], []) == []


def test_what_cannot_use_turn_rewards_offers_to_ignore_them_only() -> None:
    with pytest.raises(ConfigError, match=r'set algorithm.turn_rewards to "ignore"'):
        SFT().credit([PAID], [])


def test_members_that_were_not_measured_have_no_turns_to_compare_with() -> None:
    broken = group([turn(1.0), turn(2.0)], [turn(99.0)], [turn(1.0), turn(0.0)], scores=[0.0, None, 0.0])
    assert credit(RLOO(turn_rewards="replace", credit_by="turn"), broken) == [[2.0, 2.0], [-2.0, -2.0]]


@pytest.mark.parametrize("reward", [math.nan, math.inf])
def test_a_payment_that_is_no_number_is_an_error(reward: float) -> None:
    with pytest.raises(DataError, match=f"turn 0 of rollout 1 of group 0 was paid {reward}"):
        RLOO(turn_rewards="add").credit([group([turn(1.0)], [turn(reward)])], [])


@pytest.mark.parametrize(
    ("algorithm", "settings", "message"),
    [
        (RLOO, {"turn_discount": 0.5}, 'turn_discount has no effect with credit_by "episode"'),
        (RLOO, {"credit_by": "turn", "pass_at_k": 2}, "pass_at_k compares whole episodes"),
        (SFT, {"turn_rewards": "add"}, "advantages are not made of rewards"),
        (ExpertIteration, {"credit_by": "turn"}, "advantages are not made of rewards"),
        (PPO, {"credit_by": "turn"}, "credit_by has no effect"),
        (PPO, {"turn_discount": 0.9}, "turn_discount has no effect"),
        (GiGPO, {"credit_by": "turn"}, "credit_by has no effect"),
        (RLOO, {"turn_rewards": "use"}, "refuse"),
        (RLOO, {"credit_by": "turn", "turn_discount": 1.5}, "less than or equal to 1"),
    ],
)
def test_settings_without_effect_are_errors(algorithm: type[Algorithm], settings: dict, message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        algorithm(**settings)
    Distillation(teacher="default", turn_rewards="ignore")


def test_a_penalty_for_length_stays_where_turn_rewards_replace_the_score() -> None:
    given = group([turn(1.0, tokens=4)], [turn(1.0)], scores=[7.0, 0.0])
    algorithm = Reinforce(turn_rewards="replace", overlong="penalty", max_response_tokens=4, overlong_margin=2)
    assert credit(algorithm, given) == [[0.0] * 4, [1.0]]


def test_dynamic_sampling_keeps_what_turns_differ_in() -> None:
    same_sum = group([turn(1.0, "x"), turn(0.0)], [turn(0.0, "x"), turn(1.0)])
    assert not RLOO(dynamic_sampling=True, turn_rewards="replace").keep(same_sum)
    assert RLOO(dynamic_sampling=True, turn_rewards="replace", credit_by="turn").keep(same_sum)
    assert GiGPO(dynamic_sampling=True, turn_rewards="replace").keep(same_sum)
    equal = group([turn(1.0, "x"), turn(0.0)], [turn(1.0, "x"), turn(0.0)])
    for algorithm in (
        RLOO(credit_by="turn", turn_rewards="add"),
        RLOO(credit_by="state", turn_rewards="add"),
        GiGPO(turn_rewards="add"),
    ):
        assert not algorithm.model_copy(update={"dynamic_sampling": True}).keep(equal)


def test_metrics_say_how_much_states_are_shared() -> None:
    # First turns share theirs (three); the hall has three visits of two members; the roof one of one.
    algorithm = GiGPO(turn_rewards="replace", turn_discount=1.0)
    assert algorithm.credit_metrics([GIGPO]) == {TURN_REWARD: 6.0, SHARED_STATES: 6 / 7, FLAT_STATES: 0.0, SIGNAL: 1.0}
    by_state = RLOO(turn_rewards="ignore", credit_by="state")
    same = group([turn(None, "hall"), turn()], [turn(None, "hall"), turn()], scores=[1.0, 1.0])
    assert by_state.credit_metrics([same]) == {SHARED_STATES: 1.0, FLAT_STATES: 1.0, SIGNAL: 0.0}
    assert RLOO().credit_metrics([same]) == {}
    assert GiGPO().credit_metrics([]) == {}


def test_payments_are_a_signal_where_they_count() -> None:
    """Scores that are all the same say nothing; what turns were paid does."""
    unmeasured = group([turn(1.0)], scores=[None])
    metrics = RLOO(turn_rewards="replace").credit_metrics([UNEQUAL, group([turn(1.0)], [turn(1.0)]), unmeasured])
    assert metrics[SIGNAL] == 0.5
    assert SIGNAL not in RLOO(turn_rewards="ignore").credit_metrics([UNEQUAL])


def test_returns_to_go_reject_what_they_cannot_mean() -> None:
    with pytest.raises(ValueError, match="discount from 0 to 1"):
        returns_to_go(torch.ones(2), 1.5)
    with pytest.raises(ValueError, match="one for each of 1 states"):
        anchored(torch.ones(2), ["a"], scale_by_std=False)
