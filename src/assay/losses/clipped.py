"""The clipped loss of PPO and GRPO, with a bound of its own on either side.

Shape letters: N predicted tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.later import torch
from assay.observe.metrics import metric

if TYPE_CHECKING:
    from torch import Tensor

CLIP_LOW_SHARE = metric(
    "loss/clip_low_share",
    "Share of trained-on tokens with a negative advantage whose ratio fell below 1 - clip_low: already made so much "
    "less likely that this update leaves them alone.",
)
CLIP_HIGH_SHARE = metric(
    "loss/clip_high_share",
    "Share of trained-on tokens with a positive advantage whose ratio rose above 1 + clip_high: already made so much "
    "more likely that this update leaves them alone.",
)


DUAL_CLIP_SHARE = metric(
    "loss/dual_clip_share",
    "Share of trained-on tokens with a negative advantage whose ratio rose above dual_clip: so much likelier than "
    "under the old policy that this update leaves them alone.",
)


def clipped(
    ratio_N: Tensor, advantages_N: Tensor, *, clip_low: float, clip_high: float, dual_clip: float | None = None
) -> Tensor:
    """The pessimistic one of minus ratio times advantage and the same with its ratio held in the clip range.

    loss = -min(ratio A, clip(ratio, 1 - clip_low, 1 + clip_high) A). A token that has already moved out of the range in
    the direction its advantage asks for gets no gradient; one that moved the wrong way keeps all of it.
    Schulman et al. 2017, "Proximal Policy Optimization Algorithms", https://arxiv.org/abs/1707.06347, equation 7, with
    one bound; two bounds as in Yu et al. 2025, "DAPO", https://arxiv.org/abs/2503.14476.

    With a negative advantage the loss has no upper bound: min(loss, -dual_clip A) gives it one (Ye et al. 2020,
    "Mastering Complex Control in MOBA Games with Deep Reinforcement Learning", https://arxiv.org/abs/1912.09729).

    Args:
        ratio_N: [N] float, importance ratio of each token, or of the sequence it stands in; differentiable.
        advantages_N: [N] float; a constant.
        clip_low: how far below 1 the ratio may fall; 1 or more leaves that side open.
        clip_high: how far above 1 the ratio may rise.
        dual_clip: ratio above which a token with a negative advantage gets no gradient, more than 1; None for no bound.

    Returns:
        [N] float, loss of each token, not weighted yet.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> clipped(torch.tensor([2.0, 2.0, 0.5]), torch.tensor([1.0, -1.0, -1.0]), clip_low=0.2, clip_high=0.3)
        tensor([-1.3000,  2.0000,  0.8000])
    """
    if advantages_N.shape != ratio_N.shape:
        raise ValueError(f"advantages must be [{len(ratio_N)}], got {tuple(advantages_N.shape)}")
    loss_N = torch.maximum(-ratio_N * advantages_N, -ratio_N.clamp(1 - clip_low, 1 + clip_high) * advantages_N)
    if dual_clip is None:
        return loss_N
    return torch.where(advantages_N < 0, torch.minimum(loss_N, -dual_clip * advantages_N), loss_N)


def clip_metrics(
    ratio_N: Tensor, advantages_N: Tensor, *, clip_low: float, clip_high: float, dual_clip: float | None = None
) -> dict[str, Tensor]:
    """Return each token's part in the weighted means `CLIP_LOW_SHARE` and `CLIP_HIGH_SHARE`, and with `dual_clip` in
    `DUAL_CLIP_SHARE`: [N] each, 1 where clipped."""
    ratio_N = ratio_N.detach()
    low_N = (ratio_N < 1 - clip_low) & (advantages_N < 0)
    high_N = (ratio_N > 1 + clip_high) & (advantages_N > 0)
    metrics_N = {CLIP_LOW_SHARE: low_N.to(ratio_N.dtype), CLIP_HIGH_SHARE: high_N.to(ratio_N.dtype)}
    if dual_clip is not None:
        metrics_N[DUAL_CLIP_SHARE] = ((ratio_N > dual_clip) & (advantages_N < 0)).to(ratio_N.dtype)
    return metrics_N
