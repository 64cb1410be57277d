"""One minibatch of an update: what its micro-batches add up to, over all ranks."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from assay.algorithms.algorithm import Algorithm
from assay.losses import normalising_count
from assay.losses.value import VALUE_EXPLAINED
from assay.training.report import GRADIENT_NORM, LOSS
from assay.types import Batch


@dataclass(frozen=True)
class UpdateResult:
    """Results of one pass over one minibatch."""

    loss: float
    means: dict[str, float]
    maxima: dict[str, float]
    gradient_norm: float
    critic_norm: float = 0.0

    @property
    def finite(self) -> bool:
        return math.isfinite(self.loss) and math.isfinite(self.gradient_norm) and math.isfinite(self.critic_norm)

    @property
    def overflowed(self) -> bool:
        """True where the gradient alone is not finite."""
        return not self.finite and math.isfinite(self.loss)


@dataclass
class MinibatchSums:
    """What the micro-batches of a minibatch add up to."""

    loss: float = 0.0
    weights: float = 0.0
    critic_loss: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    maxima: dict[str, float] = field(default_factory=dict)

    def add(self, loss: float, weights: float, sums: Mapping[str, Any], maxima: Mapping[str, Any]) -> None:
        """Adds a micro-batch, or what those of another rank add up to."""
        self.loss += loss
        self.weights += weights
        for name, value in sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value)
        for name, value in maxima.items():
            self.maxima[name] = max(self.maxima.get(name, -math.inf), float(value))

    @classmethod
    def together(cls, parts: Sequence[MinibatchSums]) -> MinibatchSums:
        """Return the sums of all ranks."""
        total, *others = parts
        for part in others:
            total.critic_loss += part.critic_loss
            total.add(part.loss, part.weights, part.sums, part.maxima)
        return total


def batch_of(minibatch: Sequence[Batch], place: int | None) -> Batch:
    """Return a rank's micro-batch; where it has none left the smallest, to make a pass with."""
    return minibatch[place] if place is not None else min(minibatch, key=lambda batch: batch.num_tokens)


def group_tokens(minibatch: Sequence[Batch]) -> dict[int, int]:
    """Trained-on tokens of each group, over all micro-batches."""
    tokens: dict[int, int] = defaultdict(int)
    for batch in minibatch:
        for group_id, length in zip(batch.group_ids.tolist(), batch.sequence_lengths.tolist(), strict=True):
            tokens[group_id] += length
    return tokens


def count_of(minibatch: Sequence[Batch], algorithm: Algorithm) -> float:
    return normalising_count(
        algorithm.normaliser,
        algorithm.normaliser_constant,
        num_tokens=sum(batch.num_predictions for batch in minibatch),
        num_sequences=sum(len(batch.sequence_lengths) for batch in minibatch),
        num_episodes=sum(float(batch.sequence_weights.double().sum()) for batch in minibatch),
        num_groups=len(group_tokens(minibatch)),
        num_turns=sum(batch.num_turns for batch in minibatch),
    )


def over_updates(updates: list[UpdateResult]) -> dict[str, float]:
    """Means of means and maxima of maxima; nothing where no update was made."""
    metrics: dict[str, float] = defaultdict(float)
    for update in updates:
        for name, value in {LOSS: update.loss, GRADIENT_NORM: update.gradient_norm, **update.means}.items():
            metrics[name] += value / len(updates)
        for name, value in update.maxima.items():
            metrics[name] = max(metrics.get(name, -math.inf), value)
    return dict(metrics)


def explained_variance(minibatches: Sequence[Sequence[Batch]]) -> dict[str, float]:
    """1 - var(returns - values) / var(returns), over the step's tokens; nothing without a critic, or where all returns
    are the same."""
    batches = [batch for minibatch in minibatches for batch in minibatch]
    pairs = [(b.values, b.returns) for b in batches if b.values is not None and b.returns is not None]
    if not pairs:
        return {}
    values = torch.cat([values for values, _ in pairs]).double()
    returns = torch.cat([returns for _, returns in pairs]).double()
    variance = float(returns.var(correction=0))
    return {VALUE_EXPLAINED: 1 - float((returns - values).var(correction=0)) / variance} if variance else {}
