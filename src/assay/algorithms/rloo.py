"""RLOO (Ahmadian et al. 2024, https://arxiv.org/abs/2402.14740): REINFORCE with the siblings' mean as its baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

import pydantic

from assay.algorithms.algorithm import Algorithm, LossInputs
from assay.estimators import best_of_k
from assay.losses import policy_gradient, sequence_policy_gradient

if TYPE_CHECKING:
    from torch import Tensor


class RLOO(Algorithm):
    """Plain policy gradient with the leave-one-out baseline, no clipping unless asked for."""

    name: Literal["rloo"] = "rloo"
    ratio: Literal["token", "sequence"] = "token"
    """The importance ratio that weights a token: its own, or with "sequence" the product over its sequence."""
    sequence_clip: float | None = pydantic.Field(default=None, gt=0, allow_inf_nan=False)
    """Largest distance of a sequence's ratio from 1, in the direction that its advantage asks for, before the sequence
    is left alone; for ratio "sequence". None for no such bound; 0.2 in TRL."""
    pass_at_k: int = pydantic.Field(default=1, ge=1)
    """Attempts of which the best is to be made better: above 1 the objective is pass@k."""

    page: ClassVar[str] = "rloo.md"

    @pydantic.model_validator(mode="after")
    def _check_clip(self) -> Self:
        if self.sequence_clip is not None and self.ratio == "token":
            raise ValueError('sequence_clip has no effect with ratio "token": leave it out, or set ratio to "sequence"')
        return self

    @property
    def min_group_size(self) -> int:
        return max(2, self.pass_at_k)

    def advantages(self, rewards_G: Tensor) -> Tensor:
        return best_of_k(rewards_G, self.pass_at_k)

    def policy_loss(self, inputs: LossInputs) -> tuple[Tensor, dict[str, Tensor]]:
        tokens = (inputs.policy_logprobs, inputs.old_logprobs, inputs.advantages)
        if self.ratio == "token":
            return policy_gradient(*tokens), {}
        of_sequences = (inputs.sequence_ids, inputs.num_sequences)
        return sequence_policy_gradient(*tokens, *of_sequences, clip=self.sequence_clip), {}
