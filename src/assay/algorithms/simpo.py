"""SimPO: mean log-probabilities in place of log ratios, and a margin. Meng et al. 2024,
https://arxiv.org/abs/2405.14734."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import pydantic

from assay.algorithms.preference import Preference, Responses
from assay.losses import simpo_loss

if TYPE_CHECKING:
    from torch import Tensor


class SimPO(Preference):
    """Simple preference optimisation: no reference; the mean log-probability of a response's tokens is its reward."""

    name: Literal["simpo"] = "simpo"
    beta: float = pydantic.Field(default=2.0, gt=0, allow_inf_nan=False)
    """The scale of the difference of the two means."""
    gamma: float = pydantic.Field(default=1.0, ge=0, allow_inf_nan=False)
    """The margin that the scaled difference is to reach."""

    has_reference: ClassVar[bool] = False

    def pair_loss(self, chosen: Responses, rejected: Responses) -> Tensor:
        return simpo_loss(chosen.means, rejected.means, beta=self.beta, gamma=self.gamma)

    def implicit_reward(self, responses: Responses) -> Tensor:
        return self.beta * responses.means
