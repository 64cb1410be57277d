"""The Algorithm base: two small functions and a statement of what they need. Algorithms hold no state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from assay.config import Settings
from assay.types import CreditedSample, Group, Sample

if TYPE_CHECKING:
    from torch import Tensor

Normaliser = Literal["tokens", "sequences", "episodes", "constant"]
"""What the summed loss is divided by, counted over the whole minibatch (all micro-batches, all ranks):
tokens: trained-on tokens. sequences: samples, each token weighted 1 / its sample's length.
episodes: rollouts, each token weighted 1 / the tokens of its sample, forks sharing their episode's weight.
constant: samples times a fixed length."""


@dataclass(frozen=True)
class Needs:
    """What the trainer must annotate samples with before credit."""

    proximal: bool = False
    """The trainer's own log-probabilities at the start of the update."""
    min_group_size: int = 1
    """Measured members a group must have to give credit; groups with fewer are dropped and replaced."""


@dataclass(frozen=True, eq=False)
class LossInputs:
    """What a loss may look at: one entry a predicted token, [N], in packed order."""

    policy_logprobs: Tensor
    """[N] now; differentiable."""
    old_logprobs: Tensor
    """[N] what the ratio is taken against: the trainer's at the start of the update, or the sampler's."""
    advantages: Tensor
    """[N]"""
    weights: Tensor
    """[N] share of each token in the sum, as the normaliser says; multiply and add up, never average."""
    entropy: Tensor
    """[N] nats, detached."""
    sequence_ids: Tensor
    """[N] which sample each token belongs to."""
    num_sequences: int


@dataclass(frozen=True, eq=False)
class LossOutput:
    """A weighted sum, and sums to report; the trainer divides both by the global count."""

    loss_sum: Tensor
    """scalar, differentiable"""
    metric_sums: dict[str, Tensor]
    """Each a detached scalar: sum over tokens of weight times the quantity. Names are `loss/...`."""


class Algorithm(Settings):
    """Credit and loss. Subclasses are frozen settings whose defaults are the published ones, except KL 0."""

    normaliser: Normaliser = "tokens"
    normaliser_constant: float | None = None
    """Tokens a sample, for the normaliser "constant" only."""

    page: ClassVar[str] = ""
    """Its page under docs/algorithms/."""

    @property
    def needs(self) -> Needs:
        return Needs()

    def credit(self, groups: Sequence[Group], samples: Sequence[Sample]) -> list[CreditedSample]:
        """Advantages for every trained-on token, from the measured members of each group only."""
        raise NotImplementedError

    def loss(self, inputs: LossInputs) -> LossOutput:
        """The summed loss of one micro-batch."""
        raise NotImplementedError

    def keep(self, group: Group) -> bool:
        """Whether a complete group is worth training on (dynamic sampling). Applied in issue order; drops are counted."""
        return True
