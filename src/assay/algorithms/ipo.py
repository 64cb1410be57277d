"""IPO: comparisons without the assumption that a reward explains them. Azar et al. 2023,
https://arxiv.org/abs/2310.12036."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pydantic

from assay.algorithms.preference import Preference, Responses
from assay.losses import ipo_loss

if TYPE_CHECKING:
    from torch import Tensor


class IPO(Preference):
    """Identity preference optimisation: the difference of the two log ratios is drawn to 1 / (2 tau), not beyond."""

    name: Literal["ipo"] = "ipo"
    tau: float = pydantic.Field(default=0.1, gt=0, allow_inf_nan=False)
    """The weight of the reference: the larger, the smaller the difference that is aimed at."""
    length_normalised: bool = False
    """True where each log ratio is divided by its response's tokens, as TRL does; the paper sums."""

    def pair_loss(self, chosen: Responses, rejected: Responses) -> Tensor:
        chosen_P = chosen.ratios(length_normalised=self.length_normalised)
        rejected_P = rejected.ratios(length_normalised=self.length_normalised)
        return ipo_loss(chosen_P, rejected_P, tau=self.tau)

    def implicit_reward(self, responses: Responses) -> Tensor:
        return self.tau * responses.ratios(length_normalised=self.length_normalised)
