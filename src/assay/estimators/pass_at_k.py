"""The estimator whose objective is the best of k attempts, not the attempt.

Shape letters: G members of one group.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from assay.estimators.group import leave_one_out
from assay.later import torch

if TYPE_CHECKING:
    from torch import Tensor


def best_of_k(rewards_G: Tensor, k: int) -> Tensor:
    """Advantage of each rollout for the expected best reward of k attempts: pass@k, where rewards are 0 and 1.

    A_i = k times the mean, over all sets of k - 1 siblings, of max(r_i - their largest reward, 0): what rollout i adds
    to a set of k that it is in, k / G being the share of sets that it is in. Unbiased for every G >= k, since what a
    set has without i is a baseline. Walder and Karkhanis 2025, "Pass@K Policy Optimization",
    https://arxiv.org/abs/2505.15201 (the baseline that leaves one out of each set). With k = G it is G times what Tang
    et al. 2025, "Optimizing Language Models for Inference Time Objectives using Reinforcement Learning",
    https://arxiv.org/abs/2503.19595, give: the best less the second best to the best, nothing to the others.

    Args:
        rewards_G: [G] float, reward of each measured sibling, G >= 2 and G >= k.
        k: attempts of which the best counts; 1 is `leave_one_out`.

    Returns:
        [G] float, same dtype; none is negative for k > 1; exact zeros where all rewards are equal.

    Raises:
        ValueError: fewer than k members, fewer than two, or a reward that is not finite.

    Example:
        >>> best_of_k(torch.tensor([1.0, 0.0, 0.0]), k=2)
        tensor([2., 0., 0.])
        >>> best_of_k(torch.tensor([1.0, 1.0, 0.0, 0.0]), k=2)
        tensor([1.3333, 1.3333, 0.0000, 0.0000])
    """
    num_members = len(rewards_G)
    if not 1 <= k <= num_members:
        raise ValueError(f"the best of {k} attempts needs at least as many measured members, got {num_members}")
    alone = leave_one_out(rewards_G)
    if k == 1:
        return alone
    # With the others in rising order, the m-th (from 0) is the largest of comb(m, k - 2) sets of k - 1 of them.
    num_sets = math.comb(num_members - 1, k - 1)
    shares = torch.tensor([math.comb(m, k - 2) / num_sets for m in range(num_members - 1)], dtype=rewards_G.dtype)
    ascending, order = rewards_G.sort()
    advantages = torch.zeros_like(rewards_G)
    for place in range(num_members):
        others = torch.cat((ascending[:place], ascending[place + 1 :]))
        advantages[order[place]] = k * (shares * (ascending[place] - others).clamp(min=0)).sum()
    return advantages
