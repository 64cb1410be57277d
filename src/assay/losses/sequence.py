"""Ratios of whole sequences, one entry a token.

Shape letters: N predicted tokens, S sequences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.later import torch
from assay.losses.ratio import log_ratio

if TYPE_CHECKING:
    from torch import Tensor


def per_sequence_sum(values_N: Tensor, sequence_ids_N: Tensor, num_sequences: int) -> Tensor:
    """Sum over the tokens of each sequence: [S], 0 for one without tokens; differentiable.

    Example:
        >>> per_sequence_sum(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 2]), 3)
        tensor([3., 0., 4.])
    """
    return values_N.new_zeros(num_sequences).index_add(0, sequence_ids_N, values_N)


def per_sequence_mean(values_N: Tensor, sequence_ids_N: Tensor, num_sequences: int) -> Tensor:
    """Mean over the tokens of each sequence: [S], 0 for one without tokens; differentiable."""
    lengths_S = torch.bincount(sequence_ids_N, minlength=num_sequences).clamp(min=1)
    return per_sequence_sum(values_N, sequence_ids_N, num_sequences) / lengths_S


def sequence_ratio(
    policy_logprobs_N: Tensor, old_logprobs_N: Tensor, sequence_ids_N: Tensor, num_sequences: int
) -> Tensor:
    """Length-normalised importance ratio of the sequence that each token stands in.

    s_i = (pi_now(y_i) / pi_old(y_i)) ^ (1 / |y_i|): the geometric mean of its tokens' ratios, the same on all of them.
    Not an unbiased importance weight (that is the product), but of one scale for all lengths.
    Zheng et al. 2025, "Group Sequence Policy Optimization", https://arxiv.org/abs/2507.18071.

    Args:
        policy_logprobs_N: [N] float, log-probability of each token now; differentiable.
        old_logprobs_N: [N] float, what the ratio is taken against; a constant.
        sequence_ids_N: [N] int64, which sequence each token belongs to; a sequence must be whole.
        num_sequences: S.

    Returns:
        [N] float, differentiable; each token's log ratio enters within the bound of `log_ratio`.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> now, old = torch.tensor([0.8, 0.2, 0.5]).log(), torch.tensor([0.2, 0.2, 0.5]).log()
        >>> sequence_ratio(now, old, torch.tensor([0, 0, 1]), 2)
        tensor([2., 2., 1.])
    """
    mean_S = per_sequence_mean(log_ratio(policy_logprobs_N, old_logprobs_N.detach()), sequence_ids_N, num_sequences)
    return mean_S.exp()[sequence_ids_N]


def product_ratio(
    policy_logprobs_N: Tensor, old_logprobs_N: Tensor, sequence_ids_N: Tensor, num_sequences: int
) -> Tensor:
    """Importance ratio of the whole sequence that each token stands in.

    pi_now(y_i) / pi_old(y_i): the product of its tokens' ratios, the same on all of them. The only one that is an
    importance weight of the response, and of a variance that grows with its length: a ratio of 1.1 a token is 2.6
    after 10 tokens and 13,780 after 100.

    Args:
        policy_logprobs_N: [N] float, log-probability of each token now; differentiable.
        old_logprobs_N: [N] float, what the ratio is taken against; a constant.
        sequence_ids_N: [N] int64, which sequence each token belongs to; a sequence must be whole.
        num_sequences: S.

    Returns:
        [N] float, differentiable; the log of the product is held within the bound of `log_ratio`.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> now, old = torch.tensor([0.8, 0.2, 0.5]).log(), torch.tensor([0.2, 0.4, 0.5]).log()
        >>> product_ratio(now, old, torch.tensor([0, 0, 1]), 2)
        tensor([2.0000, 2.0000, 1.0000])
    """
    sum_S = per_sequence_sum(log_ratio(policy_logprobs_N, old_logprobs_N.detach()), sequence_ids_N, num_sequences)
    # Bounded once more: a product over a long sequence overflows where none of its factors does.
    return log_ratio(sum_S, torch.zeros_like(sum_S)).exp()[sequence_ids_N]
