"""The curves a person looks at first, read from a run store: the same ones in the report and in the terminal."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from assay.observe.metrics import metric
from assay.observe.store import RunStore

TOKENS_PER_SECOND = metric(
    "time/tokens_per_second", "Sampled tokens of the step over the wall clock of the whole step, update included."
)

_NORMAL_95 = 1.959964


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


_METRIC_CURVES = (
    ("entropy", "Policy entropy", "nats a token", "policy/entropy_nats"),
    ("gap", "Sampler-trainer gap", "nats a token", "gap/mean_nats"),
    ("gradient_norm", "Gradient norm", "", "train/grad_norm"),
    ("learning_rate", "Learning rate", "", "train/learning_rate"),
    ("tokens_per_second", "Speed", "tokens/s", TOKENS_PER_SECOND),
)


def reward_curve(store: RunStore) -> Curve:
    """Mean reward of each step with its 95 % interval.

    The interval is mean +- 1.96 standard errors over groups, not rollouts: members of a group share their task. A step
    with one group has no interval; its band is the point.
    """
    points, band = [], []
    for rewards in store.step_rewards():
        if rewards.group_rewards:
            mean, half_width = mean_and_half_width(rewards.group_rewards)
            points.append((rewards.step, mean))
            band.append((mean - half_width, mean + half_width))
    return Curve("reward", "Mean reward", "reward", tuple(points), tuple(band))


def mean_and_half_width(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half the width of its normal 95 % interval; 0 for a single value.

    Example:
        >>> mean, half = mean_and_half_width([0.0, 1.0])
        >>> round(mean, 3), round(half, 3)
        (0.5, 0.98)
    """
    count = len(values)
    mean = sum(values) / count
    if count < 2:
        return mean, 0.0
    variance = sum((value - mean) ** 2 for value in values) / (count - 1)
    return mean, _NORMAL_95 * math.sqrt(variance / count)


def length_curve(store: RunStore) -> Curve:
    """Mean sampled tokens of a rollout, step by step."""
    points = tuple((rewards.step, rewards.response_tokens) for rewards in store.step_rewards())
    return Curve("response_length", "Response length", "tokens", points)


def metric_curve(store: RunStore, name: str) -> Curve:
    """The curve of one recorded metric."""
    points = tuple((step, value) for step, value in store.metrics().get(name, []) if value is not None)
    return Curve(re.sub(r"\W+", "_", name), name, "", points)


def main_curves(store: RunStore) -> list[Curve]:
    """Reward, response length, entropy, sampler-trainer gap, gradient norm and speed, as far as they were recorded."""
    metrics = store.metrics()
    curves = [reward_curve(store), length_curve(store)]
    for name, title, unit, metric_name in _METRIC_CURVES:
        points = tuple((step, value) for step, value in metrics.get(metric_name, []) if value is not None)
        if name == "gap" and not points:
            points = tuple(store.logprob_gaps().items())
        curves.append(Curve(name, title, unit, points))
    return [curve for curve in curves if curve.points]


def level_curves(store: RunStore) -> dict[str, Curve]:
    """Level to the solved share of its measured rollouts, easiest level first."""
    points: dict[str, list[tuple[int, float]]] = {}
    for share in store.level_shares():
        points.setdefault(share.level, []).append((share.step, share.solved / share.measured))
    return {
        level: Curve(f"solved {level}", f"Solved share, {level}", "solved", tuple(points[level]))
        for level in sorted(points, key=natural_key)
    }


def natural_key(text: str) -> list[tuple[int, float, str]]:
    """Orders names by the numbers in them: "c2 h1" before "c10 h1".

    Example:
        >>> sorted(["c10 h1", "c2 h1"], key=natural_key)
        ['c2 h1', 'c10 h1']
    """
    parts = re.split(r"(\d+(?:\.\d+)?)", text)
    return [(0, float(part), "") if i % 2 else (1, 0.0, part) for i, part in enumerate(parts)]
