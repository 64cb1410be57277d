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


def standardised_apart(rewards_KG: Tensor, weights_K: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Advantage of each rollout in several rewards, each standardised in the group by itself before they are summed.

    A_i = sum_k w_k (r_ki - mean_j r_kj) / (std_j r_kj + epsilon), over the rewards that rollout i has; mean and
    standard deviation (divisor the number of values - 1) are of the siblings that have the reward. Summed first and
    standardised then, the reward of the widest spread drowns the others, and unlike outcomes get the same advantage.
    Liu et al. 2026, "GDPO", https://arxiv.org/abs/2601.05242, whose division by the spread of the whole batch is not
    done here.

    Args:
        rewards_KG: [K, G] float, K rewards of each measured sibling, G >= 2; NaN where a sibling lacks one.
        weights_K: [K] float, the weight of each.
        epsilon: in units of each reward; differences of this size or below fade out.

    Returns:
        [G] float, same dtype; a reward that all have alike, or fewer than two have, adds exact zeros.

    Raises:
        ValueError: shapes that do not fit, G < 2, or a reward that is infinite.

    Example:
        >>> standardised_apart(torch.tensor([[1.0, 0.0, 0.0], [9.0, 9.0, 0.0]]), torch.tensor([1.0, 2.0]))
        tensor([ 2.3094,  0.5774, -2.8868])
    """
    if rewards_KG.ndim != 2 or weights_K.shape != rewards_KG.shape[:1]:
        raise ValueError(f"expected [K, G] and [K], got {tuple(rewards_KG.shape)} and {tuple(weights_K.shape)}")
    advantages_G = torch.zeros_like(rewards_KG[0])
    if len(advantages_G) < 2:
        raise ValueError(f"this estimator needs at least 2 measured members, got {len(advantages_G)}")
    for rewards_G, weight in zip(rewards_KG, weights_K, strict=True):
        has_it_G = ~rewards_G.isnan()
        if int(has_it_G.sum()) >= 2:
            advantages_G[has_it_G] += weight * standardised(rewards_G[has_it_G], epsilon)
    return advantages_G


def _all_equal(rewards_G: Tensor) -> bool:
    return bool((rewards_G == rewards_G[0]).all())


def _check(rewards_G: Tensor, *, min_size: int) -> None:
    if rewards_G.ndim != 1 or not rewards_G.is_floating_point():
        raise ValueError(f"rewards must be a [G] float tensor, got {rewards_G.dtype} of shape {tuple(rewards_G.shape)}")
    if len(rewards_G) < min_size:
        raise ValueError(f"this estimator needs at least {min_size} measured members, got {len(rewards_G)}")
    if not torch.isfinite(rewards_G).all():
        raise ValueError(f"rewards must be finite, got {rewards_G.tolist()}")
