"""The base of the algorithms with PPO's clipped loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pydantic

from assay.algorithms.algorithm import Algorithm, LossInputs
from assay.losses import clip_metrics, clipped, importance_ratio

if TYPE_CHECKING:
    from torch import Tensor


class Clipping(Algorithm):
    """A clip range, and the clipped loss of each token's ratio. Subclasses give the advantages."""

    clip_low: float = pydantic.Field(default=0.2, gt=0, allow_inf_nan=False)
    """Distance below 1 that a token's ratio may fall before the token is left alone; 1 or more leaves that side
    open."""
    clip_high: float = pydantic.Field(default=0.2, gt=0, allow_inf_nan=False)
    """Distance above 1 that a token's ratio may rise before the token is left alone."""
    dual_clip: float | None = pydantic.Field(default=None, gt=1, allow_inf_nan=False)
    """Ratio above which a token with a negative advantage is left alone too: without it one token that became far
    likelier can set the direction of an update. None for no such bound; 3 is usual."""

    def ratio(self, inputs: LossInputs) -> Tensor:
        """[N] what is clipped; differentiable."""
        return importance_ratio(inputs.policy_logprobs, inputs.old_logprobs)

    def policy_loss(self, inputs: LossInputs) -> tuple[Tensor, dict[str, Tensor]]:
        ratio_N = self.ratio(inputs)
        clip = {"clip_low": self.clip_low, "clip_high": self.clip_high, "dual_clip": self.dual_clip}
        return clipped(ratio_N, inputs.advantages, **clip), clip_metrics(ratio_N, inputs.advantages, **clip)
