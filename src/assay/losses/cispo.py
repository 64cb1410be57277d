"""The loss of CISPO: a policy gradient whose importance weight is cut off, so that no token loses its gradient.

Shape letters: N predicted tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.losses.ratio import importance_ratio
from assay.observe.metrics import metric

if TYPE_CHECKING:
    from torch import Tensor

WEIGHT_CUT_SHARE = metric(
    "loss/weight_cut_share",
    "Share of trained-on tokens whose importance weight was cut off at its bound. They keep their gradient, at the "
    "bound's weight.",
)


def cut_weight(
    policy_logprobs_N: Tensor,
    old_logprobs_N: Tensor,
    advantages_N: Tensor,
    *,
    min_weight: float = 0.0,
    max_weight: float,
) -> Tensor:
    """Minus the log-probability times the advantage, times the importance ratio held constant and within bounds.

    loss = -sg(clip(ratio, min_weight, max_weight)) A log pi_now, sg the stop-gradient. Where the clipped loss of PPO
    drops a token's gradient, this keeps it at the bound's weight.
    MiniMax 2025, "MiniMax-M1", https://arxiv.org/abs/2506.13585: the lower side open in their runs.

    Args:
        policy_logprobs_N: [N] float, log-probability of each token now; differentiable.
        old_logprobs_N: [N] float, what the ratio is taken against; a constant.
        advantages_N: [N] float; a constant.
        min_weight, max_weight: bounds of the ratio itself (1 + epsilon_high in the paper's words), not of its distance
            from 1.

    Returns:
        [N] float, loss of each token, not weighted yet.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> now, old = torch.tensor([0.8, 0.2]).log(), torch.tensor([0.1, 0.4]).log()
        >>> cut_weight(now, old, torch.tensor([1.0, 1.0]), max_weight=5.0)
        tensor([1.1157, 0.8047])
    """
    ratio_N = importance_ratio(policy_logprobs_N.detach(), old_logprobs_N.detach())
    if advantages_N.shape != ratio_N.shape:
        raise ValueError(f"advantages must be [{len(ratio_N)}], got {tuple(advantages_N.shape)}")
    return -ratio_N.clamp(min_weight, max_weight) * advantages_N * policy_logprobs_N


def cut_metrics(
    policy_logprobs_N: Tensor, old_logprobs_N: Tensor, *, min_weight: float, max_weight: float
) -> dict[str, Tensor]:
    """Return each token's part in the weighted mean `WEIGHT_CUT_SHARE`: [N], 1 where cut."""
    ratio_N = importance_ratio(policy_logprobs_N.detach(), old_logprobs_N.detach())
    return {WEIGHT_CUT_SHARE: ((ratio_N < min_weight) | (ratio_N > max_weight)).to(ratio_N.dtype)}
