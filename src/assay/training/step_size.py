"""The size of a step: how far an update moved the weights, and the policy's distribution, in two numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from assay.observe.metrics import metric
from assay.types import Sample

WEIGHT_CHANGE = metric(
    "train/weight_change_share",
    "Euclidean norm of what the step changed in a fixed sample of the trained weights, over the norm of that sample.",
)
STEP_KL = metric(
    "policy/step_kl_nats",
    "Estimate of KL(policy before the step || policy after it) per token, on a thirty-second of the step's samples: "
    "mean of exp(d) - 1 - d, d = log-probability after - before. How far the policy moved in one step.",
)
_MAX_WEIGHTS = 65_536
"""Weights in the sample, at least one of each tensor."""
_ONE_IN = 32
"""Samples of which one is read again after the update."""


class WeightSample:
    """A sample of the weights that are trained, as they were when it was made.

    Args:
        parameters: every trained parameter, of any device.
    """

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        self._stride = max(1, math.ceil(sum(parameter.numel() for parameter in trained) / _MAX_WEIGHTS))
        self._parameters = trained
        self._before = self._read()

    def change(self) -> float:
        """Return the norm of what changed since, as a share of the norm before; NaN where all of it was zero."""
        norm = float(self._before.norm())
        return float((self._read() - self._before).norm()) / norm if norm else math.nan

    def _read(self) -> Tensor:
        # Of a weight in shards, this process's own.
        whole = (getattr(each, "to_local", lambda each=each: each)().detach() for each in self._parameters)
        pieces = [each.flatten()[:: self._stride].double() for each in whole]
        return torch.cat(pieces).cpu() if pieces else torch.zeros(0, dtype=torch.float64)


def read_again(samples: Sequence[Sample], start: Mapping[tuple[int, int], Sequence[float]]) -> list[Sample]:
    """The samples that are read again after an update: spread over the step, each alone in its rollout.

    Args:
        start: (group_id, member) to the log-probabilities of its sampled tokens before the update.
    """
    known = [
        sample
        for sample in samples
        if len(start.get((sample.group_id, sample.member), ())) == int(sample.loss_mask.sum()) > 0
    ]
    return known[:: max(1, len(known) // max(1, len(samples) // _ONE_IN))][: max(1, len(samples) // _ONE_IN)]


def step_kl(before: Sequence[float], after: Sequence[float]) -> float:
    """Return the estimate of the divergence from log-probabilities of the same tokens; NaN where there are none.

    Differences are clamped to 20 nats. Source: Schulman 2020, "Approximating KL divergence",
    http://joschu.net/blog/kl-approx.html.
    """
    difference = torch.tensor(after, dtype=torch.float64) - torch.tensor(before, dtype=torch.float64)
    difference = difference[difference.isfinite()].clamp(-20.0, 20.0)
    return float((torch.expm1(difference) - difference).mean()) if len(difference) else math.nan
