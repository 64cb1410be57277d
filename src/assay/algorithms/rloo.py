"""RLOO (Ahmadian et al. 2024, https://arxiv.org/abs/2402.14740): REINFORCE with the siblings' mean as its baseline."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from assay.algorithms.algorithm import Algorithm, LossInputs
from assay.estimators import leave_one_out
from assay.losses import policy_gradient


class RLOO(Algorithm):
    """Plain policy gradient with the leave-one-out baseline, no clipping."""

    name: Literal["rloo"] = "rloo"

    page: ClassVar[str] = "rloo.md"

    @property
    def min_group_size(self) -> int:
        return 2

    def advantages(self, rewards_G: Tensor) -> Tensor:
        return leave_one_out(rewards_G)

    def policy_loss(self, inputs: LossInputs) -> tuple[Tensor, dict[str, Tensor]]:
        return policy_gradient(inputs.policy_logprobs, inputs.old_logprobs, inputs.advantages), {}
