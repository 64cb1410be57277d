"""The curves a person looks at first, read from a run store: the same ones in the report and in the terminal."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assay.observe.metrics import metric
from assay.observe.records import StepRewards
from assay.observe.store import RunStore
from assay.statistics import Interval, clustered_mean, t_interval

TOKENS_PER_SECOND = metric(
    "time/tokens_per_second", "Sampled tokens of the step over the wall clock of the whole step, update included."
)


@dataclass(frozen=True)
class Curve:
    """A series over training, with a band where it has one."""

    name: str
    """A file name's worth: "reward"."""
    title: str
    unit: str
    points: tuple[tuple[int, float], ...]
    """(step, value) where it was measured, in step order."""
    band: tuple[tuple[float, float], ...] = ()
    """(low, high) of each point; empty where there is none."""

    @property
    def values(self) -> list[float]:
        return [value for _, value in self.points]


PAIR_ACCURACY = "loss/pair_accuracy"
_PAIR_CURVES = (
    ("pair_accuracy", "Pairs in the right order", "share", PAIR_ACCURACY),
    ("pair_margin", "Margin of a pair", "reward", "loss/pair_margin"),
    ("chosen_reward", "Reward of the preferred", "reward", "loss/chosen_reward"),
    ("rejected_reward", "Reward of the rejected", "reward", "loss/rejected_reward"),
    ("chosen_log_ratio", "Preferred, policy over reference", "nats", "loss/chosen_log_ratio_nats"),
    ("rejected_log_ratio", "Rejected, policy over reference", "nats", "loss/rejected_log_ratio_nats"),
)
"""Curves of comparisons that are given: their rewards are the data's, the same at every step, and show nothing."""
TURN_REWARD, LEFT_OUT_SHARE = "credit/turn_reward_mean", "rollout/left_out_share"
PART_PREFIX, CONSTRAINT = "reward/part/", "reward/constraint_multiplier"
MAX_PARTS = 8
"""Parts of a reward that have a curve of their own."""
_METRIC_CURVES = (
    ("entropy", "Policy entropy", "nats a token", "policy/entropy_nats"),
    ("gap", "Sampler-trainer gap", "nats a token", "gap/mean_nats"),
    ("gradient_norm", "Gradient norm", "", "train/grad_norm"),
    ("learning_rate", "Learning rate", "", "train/learning_rate"),
    ("tokens_per_second", "Speed", "tokens/s", TOKENS_PER_SECOND),
    ("proposals_read", "Proposals that could be read", "share", "propose/read_share"),
    ("proposals_new", "Proposals that were accepted", "share", "propose/new_share"),
    ("proposals_kept", "Proposals solved by some, not by all", "share", "propose/kept_share"),
    ("proposals_reward", "Reward of proposals", "reward", "environment/propose/reward_mean"),
)


def reward_curve(store: RunStore) -> Curve:
    """Mean reward of each step, dropped groups included, with its 95 % interval (`step_interval`)."""
    return _reward(store.step_rewards())


def _reward(steps: Sequence[StepRewards]) -> Curve:
    points, band = [], []
    for rewards in steps:
        if rewards.group_rewards:
            measured = rewards.group_rewards, rewards.num_measured, rewards.bounds
            value, low, high = step_interval(*measured, are_graded=rewards.are_graded)
            points.append((rewards.step, value))
            band.append((low, high))
    return Curve("reward", "Mean reward", "reward", tuple(points), tuple(band))


def step_interval(
    group_rewards: Sequence[float], num_measured: int, bounds: tuple[float, float], *, are_graded: bool
) -> tuple[float, float, float]:
    """Mean reward of a step and the ends of its 95 % interval: `reward_interval`, or Student's over the groups' means
    where the rewards are numbers without a verdict, whose range nobody knows; NaN for the ends of a single such group.
    """
    if not are_graded:
        interval = reward_interval(group_rewards, num_measured, bounds)
    elif len(group_rewards) > 1:
        interval = t_interval(group_rewards)
    else:
        return group_rewards[0], math.nan, math.nan
    return interval.value, interval.low, interval.high


def reward_interval(group_rewards: Sequence[float], num_measured: int, bounds: tuple[float, float]) -> Interval:
    """Mean reward over groups of their measured members, with its 95 % interval over groups, not rollouts: members of a
    group share their task.

    On the range of the step's rewards, 0 and 1 included (`clustered_mean`), so that it keeps a width where all earned
    the same.

    Args:
        group_rewards: mean reward of each group.
        num_measured: rollouts behind them.
        bounds: the smallest and the largest of their rewards.
    """
    return clustered_mean(group_rewards, num_measured, (min(bounds[0], 0.0), max(bounds[1], 1.0)))


def length_curve(store: RunStore) -> Curve:
    """Mean sampled tokens of a rollout, step by step."""
    return _lengths(store.step_rewards())


def _lengths(steps: Sequence[StepRewards]) -> Curve:
    points = tuple((rewards.step, rewards.response_tokens) for rewards in steps)
    return Curve("response_length", "Response length", "tokens", points)


def turn_curve(store: RunStore) -> Curve:
    """Mean turns of a rollout, step by step; empty where no rollout had more than one."""
    return _turns(store.step_rewards())


def _turns(steps: Sequence[StepRewards]) -> Curve:
    points = tuple((rewards.step, rewards.turns) for rewards in steps)
    return Curve("turns", "Turns of a rollout", "turns", points if any(turns > 1 for _, turns in points) else ())


def learns_from_given_pairs(store: RunStore) -> bool:
    """True for a run that compares responses which its data gives: it has a comparison's loss, and samples nothing."""
    recorded = store.first_metrics()
    return PAIR_ACCURACY in recorded and TOKENS_PER_SECOND not in recorded


def main_curves(store: RunStore, *, from_tokens: bool = True) -> list[Curve]:
    """Reward and its parts where it has some, response length, turns where there are several, entropy, sampler-trainer
    gap, gradient norm, speed and what became of proposals, as far as they were recorded; of comparisons that are given,
    how they are ordered in place of the reward.

    Args:
        from_tokens: where no gap was recorded, work it out from the tokens of all rollouts, which takes reading them.
    """
    metrics, rewards = store.metrics(), store.step_rewards()
    if learns_from_given_pairs(store):
        curves = _pair_curves(metrics)
    else:
        curves = [_reward(rewards), *_part_curves(metrics), _lengths(rewards), _turns(rewards)]
    for name, title, unit, metric_name in _METRIC_CURVES:
        points = _points(metrics.get(metric_name, []))
        if name == "gap" and not points and from_tokens:
            points = tuple(store.logprob_gaps().items())
        curves.append(Curve(name, title, unit, points))
    return [curve for curve in curves if curve.points]


def _points(series: Sequence[tuple[int, float | None]]) -> tuple[tuple[int, float], ...]:
    return tuple((step, value) for step, value in series if value is not None)


def _pair_curves(metrics: Mapping[str, Sequence[tuple[int, float | None]]]) -> list[Curve]:
    return [
        Curve(name, title, unit, _points(metrics[own])) for name, title, unit, own in _PAIR_CURVES if own in metrics
    ]


def _part_curves(metrics: Mapping[str, Sequence[tuple[int, float | None]]]) -> list[Curve]:
    """A curve of each of the first parts of the reward, and of the multiplier of its constraint."""
    named = [name for name in sorted(metrics) if name.startswith(PART_PREFIX)][:MAX_PARTS]
    found = [(f"part_{re.sub(r'[^A-Za-z0-9]+', '_', n)}", f"Part {n.removeprefix(PART_PREFIX)}", n) for n in named]
    if CONSTRAINT in metrics:
        found.append(("constraint", "Multiplier of the constraint", CONSTRAINT))
    return [Curve(name, title, "reward", _points(metrics[metric_name])) for name, title, metric_name in found]


def level_curves(store: RunStore) -> dict[str, Curve]:
    """Return each level's curve, easiest level first: the solved share of its rollouts with a verdict, or where the run
    has none the mean reward, in the unit "reward"; none of comparisons that are given."""
    shares = [] if learns_from_given_pairs(store) else store.level_shares()
    judged = any(share.measured for share in shares)
    points: dict[str, list[tuple[int, float]]] = {}
    for share in shares:
        if not judged:
            points.setdefault(share.level, []).append((share.step, share.reward))
        elif share.measured:
            points.setdefault(share.level, []).append((share.step, share.solved / share.measured))
    name, title, unit = ("solved", "Solved share", "solved") if judged else ("reward", "Mean reward", "reward")
    return {
        level: Curve(f"{name} {level}", f"{title}, {level}", unit, tuple(points[level]))
        for level in sorted(points, key=natural_key)
    }


def level_title(curves: Mapping[str, Curve]) -> str:
    """The heading of curves by level: of solved shares, or of rewards."""
    return "Mean reward by level" if next(iter(curves.values())).unit == "reward" else "Solved share by level"


def natural_key(text: str) -> list[tuple[int, float, str]]:
    """Orders names by the numbers in them: "c2 h1" before "c10 h1".

    Example:
        >>> sorted(["c10 h1", "c2 h1"], key=natural_key)
        ['c2 h1', 'c10 h1']
    """
    parts = re.split(r"(\d+(?:\.\d+)?)", text)
    return [(0, float(part), "") if i % 2 else (1, 0.0, part) for i, part in enumerate(parts)]
