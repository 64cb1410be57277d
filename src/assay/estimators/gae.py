"""Generalised advantage estimation: credit token by token, from a critic.

Shape letters: N trained-on tokens of one sequence, in order; what stands between them (prompts, an environment's words)
is left out, so that the recursion goes from one sampled token to the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.later import torch

if TYPE_CHECKING:
    from torch import Tensor


def gae(rewards_N: Tensor, values_N: Tensor, *, discount: float, decay: float) -> tuple[Tensor, Tensor]:
    """Advantages and returns of one finished sequence.

    delta_t = r_t + discount V_{t+1} - V_t, A_t = sum_l (discount decay)^l delta_{t+l}, return_t = A_t + V_t, and V = 0
    after the last token. decay (lambda) = 1 is the return minus the value, without bias from the critic; 0 is one step.
    Schulman et al. 2016, "High-Dimensional Continuous Control Using Generalized Advantage Estimation",
    https://arxiv.org/abs/1506.02438.

    Args:
        rewards_N: [N] float, what each token earned; for a verified answer 0 but for the last.
        values_N: [N] float, the critic's value of the state before each token.
        discount: gamma, from 0 to 1.
        decay: lambda, from 0 to 1.

    Returns:
        advantages [N] and returns [N], of the dtype of `rewards_N`.

    Raises:
        ValueError: the shapes differ, or a factor is out of range.

    Example:
        >>> gae(torch.tensor([0.0, 1.0]), torch.tensor([0.5, 0.75]), discount=1.0, decay=0.5)
        (tensor([0.3750, 0.2500]), tensor([0.8750, 1.0000]))
    """
    if rewards_N.shape != values_N.shape or rewards_N.ndim != 1:
        raise ValueError(f"expected [N] and [N], got {tuple(rewards_N.shape)} and {tuple(values_N.shape)}")
    if not (0.0 <= discount <= 1.0 and 0.0 <= decay <= 1.0):
        raise ValueError(f"discount and decay must be from 0 to 1, got {discount} and {decay}")
    # Python numbers: a recursion over tensors of one element takes fifty times as long.
    advantages: list[float] = []
    following_advantage = following_value = 0.0
    for reward, value in zip(reversed(rewards_N.tolist()), reversed(values_N.tolist()), strict=True):
        delta = reward + discount * following_value - value
        following_advantage = delta + discount * decay * following_advantage
        following_value = value
        advantages.append(following_advantage)
    advantages_N = torch.tensor(advantages[::-1], dtype=rewards_N.dtype)
    return advantages_N, advantages_N + values_N
