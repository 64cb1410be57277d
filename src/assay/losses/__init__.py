"""Losses, from log-probabilities and advantages to a loss for each token and its normalised sum: pure functions.

Everything here is a loss (smaller is better) and keeps one entry a token, [N], or for comparisons one a pair or a
response. The algorithm multiplies by the token's weight and sums; the trainer divides by the count over the whole
minibatch.
"""

from __future__ import annotations

from assay.losses.bradley_terry import bradley_terry_loss
from assay.losses.cispo import cut_metrics, cut_weight
from assay.losses.clipped import clip_metrics, clipped
from assay.losses.correction import ImportanceCorrection, correction_weights
from assay.losses.divergence import MASKED_SHARE, BinaryDivergence, divergence_mask
from assay.losses.kl import k1, k3, kl_metrics, kl_penalty
from assay.losses.kto import kto_loss, reference_point
from assay.losses.normalise import Normaliser, normalising_count, token_weights
from assay.losses.off_policy import OFF_POLICY_SHARE, off_policy_mask
from assay.losses.policy_gradient import policy_gradient, sequence_policy_gradient
from assay.losses.preference import dpo_loss, ipo_loss, odds_ratio_loss, simpo_loss
from assay.losses.ratio import importance_ratio, log_ratio, ratio_metrics
from assay.losses.sequence import per_sequence_mean, per_sequence_sum, product_ratio, sequence_ratio
from assay.losses.soft import soft_gate
from assay.losses.value import value_loss

__all__ = [
    "MASKED_SHARE",
    "OFF_POLICY_SHARE",
    "BinaryDivergence",
    "ImportanceCorrection",
    "Normaliser",
    "bradley_terry_loss",
    "clip_metrics",
    "clipped",
    "correction_weights",
    "cut_metrics",
    "cut_weight",
    "divergence_mask",
    "dpo_loss",
    "importance_ratio",
    "ipo_loss",
    "k1",
    "k3",
    "kl_metrics",
    "kl_penalty",
    "kto_loss",
    "log_ratio",
    "normalising_count",
    "odds_ratio_loss",
    "off_policy_mask",
    "per_sequence_mean",
    "per_sequence_sum",
    "policy_gradient",
    "product_ratio",
    "ratio_metrics",
    "reference_point",
    "sequence_policy_gradient",
    "sequence_ratio",
    "simpo_loss",
    "soft_gate",
    "token_weights",
    "value_loss",
]
