"""The off-policy sequence mask: what failed and has become another policy's word is left alone.

Shape letters: N predicted tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.losses.ratio import log_ratio
from assay.losses.sequence import per_sequence_mean
from assay.observe.metrics import metric

if TYPE_CHECKING:
    from torch import Tensor

OFF_POLICY_SHARE = metric(
    "loss/off_policy_share",
    "Share of trained-on tokens that the off-policy mask left out: of a negative advantage, in sequences that the "
    "policy has moved away from by more than off_policy_mask since they were sampled.",
)


def off_policy_mask(
    policy_logprobs_N: Tensor,
    sampling_logprobs_N: Tensor,
    advantages_N: Tensor,
    sequence_ids_N: Tensor,
    num_sequences: int,
    *,
    threshold: float,
) -> Tensor:
    """1 for tokens that are kept, 0 for those of a negative advantage in a sequence far from the policy.

    M = 0 where A < 0 and (1 / |y|) sum_t log(pi_sampler / pi_now) > threshold, else 1: the mean is the k1 estimate of
    KL(sampler || now) a token. A failure that the policy would hardly write any more says little about it, and pushing
    away from it has no bound. DeepSeek-AI 2025, "DeepSeek-V3.2", https://arxiv.org/abs/2512.02556, equation 9, where
    the sampler's probabilities are those that the engine returned.

    Args:
        policy_logprobs_N: [N] float, log-probability of each token now.
        sampling_logprobs_N: [N] float, the engine's, as sampled.
        advantages_N: [N] float.
        sequence_ids_N: [N] int64, which sequence each token belongs to; a sequence must be whole.
        threshold: nats a token.

    Returns:
        [N] float, detached.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> now, sampled = torch.tensor([0.1, 0.4, 0.5]).log(), torch.tensor([0.4, 0.4, 0.5]).log()
        >>> off_policy_mask(now, sampled, torch.tensor([-1.0, -1.0, -1.0]), torch.tensor([0, 0, 1]), 2, threshold=0.5)
        tensor([0., 0., 1.])
    """
    if advantages_N.shape != policy_logprobs_N.shape:
        raise ValueError(f"advantages must be [{len(policy_logprobs_N)}], got {tuple(advantages_N.shape)}")
    distance_N = log_ratio(sampling_logprobs_N.detach(), policy_logprobs_N.detach())
    distance_S = per_sequence_mean(distance_N, sequence_ids_N, num_sequences)
    left_out_N = (advantages_N < 0) & (distance_S[sequence_ids_N] > threshold)
    return (~left_out_N).to(distance_N.dtype)
