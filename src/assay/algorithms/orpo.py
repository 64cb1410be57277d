"""ORPO: the likelihood of the chosen response and an odds ratio, in one loss. Hong et al. 2024,
https://arxiv.org/abs/2403.07691."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import pydantic

from assay.algorithms.preference import Preference, Responses
from assay.losses import odds_ratio_loss

if TYPE_CHECKING:
    from torch import Tensor


class ORPO(Preference):
    """Odds-ratio preference optimisation: supervised fine-tuning on what was chosen, and away from what was rejected;
    no reference."""

    name: Literal["orpo"] = "orpo"
    odds_coefficient: float = pydantic.Field(default=0.1, gt=0, allow_inf_nan=False)
    """The weight of the odds ratio beside the likelihood (the paper's lambda)."""

    has_reference: ClassVar[bool] = False

    def pair_loss(self, chosen: Responses, rejected: Responses) -> Tensor:
        odds_P = odds_ratio_loss(chosen.means, rejected.means)
        return -chosen.means + self.odds_coefficient * odds_P

    def implicit_reward(self, responses: Responses) -> Tensor:
        return self.odds_coefficient * responses.means
