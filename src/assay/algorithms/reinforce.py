"""REINFORCE (Williams 1992): the reward, or what it exceeds its group's mean by, times the gradient of log pi."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from assay.algorithms.algorithm import Algorithm, LossInputs
from assay.estimators import group_mean, no_baseline
from assay.losses import policy_gradient

if TYPE_CHECKING:
    from torch import Tensor


class Reinforce(Algorithm):
    """Plain policy gradient, no clipping."""

    name: Literal["reinforce"] = "reinforce"
    baseline: Literal["none", "group_mean"] = "none"
    """Baseline subtracted from the reward; "group_mean" needs groups of two and scales the gradient by (G - 1) / G."""

    page: ClassVar[str] = "reinforce.md"

    @property
    def min_group_size(self) -> int:
        return 1 if self.baseline == "none" else 2

    def advantages(self, rewards_G: Tensor) -> Tensor:
        return no_baseline(rewards_G) if self.baseline == "none" else group_mean(rewards_G)

    def policy_loss(self, inputs: LossInputs) -> tuple[Tensor, dict[str, Tensor]]:
        return policy_gradient(inputs.policy_logprobs, inputs.old_logprobs, inputs.advantages), {}
