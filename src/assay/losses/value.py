"""The critic's loss.

Shape letters: N predicted tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.later import torch
from assay.observe.metrics import metric

if TYPE_CHECKING:
    from torch import Tensor

VALUE_LOSS = metric(
    "loss/value", "The critic's loss: half the squared error of its returns, mean over tokens and updates."
)
VALUE_EXPLAINED = metric(
    "loss/value_explained_share",
    "Share of the returns' variance that the critic's values explain, before this step's updates: 1 for a perfect "
    "critic, 0 for one that says the mean everywhere, below 0 for one that misleads.",
)


def value_loss(values_N: Tensor, old_values_N: Tensor, returns_N: Tensor, *, clip: float) -> Tensor:
    """Half the squared error, the worse one of the value now and the value held within `clip` of what it was.

    Schulman et al. 2017, https://arxiv.org/abs/1707.06347, squared-error loss; clipped as in their implementation.

    Args:
        values_N: [N] float, the critic's now; differentiable.
        old_values_N: [N] float, as they were at the start of the step; a constant.
        returns_N: [N] float; a constant.
        clip: largest useful change of a value in one step, in units of reward.

    Returns:
        [N] float, not weighted yet.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> value_loss(torch.tensor([1.0, 0.1]), torch.tensor([0.0, 0.0]), torch.tensor([1.0, 1.0]), clip=0.2)
        tensor([0.3200, 0.4050])
    """
    if not values_N.shape == old_values_N.shape == returns_N.shape:
        raise ValueError(f"expected three times [{len(values_N)}], got {old_values_N.shape} and {returns_N.shape}")
    held_N = old_values_N + (values_N - old_values_N).clamp(-clip, clip)
    return 0.5 * torch.maximum((values_N - returns_N).square(), (held_N - returns_N).square())
