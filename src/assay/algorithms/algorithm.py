"""The Algorithm base: two small functions and a statement of what they need. Algorithms hold no state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self

import pydantic
import torch
from torch import Tensor

from assay.config import Settings
from assay.errors import ContractError, DataError
from assay.losses import Normaliser, ratio_metrics
from assay.losses.ratio import RATIO_MAX, RATIO_MEAN
from assay.types import CreditedSample, Group, Sample

RatioAgainst = Literal["proximal", "sampling"]
"""What the importance ratio is taken against.
proximal: the trainer's own log-probabilities at the start of the update. sampling: the engine's, as sampled; the ratio
then also corrects for stale weights and for what engine and trainer compute differently."""


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
    """Weighted sums over one micro-batch; the trainer adds them up over the minibatch before it divides."""

    loss_sum: Tensor
    """scalar, differentiable; to be divided by the minibatch's normalising count."""
    metric_sums: dict[str, Tensor]
    """Each a detached scalar: sum over tokens of weight times the quantity. To be divided by the minibatch's sum of
    weights, which makes it a weighted mean; that sum is the normalising count, except under "constant". Names are
    `loss/...`."""
    metric_maxima: dict[str, Tensor] = field(default_factory=dict)
    """Each a detached scalar: the largest over the tokens; the largest over the minibatch is what is reported."""

    @classmethod
    def of(cls, inputs: LossInputs, loss_N: Tensor, metrics_N: Mapping[str, Tensor] | None = None) -> LossOutput:
        """Sums a loss of each token, and the metrics of each token beside those that every ratio has."""
        ratios_N = ratio_metrics(inputs.policy_logprobs, inputs.old_logprobs)
        values_N = {**ratios_N, **(metrics_N or {})}
        largest = ratios_N[RATIO_MEAN].amax() if len(loss_N) else loss_N.detach().sum()
        return cls(
            loss_sum=(inputs.weights * loss_N).sum(),
            metric_sums={name: (inputs.weights * value_N).sum().detach() for name, value_N in values_N.items()},
            metric_maxima={RATIO_MAX: largest},
        )


class Algorithm(Settings):
    """Credit and loss. Subclasses are frozen settings whose defaults are the published ones, except KL 0.

    A subclass gives `advantages` and `loss`, and a `name: Literal["..."]` by which recipes choose it.
    """

    normaliser: Normaliser = "tokens"
    """What the summed loss is divided by, counted over the whole minibatch."""
    normaliser_constant: float | None = pydantic.Field(default=None, gt=0, allow_inf_nan=False)
    """Tokens a sample, for the normaliser "constant" only; set once, never taken from a batch."""
    ratio_against: RatioAgainst = "proximal"
    """What the importance ratio is taken against; "sampling" where samples may be stale."""

    page: ClassVar[str] = ""
    """Its page under docs/algorithms/."""
    gradient_is_credit: ClassVar[bool] = True
    """Whether the loss has no gradient where all advantages are 0. False for a loss with another term, such as KL."""

    @pydantic.model_validator(mode="after")
    def _check_normaliser_constant(self) -> Self:
        if self.normaliser == "constant" and self.normaliser_constant is None:
            raise ValueError('normaliser "constant" needs normaliser_constant: set it to the response token limit')
        if self.normaliser != "constant" and self.normaliser_constant is not None:
            raise ValueError(
                f"normaliser_constant has no effect with normaliser {self.normaliser!r}: leave it out, "
                'or set normaliser to "constant"'
            )
        return self

    @property
    def needs(self) -> Needs:
        """What the trainer and the collector must provide."""
        return Needs(proximal=self.ratio_against == "proximal", min_group_size=self.min_group_size)

    @property
    def min_group_size(self) -> int:
        """Measured members without which a group gives no credit."""
        return 1

    def advantages(self, rewards_G: Tensor) -> Tensor:
        """Advantage of each measured member of one group: [G] float64 to [G], for rewards of any finite size."""
        raise NotImplementedError

    def credit(self, groups: Sequence[Group], samples: Sequence[Sample]) -> list[CreditedSample]:
        """Gives every trained-on token of a rollout, in all its forks, the advantage of that rollout.

        Only measured members enter: one that is not measured changes nothing for its siblings.

        Returns:
            The samples in their order, with advantages.

        Raises:
            ContractError: a group that is too small or given twice, or a sample without a measured rollout.
            DataError: rewards so large that an advantage does not fit float32.
        """
        advantage_by_rollout: dict[tuple[int, int], float] = {}
        for group in groups:
            for (rollout, _, _), advantage in zip(group.measured, self._finite_advantages(group), strict=True):
                key = (group.group_id, rollout.index)
                if key in advantage_by_rollout:
                    raise ContractError(f"rollout {rollout.index} of group {group.group_id} was given to credit twice")
                advantage_by_rollout[key] = advantage

        credited = []
        for sample in samples:
            advantage = advantage_by_rollout.get((sample.group_id, sample.index))
            if advantage is None:
                raise ContractError(
                    f"a sample of rollout {sample.index} of group {sample.group_id} has no measured score: "
                    "what was not measured must not be trained on"
                )
            zeros_L = torch.zeros(len(sample.token_ids), device=sample.loss_mask.device)
            credited.append(CreditedSample.of(sample, zeros_L.masked_fill(sample.loss_mask, advantage)))
        return credited

    def loss(self, inputs: LossInputs) -> LossOutput:
        """The summed loss of one micro-batch."""
        raise NotImplementedError

    def keep(self, group: Group) -> bool:
        """Whether a group is worth training on (dynamic sampling). Applied in issue order; drops are counted."""
        return True

    def _finite_advantages(self, group: Group) -> list[float]:
        """Advantages in the order of `group.measured`."""
        # float64: rewards come as Python numbers, and groups are small.
        rewards_G = torch.tensor([reward for _, _, reward in group.measured], dtype=torch.float64)
        if len(rewards_G) < self.min_group_size:
            raise ContractError(
                f"group {group.group_id} has {len(rewards_G)} measured members, {self.min_group_size} are needed: "
                "smaller groups are dropped before credit"
            )
        advantages_G = self.advantages(rewards_G).to(torch.float32)
        if not torch.isfinite(advantages_G).all():
            raise DataError(
                f"group {group.group_id} has rewards from {rewards_G.min():g} to {rewards_G.max():g}, too large for "
                "float32 advantages: scale the reward"
            )
        return advantages_G.tolist()
