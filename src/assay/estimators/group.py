"""Estimators that compare a rollout with its siblings: other attempts at the same task by the same policy.

Shape letters: G members of one group. Only measured members are passed in. Wherever a baseline is taken from the group,
equal rewards give exact zeros: what rounding leaves of r - mean must not be blown up by a division.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.later import torch

if TYPE_CHECKING:
    from torch import Tensor


def no_baseline(rewards_G: Tensor) -> Tensor:
    """The reward itself as the advantage.

    A_i = r_i. Unbiased, and of the highest variance of all.
    Williams 1992, "Simple statistical gradient-following algorithms for connectionist reinforcement learning",
    doi:10.1007/BF00992696, with the reinforcement baseline at 0.

    Args:
        rewards_G: [G] float, reward of each measured member, G >= 1.

    Returns:
        [G] float, same dtype.

    Raises:
        ValueError: no rewards, or one that is not finite.

    Example:
        >>> no_baseline(torch.tensor([1.0, 0.0, 0.5]))
        tensor([1.0000, 0.0000, 0.5000])
    """
    _check(rewards_G, min_size=1)
    return rewards_G.clone()


def group_mean(rewards_G: Tensor) -> Tensor:
    """Advantage of each rollout over the mean of its group, itself included.

    A_i = r_i - mean_j r_j. Equals `leave_one_out` times (G - 1) / G: the direction is unbiased, the length is short by
    that factor, because each reward is subtracted in part from itself.
    Liu et al. 2025, "Understanding R1-Zero-Like Training", https://arxiv.org/abs/2503.20783 (Dr. GRPO).

    Args:
        rewards_G: [G] float, reward of each measured sibling, G >= 2.

    Returns:
        [G] float, same dtype; sums to zero; exact zeros where all rewards are equal.

    Raises:
        ValueError: G < 2, or a reward that is not finite.

    Example:
        >>> group_mean(torch.tensor([1.0, 0.0, 0.0, 0.0]))
        tensor([ 0.7500, -0.2500, -0.2500, -0.2500])
    """
    _check(rewards_G, min_size=2)
    if _all_equal(rewards_G):
        return torch.zeros_like(rewards_G)
    return rewards_G - rewards_G.mean()


def leave_one_out(rewards_G: Tensor) -> Tensor:
    """Advantage of each rollout over the mean of its siblings.

    A_i = r_i - mean_{j != i} r_j = G / (G - 1) (r_i - mean_j r_j). Unbiased: the baseline does not depend on rollout i.
    Ahmadian et al. 2024, "Back to Basics", https://arxiv.org/abs/2402.14740. Differs: no KL in the reward.

    Args:
        rewards_G: [G] float, reward of each measured sibling, G >= 2.

    Returns:
        [G] float, same dtype; sums to zero; exact zeros where all rewards are equal.

    Raises:
        ValueError: G < 2, or a reward that is not finite.

    Example:
        >>> leave_one_out(torch.tensor([1.0, 0.0, 0.0]))
        tensor([ 1.0000, -0.5000, -0.5000])
    """
    num_members = len(rewards_G)
    return group_mean(rewards_G) * (num_members / (num_members - 1))


def standardised(rewards_G: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Advantage over the group's mean in units of the group's standard deviation.

    A_i = (r_i - mean_j r_j) / (std_j r_j + epsilon). Biased: the divisor depends on rollout i, and weights tasks by how
    much their rewards agree. A reward times a constant gives the same advantages.
    Shao et al. 2024, "DeepSeekMath", https://arxiv.org/abs/2402.03300 (GRPO, outcome supervision). The paper does not
    say which standard deviation: this is the sample's (divisor G - 1), as in verl, TRL and OpenRLHF.

    Args:
        rewards_G: [G] float, reward of each measured sibling, G >= 2.
        epsilon: in units of reward; differences of this size or below fade out.

    Returns:
        [G] float, same dtype; sums to zero; exact zeros where all rewards are equal.

    Raises:
        ValueError: G < 2, or a reward that is not finite.

    Example:
        >>> standardised(torch.tensor([1.0, 0.0, 0.0, 0.0]))
        tensor([ 1.5000, -0.5000, -0.5000, -0.5000])
    """
    return group_mean(rewards_G) / (rewards_G.std(correction=1) + epsilon)


def _all_equal(rewards_G: Tensor) -> bool:
    return bool((rewards_G == rewards_G[0]).all())


def _check(rewards_G: Tensor, *, min_size: int) -> None:
    if rewards_G.ndim != 1 or not rewards_G.is_floating_point():
        raise ValueError(f"rewards must be a [G] float tensor, got {rewards_G.dtype} of shape {tuple(rewards_G.shape)}")
    if len(rewards_G) < min_size:
        raise ValueError(f"this estimator needs at least {min_size} measured members, got {len(rewards_G)}")
    if not torch.isfinite(rewards_G).all():
        raise ValueError(f"rewards must be finite, got {rewards_G.tolist()}")
