"""The importance ratio of each token, and what to watch about it.

Shape letters: N predicted tokens. "old" is the policy the ratio is taken against: the trainer's own at the start of the
update, or the sampler's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.later import torch
from assay.observe.metrics import metric

if TYPE_CHECKING:
    from torch import Tensor

MAX_LOG_RATIO = 20.0
"""Bound on a token's |log ratio| in nats. exp(20) is 4.9e8: a token this far off has no useful gradient left, and
beyond the bound it gets none. Without it one such token overflows float32 (at 89 nats) and turns the step into NaN."""

RATIO_MEAN = metric(
    "loss/ratio_mean",
    "Mean ratio of a trained-on token's probability now over its old one. 1 in the first update of a step; its "
    "expectation stays 1 while the old policy is the one that sampled, so a drift away from 1 means that it is not.",
)
RATIO_MAX = metric(
    "loss/ratio_max",
    "Largest ratio of any trained-on token. Far above 1 + clip_high: single tokens have moved far, or the sampler and "
    "the trainer disagree about rare tokens.",
)
OLD_KL = metric(
    "loss/old_kl_nats",
    "Estimated KL divergence from the old policy to the current one, nats a token (k3 = ratio - 1 - log ratio, never "
    "negative). How far the updates of this step have moved the policy; 0 in the first.",
)


def log_ratio(policy_logprobs_N: Tensor, old_logprobs_N: Tensor) -> Tensor:
    """log pi_now - log pi_old of each token, within +-`MAX_LOG_RATIO`; differentiable in the first argument.

    Raises:
        ValueError: the shapes differ, which would broadcast without a word.

    Example:
        >>> log_ratio(torch.tensor([-1.0, -1.0]), torch.tensor([-3.0, -99.0]))
        tensor([ 2., 20.])
    """
    if policy_logprobs_N.ndim != 1 or policy_logprobs_N.shape != old_logprobs_N.shape:
        shapes = f"{tuple(policy_logprobs_N.shape)} and {tuple(old_logprobs_N.shape)}"
        raise ValueError(f"log-probabilities must both be [N], got {shapes}")
    return (policy_logprobs_N - old_logprobs_N).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)


def importance_ratio(policy_logprobs_N: Tensor, old_logprobs_N: Tensor) -> Tensor:
    """pi_now / pi_old of each token: [N], differentiable in the first argument."""
    return log_ratio(policy_logprobs_N, old_logprobs_N).exp()


def ratio_metrics(policy_logprobs_N: Tensor, old_logprobs_N: Tensor) -> dict[str, Tensor]:
    """Return each token's part in the weighted means `RATIO_MEAN` and `OLD_KL`: [N] each, detached.

    The KL estimate is k3 of Schulman 2020, "Approximating KL Divergence", http://joschu.net/blog/kl-approx.html, for
    tokens sampled from the old policy: E_old[e^l - 1 - l] = KL(old || now), l the log ratio. It is computed as
    expm1(l) - l: near 0, where it matters, e^l - 1 in float32 loses every digit.
    """
    log_ratio_N = log_ratio(policy_logprobs_N.detach(), old_logprobs_N.detach())
    return {RATIO_MEAN: log_ratio_N.exp(), OLD_KL: torch.expm1(log_ratio_N) - log_ratio_N}
