"""The loss of SAPO: a gate that closes gradually as a token's ratio leaves 1, in place of a clip.

Shape letters: N predicted tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.later import torch

if TYPE_CHECKING:
    from torch import Tensor


def soft_gate(
    ratio_N: Tensor, advantages_N: Tensor, *, temperature_positive: float, temperature_negative: float
) -> Tensor:
    """Minus the gate of the ratio times the advantage.

    loss = -(4 / tau) sigmoid(tau (ratio - 1)) A, with tau = temperature_positive where A > 0, else
    temperature_negative. The gate's slope is 1 at a ratio of 1 and falls to 0 on both sides, the faster the larger tau.
    Gao et al. 2025, "Soft Adaptive Policy Optimization", https://arxiv.org/abs/2511.20347.

    Args:
        ratio_N: [N] float, importance ratio of each token; differentiable.
        advantages_N: [N] float; a constant.

    Returns:
        [N] float, loss of each token, not weighted yet.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> soft_gate(torch.tensor([1.0]), torch.tensor([1.0]), temperature_positive=1.0, temperature_negative=1.05)
        tensor([-2.])
    """
    if advantages_N.shape != ratio_N.shape:
        raise ValueError(f"advantages must be [{len(ratio_N)}], got {tuple(advantages_N.shape)}")
    high, low = torch.full_like(ratio_N, temperature_positive), torch.full_like(ratio_N, temperature_negative)
    temperature_N = torch.where(advantages_N > 0, high, low).detach()
    return -(4 / temperature_N) * torch.sigmoid(temperature_N * (ratio_N - 1)) * advantages_N
