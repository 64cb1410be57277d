"""DPO: a policy fitted to comparisons without a reward model. Rafailov et al. 2023, https://arxiv.org/abs/2305.18290."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

import pydantic

from assay.algorithms.preference import Preference, Responses
from assay.losses import dpo_loss

if TYPE_CHECKING:
    from torch import Tensor


class DPO(Preference):
    """Direct preference optimisation: the log ratio of a response to the reference, times beta, is its implicit reward,
    and comparisons are explained by it. With `label_smoothing` cDPO or robust DPO."""

    name: Literal["dpo"] = "dpo"
    beta: float = pydantic.Field(default=0.1, gt=0, allow_inf_nan=False)
    """The weight of the reference: the larger, the closer the policy stays to it."""
    label_smoothing: float = pydantic.Field(default=0.0, ge=0, lt=0.5)
    """The share of comparisons that may be the wrong way round: cDPO where it is above 0."""
    unbiased: bool = False
    """True for robust DPO, whose expectation over wrong labels is the loss of the right ones, in place of cDPO."""
    length_normalised: bool = False
    """True where each log ratio is divided by its response's tokens; beta is then larger (Tulu 3: 5)."""
    likelihood_coefficient: float = pydantic.Field(default=0.0, ge=0, allow_inf_nan=False)
    """The weight of the chosen response's negative log-likelihood a token, which keeps it from falling with the
    rejected one's."""

    @pydantic.model_validator(mode="after")
    def _check_unbiased(self) -> Self:
        if self.unbiased and not self.label_smoothing:
            raise ValueError(
                "unbiased has no effect with label_smoothing 0: set the share of wrong labels, or leave it"
            )
        return self

    def pair_loss(self, chosen: Responses, rejected: Responses) -> Tensor:
        chosen_P = chosen.ratios(length_normalised=self.length_normalised)
        rejected_P = rejected.ratios(length_normalised=self.length_normalised)
        loss_P = dpo_loss(
            chosen_P, rejected_P, beta=self.beta, label_smoothing=self.label_smoothing, unbiased=self.unbiased
        )
        if self.likelihood_coefficient:
            loss_P = loss_P - self.likelihood_coefficient * chosen.means
        return loss_P

    def implicit_reward(self, responses: Responses) -> Tensor:
        return self.beta * responses.ratios(length_normalised=self.length_normalised)
