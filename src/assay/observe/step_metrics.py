"""What the rollouts of a step say, as metrics."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from assay.observe.curves import mean_and_half_width
from assay.observe.metrics import metric
from assay.types import EndingKind, Group

REWARD = metric("reward/mean", "Mean reward of the step's measured rollouts.")
REWARD_LOW = metric(
    "reward/low", "Lower end of the 95 % interval of the mean reward: 1.96 standard errors over groups."
)
REWARD_HIGH = metric("reward/high", "Upper end of the 95 % interval of the mean reward.")
PART = metric(
    "reward/part/NAME",
    "Mean of a named part of the reward, before its weight, over the step's measured rollouts that have it.",
)
SOLVED = metric("reward/solved_share", "Share of the step's measured rollouts that were solved.")
SIGNAL = metric("reward/groups_with_signal_share", "Share of groups whose members did not all earn the same.")
RESPONSE_TOKENS = metric("rollout/response_tokens", "Mean sampled tokens of a rollout.")
TRUNCATED = metric("rollout/truncated_share", "Share of rollouts that a limit ended.")
SAME_RESPONSE = metric(
    "rollout/commonest_response_share",
    "Share of rollouts that say the commonest response of the step, word for word; towards 1 the policy gives one "
    "answer to every task, and reward that still comes in is that answer's share.",
)
NOT_MEASURED = metric("rollout/num_not_measured", "Rollouts left out of training because they could not be scored.")


def step_metrics(groups: Sequence[Group]) -> dict[str, float]:
    """What the rollouts of a step say. What nothing was measured for is NaN, never 0."""
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    rewards = [[reward for _, _, reward in group.measured] for group in groups if group.measured]
    mean, half_width = mean_and_half_width([mean_of_measured(r) for r in rewards]) if rewards else (math.nan, math.nan)
    return {
        REWARD: mean,
        REWARD_LOW: mean - half_width,
        REWARD_HIGH: mean + half_width,
        **_parts(groups),
        SOLVED: mean_of_measured([group.solved_share for group in groups]),
        SIGNAL: mean_of_measured([float(len(set(r)) > 1) for r in rewards]),
        RESPONSE_TOKENS: mean_of_measured([rollout.num_sampled_tokens for rollout in rollouts]),
        TRUNCATED: mean_of_measured([float(rollout.ending.kind is EndingKind.TRUNCATED) for rollout in rollouts]),
        SAME_RESPONSE: _commonest_share([rollout.response for rollout in rollouts]),
        NOT_MEASURED: float(sum(not score.measured for group in groups for score in group.scores)),
    }


def _parts(groups: Sequence[Group]) -> dict[str, float]:
    """The mean of each part that any measured rollout has, by metric."""
    values: dict[str, list[float]] = {}
    for group in groups:
        for _, score, _ in group.measured:
            for name, value in score.parts.items():
                values.setdefault(PART.replace("NAME", name), []).append(value)
    return {name: mean_of_measured(some) for name, some in values.items()}


def _commonest_share(responses: Sequence[str]) -> float:
    return Counter(responses).most_common(1)[0][1] / len(responses) if responses else math.nan


def mean_of_measured(values: Sequence[float]) -> float:
    """Mean of what is not NaN; NaN where nothing is."""
    measured = [value for value in values if not math.isnan(value)]
    return sum(measured) / len(measured) if measured else math.nan
