"""From log-probabilities and advantages to a loss for each token, and how the sum is normalised: pure functions.

Everything here is a loss (smaller is better) and keeps one entry a token, [N]. The algorithm multiplies by the token's
weight and sums; the trainer divides by the count over the whole minibatch.
"""

from __future__ import annotations

from assay.losses.clipped import clip_metrics, clipped
from assay.losses.normalise import Normaliser, normalising_count, token_weights
from assay.losses.policy_gradient import policy_gradient
from assay.losses.ratio import importance_ratio, log_ratio, ratio_metrics

__all__ = [
    "Normaliser",
    "clip_metrics",
    "clipped",
    "importance_ratio",
    "log_ratio",
    "normalising_count",
    "policy_gradient",
    "ratio_metrics",
    "token_weights",
]
