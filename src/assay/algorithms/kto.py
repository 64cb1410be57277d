"""KTO: single responses, each good or bad, valued against a reference point. Ethayarajh et al. 2024,
https://arxiv.org/abs/2402.01306.

Shape letters: U units (responses), G members of a group.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import pydantic

from assay.algorithms.algorithm import Algorithm, LossInputs, LossOutput
from assay.algorithms.needs import Needs
from assay.algorithms.preference import Preference, Responses
from assay.errors import ContractError
from assay.later import torch
from assay.losses import Normaliser, kto_loss, per_sequence_sum
from assay.observe.metrics import metric
from assay.types import CreditedSample, Group, Sample

if TYPE_CHECKING:
    from torch import Tensor

REFERENCE_POINT = metric(
    "loss/reference_point_nats",
    "KTO's reference point z0: KL(now || reference) as estimated on responses after other prompts, never below 0.",
)
DESIRABLE_SHARE = metric("loss/desirable_share", "Share of the step's responses that are labelled desirable.")
DESIRABLE_RATIO = metric(
    "loss/desirable_log_ratio_nats",
    "Log-probability of a desirable response now minus under the reference, summed over its tokens, 0 for others: mean "
    "over all responses. Divided by loss/desirable_share it is the mean over desirable ones.",
)
UNDESIRABLE_RATIO = metric(
    "loss/undesirable_log_ratio_nats",
    "The same of undesirable responses. Divided by 1 - loss/desirable_share it is the mean over undesirable ones.",
)


class KTO(Preference):
    """Kahneman-Tversky optimisation: every response with a reward above 0 is desirable, every other undesirable, and
    the unit is one response. The two of a pair are two units."""

    name: Literal["kto"] = "kto"
    normaliser: Normaliser = "episodes"
    beta: float = pydantic.Field(default=0.1, gt=0, allow_inf_nan=False)
    """The weight of the reference: the larger, the closer the policy stays to it."""
    desirable_weight: float = pydantic.Field(default=1.0, ge=0, allow_inf_nan=False)
    """The weight of desirable responses; with n of each kind, 1 to 1.5 times n_undesirable / n_desirable balances."""
    undesirable_weight: float = pydantic.Field(default=1.0, ge=0, allow_inf_nan=False)
    """The weight of undesirable responses."""

    page: ClassVar[str] = "kto.md"

    @property
    def needs(self) -> Needs:
        return dataclasses.replace(super().needs, reference_point=True)

    @property
    def min_group_size(self) -> int:
        return 1

    def advantages(self, rewards_G: Tensor) -> Tensor:
        """Return 1 for a desirable member, -1 for an undesirable one: which is what, and no weight."""
        return torch.where(rewards_G > 0, 1.0, -1.0)

    def credit(self, groups: Sequence[Group], samples: Sequence[Sample]) -> list[CreditedSample]:
        """Marks every sample: 1 on the tokens of a desirable response, -1 on those of an undesirable one."""
        credited = Algorithm.credit(self, groups, samples)
        # The forks of one response are one unit.
        return [sample.replace(unit_id=sample.member) for sample in credited]  # pyright: ignore[reportReturnType]

    def implicit_reward(self, responses: Responses) -> Tensor:
        return self.beta * responses.log_ratios

    def loss(self, inputs: LossInputs) -> LossOutput:
        """The summed loss of the responses of one micro-batch, and their metrics."""
        if inputs.unit_ids is None or inputs.reference_logprobs is None or inputs.reference_points is None:
            raise ContractError("KTO needs units, the reference's log-probabilities and a reference point")
        num_units = int(inputs.unit_ids.max()) + 1
        units_N = inputs.unit_ids[inputs.sequence_ids]
        ratios_U = per_sequence_sum(inputs.policy_logprobs - inputs.reference_logprobs, units_N, num_units)
        is_desirable_U = per_sequence_sum(inputs.advantages, units_N, num_units) > 0
        # The same for all samples of a step.
        point = inputs.reference_points[0]
        loss_U = kto_loss(
            ratios_U,
            is_desirable_U,
            point,
            beta=self.beta,
            desirable_weight=self.desirable_weight,
            undesirable_weight=self.undesirable_weight,
        )
        metrics_U = {
            REFERENCE_POINT: point.expand(num_units),
            DESIRABLE_SHARE: is_desirable_U.to(ratios_U.dtype),
            DESIRABLE_RATIO: ratios_U * is_desirable_U,
            UNDESIRABLE_RATIO: ratios_U * ~is_desirable_U,
        }
        return LossOutput(loss_U.sum(), {name: values.detach().sum() for name, values in metrics_U.items()})
