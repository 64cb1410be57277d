"""Metrics of a step's rollouts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from assay.observe.curves import step_interval
from assay.observe.metrics import metric
from assay.types import PROPOSAL, EndingKind, Group, Rollout

REWARD = metric(
    "reward/mean",
    "Mean over the step's tasks of what their measured rollouts earned, those of dropped groups included.",
)
REWARD_LOW = metric(
    "reward/low",
    "Lower end of the 95 % interval of the mean reward, over tasks: Wilson's at the effective number of rollouts, on "
    "the range of the step's rewards; Student's where rewards are numbers without a verdict.",
)
REWARD_HIGH = metric("reward/high", "Upper end of the 95 % interval of the mean reward.")
KEPT_REWARD = metric("reward/kept_mean", "As reward/mean, of the groups that were trained on alone.")
KEPT_SOLVED = metric("reward/kept_solved_share", "As reward/solved_share, of the groups that were trained on alone.")
PART = metric(
    "reward/part/NAME",
    "Mean of a named part of the reward, before its weight, over the step's measured rollouts that have it.",
)
PART_SIGNAL = metric(
    "reward/part_signal/NAME",
    "Share of the sampled groups that have a part of the reward at least twice, in which its values are not all the "
    "same.",
)
SOLVED = metric(
    "reward/solved_share",
    "Mean over the step's tasks of the share of their rollouts with a verdict that were solved; not measured where "
    "rewards are numbers without one.",
)
SIGNAL = metric("reward/groups_with_signal_share", "Share of sampled groups whose members did not all earn the same.")
RESPONSE_TOKENS = metric("rollout/response_tokens", "Mean sampled tokens of a rollout.")
TURNS = metric("rollout/turns", "Mean turns of a rollout.")
TURN_REWARD = metric(
    "reward/turn_mean", "Mean of what the environment paid for a turn, over the turns that it paid anything for."
)
SCAFFOLDED = metric("scaffold/share", "Share of the step's groups that had the recipe's scaffold.")
SCAFFOLDED_SOLVED = metric("scaffold/solved_share", "As reward/solved_share, of the groups with the scaffold.")
PLAIN_SOLVED = metric("scaffold/without_solved_share", "As reward/solved_share, of the groups without the scaffold.")
TRUNCATED = metric("rollout/truncated_share", "Share of rollouts that a limit ended.")
SAME_RESPONSE = metric(
    "rollout/commonest_response_share",
    "Share of rollouts that say the commonest response of the step, word for word; towards 1 the policy gives one "
    "answer to every task, and reward that still comes in is that answer's share.",
)
NOT_MEASURED = metric("rollout/num_not_measured", "Rollouts that could not be scored, and are left out of everything.")
_BY_ENVIRONMENT = {
    whole: metric(f"environment/NAME/{own}", f"As {whole}, of the tasks of one environment, where there are several.")
    for whole, own in {
        REWARD: "reward_mean",
        REWARD_LOW: "reward_low",
        REWARD_HIGH: "reward_high",
        PART: "part/NAME",
        PART_SIGNAL: "part_signal/NAME",
        TURN_REWARD: "turn_reward_mean",
        **{whole: whole.partition("/")[2] for whole in (SOLVED, SIGNAL, RESPONSE_TOKENS, TURNS)},
        **{whole: whole.partition("/")[2] for whole in (TRUNCATED, SAME_RESPONSE, NOT_MEASURED)},
    }.items()
}
"""What is measured of a step's rollouts to the same of one environment."""


def step_metrics(kept: Sequence[Group], dropped: Sequence[Group] = ()) -> dict[str, float]:
    """Return the metrics of a step's rollouts. A metric that nothing was measured for is NaN, never 0.

    Args:
        kept: the groups that are trained on.
        dropped: those that were sampled and replaced. What was measured of them counts too: a step that keeps the
            groups with a signal only would else show the reward of those.
    """
    by_environment = _by_environment([*kept, *dropped])
    # What proposals earn is another thing: it is told of the environment "propose" alone.
    kept, dropped = ([group for group in some if PROPOSAL not in group.task.metadata] for some in (kept, dropped))
    groups = [*kept, *dropped]
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    turns = {TURNS: _mean_turns(rollouts)} if any(len(rollout.turns) > 1 for rollout in rollouts) else {}
    return {
        **by_environment,
        **_by_scaffold(groups),
        **turns,
        **_of_rollouts(groups),
        KEPT_REWARD: mean_of_measured([mean_of_measured(r) for r in _rewards(kept)]),
        KEPT_SOLVED: mean_of_measured([group.solved_share for group in kept]),
    }


def _of_rollouts(groups: Sequence[Group]) -> dict[str, float]:
    """What is measured of any number of groups."""
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    rewards = _rewards(groups)
    mean, low, high = _interval(rewards, are_graded=all(group.is_graded for group in groups if group.measured))
    paid = [turn.env_reward for rollout in rollouts for turn in rollout.turns if turn.env_reward is not None]
    return {
        REWARD: mean,
        REWARD_LOW: low,
        REWARD_HIGH: high,
        **_parts(groups),
        SOLVED: mean_of_measured([group.solved_share for group in groups]),
        SIGNAL: mean_of_measured([float(len(set(r)) > 1) for r in rewards]),
        RESPONSE_TOKENS: mean_of_measured([rollout.num_sampled_tokens for rollout in rollouts]),
        TRUNCATED: mean_of_measured([float(rollout.ending.kind is EndingKind.TRUNCATED) for rollout in rollouts]),
        SAME_RESPONSE: _commonest_share([rollout.response for rollout in rollouts]),
        NOT_MEASURED: float(sum(not score.measured for group in groups for score in group.scores)),
        **({TURN_REWARD: mean_of_measured(paid)} if paid else {}),
    }


def _mean_turns(rollouts: Sequence[Rollout]) -> float:
    return mean_of_measured([float(len(rollout.turns)) for rollout in rollouts])


def _by_environment(groups: Sequence[Group]) -> dict[str, float]:
    """The same of each environment that the step has tasks of; none where it is one."""
    names = sorted({group.task.domain for group in groups})
    found: dict[str, float] = {}
    for name in names if len(names) > 1 else []:
        own = [group for group in groups if group.task.domain == name]
        values = {TURNS: _mean_turns([rollout for group in own for rollout in group.rollouts]), **_of_rollouts(own)}
        found |= {_of_environment(metric_name, name): value for metric_name, value in values.items()}
    return found


def _of_environment(metric_name: str, name: str) -> str:
    """The metric's name for one environment."""
    for whole in (PART, PART_SIGNAL):
        if metric_name.startswith(before := whole.removesuffix("NAME")):
            part = metric_name.removeprefix(before)
            return _BY_ENVIRONMENT[whole].removesuffix("NAME").replace("NAME", name, 1) + part
    return _BY_ENVIRONMENT[metric_name].replace("NAME", name, 1)


def _by_scaffold(groups: Sequence[Group]) -> dict[str, float]:
    """Shares solved by groups with the recipe's scaffold and by those without; nothing where no group has one."""
    scaffolded = ["scaffold" in group.task.metadata for group in groups]
    if not any(scaffolded):
        return {}
    shares: tuple[list[float], list[float]] = ([], [])
    for group, has_it in zip(groups, scaffolded, strict=True):
        shares[has_it].append(group.solved_share)
    return {
        SCAFFOLDED: sum(scaffolded) / len(groups),
        SCAFFOLDED_SOLVED: mean_of_measured(shares[True]),
        PLAIN_SOLVED: mean_of_measured(shares[False]),
    }


def _rewards(groups: Sequence[Group]) -> list[list[float]]:
    """Return the rewards of the measured members of each group that has any."""
    return [[reward for _, _, reward in group.measured] for group in groups if group.measured]


def _interval(rewards: Sequence[Sequence[float]], *, are_graded: bool) -> tuple[float, float, float]:
    """Mean over groups and the ends of its interval; NaN where nothing was measured."""
    if not rewards:
        return math.nan, math.nan, math.nan
    each = [reward for group in rewards for reward in group]
    means = [mean_of_measured(group) for group in rewards]
    return step_interval(means, len(each), (min(each), max(each)), are_graded=are_graded)


def _parts(groups: Sequence[Group]) -> dict[str, float]:
    """The mean of each part that any measured rollout has, and of each that is weighted the share of groups in which it
    differs, by metric."""
    values: dict[str, list[float]] = {}
    differs: dict[str, list[float]] = {}
    for group in groups:
        in_group: dict[str, list[float]] = {}
        for _, score, _ in group.measured:
            for name, value in score.parts.items():
                values.setdefault(PART.replace("NAME", name), []).append(value)
                if name in score.weights:
                    in_group.setdefault(PART_SIGNAL.replace("NAME", name), []).append(value)
        for name, some in in_group.items():
            if len(some) > 1:
                differs.setdefault(name, []).append(float(len(set(some)) > 1))
    return {name: mean_of_measured(some) for name, some in {**values, **differs}.items()}


def _commonest_share(responses: Sequence[str]) -> float:
    return Counter(responses).most_common(1)[0][1] / len(responses) if responses else math.nan


def mean_of_measured(values: Sequence[float]) -> float:
    """Mean of what is not NaN; NaN where nothing is."""
    measured = [value for value in values if not math.isnan(value)]
    return sum(measured) / len(measured) if measured else math.nan
