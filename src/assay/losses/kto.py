"""The loss of Kahneman-Tversky optimisation: single responses, each labelled desirable or not.

Shape letters: U units, each one response.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.later import torch

if TYPE_CHECKING:
    from torch import Tensor


def kto_loss(
    log_ratios_U: Tensor,
    is_desirable_U: Tensor,
    reference_point: Tensor | float,
    *,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """Return the loss of each response: how far its value is below the best that it could be.

    L = w_d (1 - sigmoid(beta (h - z0))) where desirable, w_u (1 - sigmoid(beta (z0 - h))) where not; h is the log ratio
    of the response to the reference, summed over its tokens, and z0 the reference point, a constant.
    Ethayarajh et al. 2024, "KTO", https://arxiv.org/abs/2402.01306.

    Args:
        log_ratios_U: [U] float; differentiable.
        is_desirable_U: [U] bool.
        reference_point: z0, from `reference_point`; no gradient passes through it.
        beta: weight of the reference, above 0.
        desirable_weight, undesirable_weight: at least 0. The paper: w_d n_d / (w_u n_u) from 1 to 1.5, with n_d and n_u
            the numbers of examples of each kind.

    Returns:
        [U] float, each between 0 and its weight.

    Raises:
        ValueError: the shapes differ, or an option is out of its range.

    Example:
        >>> kto_loss(torch.tensor([0.0, 0.0]), torch.tensor([True, False]), 0.0, beta=0.1, undesirable_weight=2.0)
        tensor([0.5000, 1.0000])
    """
    if log_ratios_U.shape != is_desirable_U.shape or log_ratios_U.dim() != 1:
        raise ValueError(
            f"log ratios and labels must be [U] alike, got {tuple(log_ratios_U.shape)} and "
            f"{tuple(is_desirable_U.shape)}"
        )
    if not beta > 0 or min(desirable_weight, undesirable_weight) < 0:
        raise ValueError(
            f"beta must be above 0 and weights at least 0, got {beta}, {desirable_weight} and {undesirable_weight}"
        )
    point = torch.as_tensor(reference_point, dtype=log_ratios_U.dtype, device=log_ratios_U.device).detach()
    above_U = beta * (log_ratios_U - point)
    return torch.where(
        is_desirable_U, desirable_weight * torch.sigmoid(-above_U), undesirable_weight * torch.sigmoid(above_U)
    )


def reference_point(mismatched_U: Tensor) -> Tensor:
    """Return z0, the estimate of KL(now || reference) that responses are compared with.

    z0 = max(0, mean over mismatched pairs of log pi_now(y' | x) - log pi_reference(y' | x)), y' a response to another
    prompt of the same batch. Ethayarajh et al. 2024, https://arxiv.org/abs/2402.01306: biased, and cheap. Not
    differentiated.

    Args:
        mismatched_U: [U] float, log ratio of each response after another response's prompt, summed over its tokens.

    Returns:
        A scalar, detached.

    Raises:
        ValueError: there is none.

    Example:
        >>> reference_point(torch.tensor([3.0, -1.0])), reference_point(torch.tensor([-1.0]))
        (tensor(1.), tensor(0.))
    """
    if not len(mismatched_U):
        raise ValueError("the reference point needs a response after another one's prompt: give two prompts a step")
    return mismatched_U.detach().mean().clamp(min=0)
