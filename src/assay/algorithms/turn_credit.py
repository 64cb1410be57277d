"""Earnings of the turns of an episode, and the state that each began in: credit over turns begins here."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Literal

from assay.errors import ConfigError, DataError
from assay.estimators import at_turn, in_state, returns_to_go
from assay.later import torch
from assay.observe.metrics import metric
from assay.types import Group, Rollout

if TYPE_CHECKING:
    from torch import Tensor

TurnRewards = Literal["refuse", "ignore", "add", "replace"]
"""Treatment of the rewards that an environment pays for single turns. refuse: that it pays is an error. ignore: they
count for nothing, the score alone does. add: they count, and so does the score, which the last turn earns. replace:
they count in place of the score."""
CreditBy = Literal["episode", "turn", "state"]
"""The unit that is compared. episode: whole episodes, and all turns of one get the same. turn: what each turn earned
from itself on, with siblings at the same turn. state: the same, with siblings that were in the same state."""

TURN_REWARD = metric(
    "credit/turn_reward_mean",
    "Mean over the step's rollouts of the sum that their environment paid for single turns; absent where none did.",
)
SHARED_STATES = metric(
    "credit/shared_state_share",
    "Share of turns that began in a state which another rollout of the group was in too: the only ones that a "
    "comparison by state has something to say of.",
)
FLAT_STATES = metric(
    "credit/flat_state_share",
    "Share of the turns in shared states whose state led every rollout to the same return: a comparison by state says "
    "nothing of these either. Absent where no state is shared.",
)


def check_turn_rewards(group: Group, turn_rewards: TurnRewards, usable: bool) -> None:
    """Refuses a group whose environment pays for turns, where nobody has said what that counts for.

    Args:
        group: its measured members are looked at.
        turn_rewards: the algorithm's setting; all but "refuse" accept any group.
        usable: whether the algorithm could use them at all.

    Raises:
        ConfigError: a turn was paid for, and `turn_rewards` is "refuse".
        DataError: a reward that is not finite.
    """
    for rollout, _, _ in group.measured:
        for number, turn in enumerate(rollout.turns):
            place = f"turn {number} of rollout {rollout.member} of group {group.group_id}"
            if turn.env_reward is not None and not math.isfinite(turn.env_reward):
                raise DataError(f"{place} was paid {turn.env_reward}: what an environment pays must be finite")
            if turn_rewards == "refuse" and turn.env_reward is not None:
                use = '"add" (beside the score), "replace" (in place of the score) or ' if usable else ""
                raise ConfigError(
                    f"the environment of {group.task.domain!r} pays for single turns ({place} was paid "
                    f"{turn.env_reward:g}), and nothing says what that counts for: set algorithm.turn_rewards to "
                    f'{use}"ignore"'
                )


def earned_by_turn(rollout: Rollout, final: float, turn_rewards: TurnRewards) -> Tensor:
    """[T] float64, what each turn earned: what it was paid, where that counts, and on the last turn `final`, which is
    what the whole episode earned beside it. [1] for a rollout without turns."""
    earned_T = torch.zeros(max(1, len(rollout.turns)), dtype=torch.float64)
    if turn_rewards in ("add", "replace"):
        for number, turn in enumerate(rollout.turns):
            earned_T[number] = turn.env_reward or 0.0
    earned_T[-1] += final
    return earned_T


def totals(earned_GT: Sequence[Tensor]) -> Tensor:
    """[G] what each episode earned."""
    return torch.stack([earned_T.sum() for earned_T in earned_GT]) if earned_GT else torch.zeros(0, dtype=torch.float64)


def check_float32(group: Group, credit: float | Sequence[float], earned_GT: Sequence[Tensor]) -> None:
    """Checks the credit of one member.

    Raises:
        DataError: it is not finite in float32.
    """
    if not torch.isfinite(torch.tensor(credit, dtype=torch.float32)).all():
        found = totals(earned_GT)
        raise DataError(
            f"group {group.group_id} has rewards from {found.min():g} to {found.max():g}, too large for "
            "float32 advantages: scale the reward"
        )


def states_of(rollout: Rollout) -> list[Hashable]:
    """[T] the state that each turn began in, as its environment named it; where it named none, the messages that it
    had just shown, of which first turns have the same. [1] for a rollout without turns."""
    shown: list[Hashable] = ["", *(turn.env_messages for turn in rollout.turns[:-1])]
    return [turn.state or messages for turn, messages in zip(rollout.turns, shown, strict=True)] or shown


def comparisons(
    group: Group, earned_GT: Sequence[Tensor], credit_by: Literal["turn", "state"], discount: float
) -> list[list[Tensor]]:
    """[G][T] of the returns that each turn of each measured member is compared with, its own first."""
    returns_GT = [returns_to_go(earned_T, discount) for earned_T in earned_GT]
    states_GT = [states_of(rollout) for rollout, _, _ in group.measured]
    return [
        [
            at_turn(returns_GT, member, turn) if credit_by == "turn" else in_state(returns_GT, states_GT, member, turn)
            for turn in range(len(returns_T))
        ]
        for member, returns_T in enumerate(returns_GT)
    ]


def paid_metrics(groups: Sequence[Group]) -> dict[str, float]:
    """Return what environments paid for turns, as a metric; nothing where none did."""
    rollouts = [rollout for group in groups for rollout, _, _ in group.measured]
    if not any(turn.env_reward is not None for rollout in rollouts for turn in rollout.turns):
        return {}
    return {TURN_REWARD: sum(turn.env_reward or 0.0 for r in rollouts for turn in r.turns) / len(rollouts)}


def state_metrics(groups: Sequence[Group], earned: Sequence[Sequence[Tensor]], discount: float) -> dict[str, float]:
    """Return how much a comparison by state has to compare; nothing where there are no turns."""
    num_turns = num_shared = num_flat = 0
    for group, earned_GT in zip(groups, earned, strict=True):
        found: dict[Hashable, list[tuple[int, float]]] = {}
        for member, (rollout, _, _) in enumerate(group.measured):
            returns = returns_to_go(earned_GT[member], discount).tolist()
            for state, value in zip(states_of(rollout), returns, strict=True):
                found.setdefault(state, []).append((member, value))
        for visited in found.values():
            num_turns += len(visited)
            if len({member for member, _ in visited}) > 1:
                num_shared += len(visited)
                num_flat += len(visited) * (len({value for _, value in visited}) == 1)
    shared = {SHARED_STATES: num_shared / num_turns} if num_turns else {}
    return shared | ({FLAT_STATES: num_flat / num_shared} if num_shared else {})
