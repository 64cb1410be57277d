"""The Preference base: algorithms that learn from which of two responses is better, a pair as their unit.

Shape letters: P pairs, S samples, G members of a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import pydantic

from assay.algorithms.algorithm import Algorithm, LossInputs, LossOutput
from assay.algorithms.needs import Needs
from assay.errors import ContractError
from assay.later import torch
from assay.losses import Normaliser, per_sequence_sum
from assay.observe.metrics import metric
from assay.types import CreditedSample, Group, Sample

if TYPE_CHECKING:
    from torch import Tensor

PAIR_ACCURACY = metric(
    "loss/pair_accuracy",
    "Share of the step's pairs whose chosen response has the higher implicit reward; a tie is half.",
)
PAIR_MARGIN = metric(
    "loss/pair_margin", "Implicit reward of the chosen response minus that of the rejected one: mean over pairs."
)
CHOSEN_LOGPROB = metric(
    "loss/chosen_logprob_nats", "Log-probability of the chosen response, summed over its tokens: mean over pairs."
)
REJECTED_LOGPROB = metric(
    "loss/rejected_logprob_nats", "Log-probability of the rejected response, summed over its tokens: mean over pairs."
)
CHOSEN_RATIO = metric(
    "loss/chosen_log_ratio_nats",
    "Log-probability of the chosen response now minus under the reference, summed over its tokens: mean over pairs.",
)
REJECTED_RATIO = metric(
    "loss/rejected_log_ratio_nats",
    "Log-probability of the rejected response now minus under the reference, summed over its tokens: mean over pairs.",
)

OFFLINE_WITHOUT_EFFECT = ("dynamic_sampling", "overlong", "turn_rewards")
"""Shared options that do nothing where responses are given and not sampled."""


@dataclass(frozen=True, eq=False)
class Responses:
    """One side of the pairs: [P] each."""

    logprobs: Tensor
    """[P] log-probability of the response, summed over its tokens; differentiable."""
    lengths: Tensor
    """[P] its trained-on tokens, as a number of the same dtype."""
    marks: Tensor
    """[P] the credit of its tokens, above 0: 1, unless a subclass says otherwise."""
    reference: Tensor | None
    """[P] the same sum under the reference; None where the algorithm needs none."""

    @property
    def means(self) -> Tensor:
        """[P] log-probability a token."""
        return self.logprobs / self.lengths

    @property
    def log_ratios(self) -> Tensor:
        """[P] log-probability now minus under the reference.

        Raises:
            ContractError: there is no reference.
        """
        if self.reference is None:
            raise ContractError("the loss compares with a reference, and samples came without its log-probabilities")
        return self.logprobs - self.reference

    def ratios(self, *, length_normalised: bool) -> Tensor:
        """[P] log ratios, divided by the number of tokens where that is asked for."""
        return self.log_ratios / self.lengths if length_normalised else self.log_ratios


class Preference(Algorithm):
    """Base of algorithms of pairs. A subclass gives `pair_loss`, and says with `has_reference` whether it needs one.

    Each group gives one pair: its member with the highest reward, chosen, and the one with the lowest, rejected. A
    group whose members all earned the same gives none.
    """

    normaliser: Normaliser = "groups"
    online: bool = False
    """True to compare the best and the worst of a group that the policy samples, by their reward. False for responses
    that the environment's data gives and compares."""

    page: ClassVar[str] = "dpo.md"
    without_effect: ClassVar[tuple[str, ...]] = (
        "normaliser",
        "ratio_against",
        "correction",
        "kl_coefficient",
        "kl_in",
        "entropy_coefficient",
        "off_policy_mask",
        "credit_by",
        "turn_discount",
    )
    has_reference: ClassVar[bool] = True
    """True where the loss compares with the model that training began with."""

    @pydantic.model_validator(mode="after")
    def _check_online(self) -> Self:
        for name in () if self.online else OFFLINE_WITHOUT_EFFECT:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(
                    f"{name} has no effect with responses that are given: leave it out, or set online=true"
                )
        return self

    @property
    def needs(self) -> Needs:
        return Needs(
            pairs=not self.online,
            reference=self.has_reference,
            min_group_size=self.min_group_size,
        )

    @property
    def min_group_size(self) -> int:
        return 2

    def advantages(self, rewards_G: Tensor) -> Tensor:
        """Return 1 for the chosen member, -1 for the rejected one, 0 for all others: which is what, and no weight."""
        signs_G = torch.zeros_like(rewards_G)
        if bool(rewards_G.max() > rewards_G.min()):
            signs_G[rewards_G.argmax()] = 1.0
            signs_G[rewards_G.argmin()] = -1.0
        return signs_G

    def credit(self, groups: Sequence[Group], samples: Sequence[Sample]) -> list[CreditedSample]:
        """Marks the samples of each group's pair: 1 on the tokens of the chosen response, -1 on those of the rejected
        one. All others are left out, and pairs of which one side has nothing to train on."""
        credited = [sample for sample in super().credit(groups, samples) if bool(sample.advantages.any())]
        sides: dict[int, set[bool]] = {}
        for sample in credited:
            sides.setdefault(sample.group_id, set()).add(_is_chosen(sample))
        return [
            sample.replace(unit_id=0)  # pyright: ignore[reportReturnType]
            for sample in credited
            if len(sides[sample.group_id]) == 2
        ]

    def pair_loss(self, chosen: Responses, rejected: Responses) -> Tensor:
        """Return the loss of each pair, [P]."""
        raise NotImplementedError

    def implicit_reward(self, responses: Responses) -> Tensor:
        """Return the reward that the policy stands for, [P]: the response with the higher one is the better."""
        raise NotImplementedError

    def loss(self, inputs: LossInputs) -> LossOutput:
        """The summed loss of the pairs of one micro-batch, and their metrics."""
        chosen, rejected = sides_of(inputs)
        loss_P = self.pair_loss(chosen, rejected)
        margin_P = (self.implicit_reward(chosen) - self.implicit_reward(rejected)).detach()
        metrics_P = {
            PAIR_ACCURACY: (margin_P > 0).to(margin_P.dtype) + 0.5 * (margin_P == 0),
            PAIR_MARGIN: margin_P,
            **self.side_metrics(chosen, rejected),
        }
        return LossOutput(loss_P.sum(), {name: values.detach().sum() for name, values in metrics_P.items()})

    def side_metrics(self, chosen: Responses, rejected: Responses) -> dict[str, Tensor]:
        """Return what is reported of the two sides of each pair, [P] each."""
        metrics_P = {CHOSEN_LOGPROB: chosen.logprobs, REJECTED_LOGPROB: rejected.logprobs}
        if self.has_reference:
            metrics_P |= {CHOSEN_RATIO: chosen.log_ratios, REJECTED_RATIO: rejected.log_ratios}
        return metrics_P


def sides_of(inputs: LossInputs) -> tuple[Responses, Responses]:
    """Return the chosen and the rejected responses of the pairs of one micro-batch, pairs in the order of their units.

    The forks of one response are added up.

    Raises:
        ContractError: a unit without a chosen or without a rejected response.
    """
    if inputs.unit_ids is None:
        raise ContractError("a loss of pairs needs to know which samples are one: give unit_ids")
    advantages_S = per_sequence_sum(inputs.advantages, inputs.sequence_ids, inputs.num_sequences)
    num_units = int(inputs.unit_ids.max()) + 1 if inputs.num_sequences else 0
    found = []
    for side_S in (advantages_S > 0, advantages_S < 0):
        if len(set(inputs.unit_ids[side_S].tolist())) < num_units:
            raise ContractError("a pair has lost a side: both are trained on together, or neither")
        side_N = side_S[inputs.sequence_ids]
        units_N = inputs.unit_ids[inputs.sequence_ids][side_N]

        def summed(values_N: Tensor, side_N: Tensor = side_N, units_N: Tensor = units_N) -> Tensor:
            return per_sequence_sum(values_N[side_N], units_N, num_units)

        reference = inputs.reference_logprobs
        found.append(
            Responses(
                summed(inputs.policy_logprobs),
                summed(torch.ones_like(inputs.policy_logprobs)),
                inputs.advantages.new_zeros(num_units).scatter_reduce(
                    0, units_N, inputs.advantages[side_N].abs(), "amax"
                ),
                None if reference is None else summed(reference),
            )
        )
    return found[0], found[1]


def _is_chosen(sample: CreditedSample) -> bool:
    return bool(sample.advantages.sum() > 0)
