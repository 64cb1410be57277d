"""On-policy distillation: the policy samples, a teacher says of every token how much likelier it would have been.

Agarwal et al. 2023, "On-Policy Distillation of Language Models", https://arxiv.org/abs/2306.13649, with the reverse
divergence of Gu et al. 2023, "MiniLLM", https://arxiv.org/abs/2306.08543, taken token by token on what was sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from assay.algorithms.algorithm import Algorithm, LossInputs, Needs
from assay.errors import ContractError
from assay.losses import k1, policy_gradient
from assay.types import CreditedSample, Group, Sample


class Distillation(Algorithm):
    """Each token's advantage is the teacher's log-probability minus the policy's own. Verdicts are only recorded.

    Recorded advantages are against the sampler's log-probabilities; the loss takes them against the policy's now.
    """

    name: Literal["distillation"] = "distillation"
    teacher: str
    """The model to learn from, of the same tokenizer: a checkpoint folder, "default", or a hub id."""

    page: ClassVar[str] = "distillation.md"
    without_effect: ClassVar[tuple[str, ...]] = ("kl_coefficient", "kl_in", "dynamic_sampling", "off_policy_mask")
    uses_rewards: ClassVar[bool] = False

    @property
    def needs(self) -> Needs:
        shared = super().needs
        return Needs(
            proximal=shared.proximal,
            min_group_size=shared.min_group_size,
            teacher=self.teacher,
            entropy_gradient=shared.entropy_gradient,
        )

    def advantages(self, rewards_G: Tensor) -> Tensor:
        return torch.zeros_like(rewards_G)

    def credit(self, groups: Sequence[Group], samples: Sequence[Sample]) -> list[CreditedSample]:
        return [_taught(sample) for sample in super().credit(groups, samples)]

    @property
    def gradient_is_credit(self) -> bool:
        """The policy may have moved away from where teacher and sampler agreed."""
        return False

    def policy_loss(self, inputs: LossInputs) -> tuple[Tensor, dict[str, Tensor]]:
        now = inputs.policy_logprobs.detach()
        sampling = inputs.old_logprobs if inputs.sampling_logprobs is None else inputs.sampling_logprobs
        # Credit holds log teacher - log sampler; what the policy is now is known only here. With the sampler's in its
        # place the step would go away from the sampler, past the teacher.
        advantages = inputs.advantages + k1(sampling, now)
        return policy_gradient(inputs.policy_logprobs, inputs.old_logprobs, advantages), {}


def _taught(sample: CreditedSample) -> CreditedSample:
    if sample.teacher_logprobs is None:
        raise ContractError("samples came to distillation without the teacher's log-probabilities")
    advantages = -k1(sample.sampling_logprobs, sample.teacher_logprobs)
    return CreditedSample.of(sample, advantages.masked_fill(~sample.loss_mask, 0.0))
