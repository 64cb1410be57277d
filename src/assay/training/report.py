"""The report of one training step: its metrics, as the trainer records them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from assay.observe.metrics import metric
from assay.types import Batch

LOSS = metric(
    "loss/policy", "The loss as differentiated: summed and normalised over each minibatch; mean over updates."
)
GRADIENT_NORM = metric("train/grad_norm", "Euclidean norm of the whole gradient before clipping; mean over updates.")
LEARNING_RATE = metric("train/learning_rate", "Learning rate of the last update made in this step.")
NUM_UPDATES = metric("train/num_updates", "Optimizer updates made in this step.")
NUM_SKIPPED = metric(
    "train/num_skipped", "Updates left out in this step: loss or gradient not finite, or the device out of memory."
)
NUM_TOKENS = metric("train/num_tokens", "Trained-on (sampled) tokens in this step's batches.")
NUM_PACKED_TOKENS = metric(
    "train/num_packed_tokens", "Tokens that one pass over this step's batches feeds the model: contexts included."
)
ENTROPY = metric(
    "policy/entropy_nats",
    "Entropy of the policy's next-token distribution at the run's temperature: mean over trained-on tokens in the "
    "first epoch.",
)
GAP_MEAN = metric(
    "gap/mean_nats",
    "Sampler-trainer gap: mean over tokens of |trainer's log-probability - sampler's|, before any update of this step.",
)
GAP_MAX = metric("gap/max_nats", "Sampler-trainer gap: the largest |log-probability difference| of a token.")
GAP_KL = metric(
    "gap/kl_nats",
    "Estimate of KL(sampler || trainer) per token: mean of exp(d) - 1 - d, d = trainer's log-probability - sampler's; "
    "never negative, unbiased on tokens the sampler drew.",
)
UPDATE_SECONDS = metric(
    "time/update_seconds", "Wall clock of all forward and backward passes and updates of this step."
)


@dataclass(frozen=True)
class StepReport:
    """Results of one step. A metric that nothing was measured for is absent, never 0."""

    metrics: dict[str, float]
    """Metrics by registered name."""
    trainer_logprobs: dict[tuple[int, int], list[float]]
    """(group_id, member) to the trainer's log-probabilities of its trained-on tokens, forks one after the other, as
    they were before any update of this step. A member whose first pass came after an update, and whom nobody annotated,
    is absent."""
    num_updates: int
    num_skipped: int


@dataclass
class StepRecorder:
    """Gathers the first pass over a step's batches."""

    trainer_logprobs: dict[tuple[int, int], list[float]] = field(default_factory=dict)
    differences: list[Tensor] = field(default_factory=list)
    entropy_sum: float = 0.0
    num_entropy_tokens: int = 0

    def record_entropy(self, entropy: Tensor) -> None:
        """[N] nats of one micro-batch."""
        self.entropy_sum += float(entropy.detach().double().sum())
        self.num_entropy_tokens += len(entropy)

    def record_start(self, batch: Batch, logprobs: Tensor) -> None:
        """[N] log-probabilities under the weights that this step began with."""
        logprobs = logprobs.detach().float()
        self.differences.append((logprobs - batch.sampling_logprobs).double().cpu())
        pieces = logprobs.cpu().split(batch.sequence_lengths.tolist())
        for group_id, member, piece in zip(batch.group_ids.tolist(), batch.member_ids.tolist(), pieces, strict=True):
            self.trainer_logprobs.setdefault((group_id, member), []).extend(piece.tolist())

    @classmethod
    def together(cls, recorders: Sequence[StepRecorder]) -> StepRecorder:
        """Return what the recorders of all ranks gathered."""
        total, *others = recorders
        for other in others:
            for member, logprobs in other.trainer_logprobs.items():
                total.trainer_logprobs.setdefault(member, []).extend(logprobs)
            total.differences += other.differences
            total.entropy_sum += other.entropy_sum
            total.num_entropy_tokens += other.num_entropy_tokens
        return total

    def metrics(self) -> dict[str, float]:
        metrics = {}
        if self.num_entropy_tokens:
            metrics[ENTROPY] = self.entropy_sum / self.num_entropy_tokens
        if self.differences:
            metrics |= gap_metrics(torch.cat(self.differences))
        return metrics


def gap_metrics(differences_N: Tensor) -> dict[str, float]:
    """The sampler-trainer gap from [N] float64 differences, trainer's minus sampler's log-probability.

    The KL estimate is k3 of Schulman 2020, "Approximating KL divergence", http://joschu.net/blog/kl-approx.html, with
    expm1 for small differences; differences are clamped to 20 nats in it.
    """
    if not len(differences_N) or not math.isfinite(float(differences_N.sum())):
        return {}
    clamped = differences_N.clamp(-20.0, 20.0)
    return {
        GAP_MEAN: float(differences_N.abs().mean()),
        GAP_MAX: float(differences_N.abs().max()),
        GAP_KL: float((torch.expm1(clamped) - clamped).mean()),
    }
