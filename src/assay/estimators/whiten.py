"""Estimators over a whole batch of rollouts, of several groups.

Shape letters: B measured rollouts of a batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.later import torch

if TYPE_CHECKING:
    from torch import Tensor


def whitened(advantages_B: Tensor, num_tokens_B: Tensor, epsilon: float = 1e-8) -> Tensor:
    """Advantages over their mean in the batch, in units of their standard deviation, both taken over tokens.

    A_i = (a_i - mean) / sqrt(variance + epsilon), where every trained-on token of rollout i is one observation of a_i:
    long responses weigh more in the mean and the variance. The variance has the divisor (tokens - 1).
    Hu 2025, "REINFORCE++", https://arxiv.org/abs/2501.03262: without discount and KL every token's return is
    the rollout's reward. All tasks of the batch are compared with one mean: a hard task's typical attempt gets less
    than 0.

    Args:
        advantages_B: [B] float, what each rollout earned, or earned beyond its group's mean.
        num_tokens_B: [B] int64, trained-on tokens of each rollout, 0 allowed.
        epsilon: added to the variance.

    Returns:
        [B] float, same dtype; exact zeros where all are equal.

    Raises:
        ValueError: the shapes differ, a number that is not finite, or no token at all.

    Example:
        >>> whitened(torch.tensor([1.0, 0.0]), torch.tensor([1, 3]))
        tensor([ 1.5000, -0.5000])
    """
    if advantages_B.shape != num_tokens_B.shape or advantages_B.ndim != 1:
        raise ValueError(f"expected [B] and [B], got {tuple(advantages_B.shape)} and {tuple(num_tokens_B.shape)}")
    if not torch.isfinite(advantages_B).all():
        raise ValueError(f"advantages must be finite, got {advantages_B.tolist()}")
    counts_B = num_tokens_B.to(advantages_B.dtype)
    total = counts_B.sum()
    if not total > 0:
        raise ValueError("a batch without tokens has no mean")
    if bool((advantages_B == advantages_B[0]).all()):
        return torch.zeros_like(advantages_B)
    mean = (counts_B * advantages_B).sum() / total
    variance = (counts_B * (advantages_B - mean).square()).sum() / (total - 1).clamp(min=1)
    return (advantages_B - mean) / (variance + epsilon).sqrt()
