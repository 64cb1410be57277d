"""The KL penalty toward a reference policy: in the loss, or in the reward.

Which estimator of KL(pi_now || pi_reference) has the right value, and which the right gradient, are two questions. As a
differentiable loss on fresh samples k1 has no gradient at all, k3 that of the other divergence, and k2 the right one;
k3 times the ratio that is *not* held constant has the right one on any samples, fresh ones included, where its gradient
is k2's, token by token. Tang and Munos 2025, https://arxiv.org/abs/2506.09477; the product is DeepSeek-V3.2's (2025,
https://arxiv.org/abs/2512.02556). Shape letters: N predicted tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.later import torch
from assay.losses.ratio import importance_ratio, log_ratio
from assay.observe.metrics import metric

if TYPE_CHECKING:
    from torch import Tensor

REFERENCE_KL = metric(
    "loss/reference_kl_nats",
    "Estimated KL divergence from the reference policy, KL(now || reference), nats a token (k3, never negative). How "
    "far training has moved the policy from where it began.",
)


def k1(policy_logprobs_N: Tensor, reference_logprobs_N: Tensor) -> Tensor:
    """log pi_now - log pi_reference of each token: unbiased, of either sign. For the reward.

    Raises:
        ValueError: the shapes differ.
    """
    return log_ratio(policy_logprobs_N, reference_logprobs_N)


def k3(policy_logprobs_N: Tensor, reference_logprobs_N: Tensor) -> Tensor:
    """exp(-l) - 1 + l, l = log pi_now - log pi_reference: unbiased on tokens that pi_now sampled, never negative.

    Schulman 2020, "Approximating KL Divergence", http://joschu.net/blog/kl-approx.html. Worked out as expm1(-l) + l,
    and below 0.001 by its series: in float32 the sum of two numbers that cancel loses every digit there.

    Example:
        >>> k3(torch.tensor([0.5]).log(), torch.tensor([0.25]).log())
        tensor([0.1931])
    """
    log_ratio_N = log_ratio(policy_logprobs_N, reference_logprobs_N)
    series_N = log_ratio_N.square() / 2 * (1 - log_ratio_N / 3 * (1 - log_ratio_N / 4))
    return torch.where(log_ratio_N.abs() < 1e-3, series_N, torch.expm1(-log_ratio_N) + log_ratio_N)


def kl_penalty(policy_logprobs_N: Tensor, old_logprobs_N: Tensor, reference_logprobs_N: Tensor) -> Tensor:
    """KL(pi_now || pi_reference) of each token, as a term of the loss.

    k3 times the importance ratio, both differentiable. On tokens sampled from the old policy its expectation is the
    divergence and its expected gradient the divergence's; where old is now, it is k2's gradient,
    (log pi_now - log pi_reference) grad log pi_now, token by token. Like every token-level penalty it leaves out what a
    token does to the states after it.

    Args:
        policy_logprobs_N: [N] float, log-probability of each token now; differentiable.
        old_logprobs_N: [N] float, of the policy that sampled, or stands for it; a constant.
        reference_logprobs_N: [N] float; a constant.

    Returns:
        [N] float, nats; not weighted yet.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> now = torch.tensor([0.5]).log()
        >>> kl_penalty(now, torch.tensor([0.25]).log(), torch.tensor([0.25]).log())
        tensor([0.3863])
    """
    ratio_N = importance_ratio(policy_logprobs_N, old_logprobs_N.detach())
    return ratio_N * k3(policy_logprobs_N, reference_logprobs_N.detach())


def kl_metrics(policy_logprobs_N: Tensor, reference_logprobs_N: Tensor) -> dict[str, Tensor]:
    """Return each token's part in the weighted mean `REFERENCE_KL`: [N], detached."""
    return {REFERENCE_KL: k3(policy_logprobs_N.detach(), reference_logprobs_N.detach())}
