"""DPPO's mask: a trust region in terms of probabilities, not of their ratio.

Shape letters: N predicted tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from assay.later import torch
from assay.losses.ratio import log_ratio
from assay.observe.metrics import metric

if TYPE_CHECKING:
    from torch import Tensor

BinaryDivergence = Literal["tv", "kl"]
"""Divergence between two distributions over "this token" and "any other": total variation, or KL(old || now)."""

MASKED_SHARE = metric(
    "loss/divergence_masked_share",
    "Share of trained-on tokens whose probability had moved beyond the bound in the direction that their advantage "
    "asks for: this update leaves them alone.",
)


def divergence_mask(
    policy_logprobs_N: Tensor,
    old_logprobs_N: Tensor,
    advantages_N: Tensor,
    *,
    divergence: BinaryDivergence,
    max_fall: float,
    max_rise: float,
) -> Tensor:
    """1 for tokens that are kept, 0 for those that have moved too far already, the way their advantage asks for.

    With p = pi_now and q = pi_old of the token, left out are A > 0 with p > q and a divergence above max_rise, and
    A <= 0 with p < q and a divergence above max_fall. The divergence is |p - q| ("tv") or
    q log(q / p) + (1 - q) log((1 - q) / (1 - p)) ("kl"). A ratio bounds rare tokens tightly and common ones hardly:
    from 1e-5 to 1e-3 is a ratio of 100 and a divergence of 0.001; from 0.99 to 0.8 a ratio of 0.81 and one of 0.19.
    Qi et al. 2026, "Rethinking the Trust Region in LLM Reinforcement Learning", https://arxiv.org/abs/2602.04879, the
    binary approximation.

    Args:
        policy_logprobs_N: [N] float, log-probability of each token now.
        old_logprobs_N: [N] float, what the trust region is around; in the paper the sampler's.
        advantages_N: [N] float.
        max_fall: bound for tokens with a negative advantage.
        max_rise: bound for tokens with a positive advantage.

    Returns:
        [N] float, detached.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> now, old = torch.tensor([0.8, 0.001]).log(), torch.tensor([0.5, 0.00001]).log()
        >>> divergence_mask(now, old, torch.ones(2), divergence="tv", max_fall=0.15, max_rise=0.15)
        tensor([0., 1.])
    """
    if not policy_logprobs_N.shape == old_logprobs_N.shape == advantages_N.shape:
        raise ValueError(f"expected three times [{len(policy_logprobs_N)}], got {tuple(old_logprobs_N.shape)}")
    now_N, old_N = policy_logprobs_N.detach().exp(), old_logprobs_N.detach().exp()
    if divergence == "tv":
        moved_N = (now_N - old_N).abs()
    else:
        # The rest of a probability that rounding has made 1 is none; 1e-8 is far below what is compared with.
        rest_now_N, rest_old_N = (1 - now_N).clamp(min=1e-8), (1 - old_N).clamp(min=1e-8)
        moved_N = old_N * log_ratio(old_logprobs_N.detach(), policy_logprobs_N.detach())
        moved_N = moved_N + rest_old_N * (rest_old_N / rest_now_N).log()
    too_high_N = (advantages_N > 0) & (now_N > old_N) & (moved_N > max_rise)
    too_low_N = (advantages_N <= 0) & (now_N < old_N) & (moved_N > max_fall)
    return torch.where(too_high_N | too_low_N, 0.0, 1.0).to(now_N.dtype)
