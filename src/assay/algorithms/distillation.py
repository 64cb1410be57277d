"""On-policy distillation: the policy samples, a teacher says of every token how much likelier it would have been.

Agarwal et al. 2023, "On-Policy Distillation of Language Models", https://arxiv.org/abs/2306.13649, with the reverse
divergence of Gu et al. 2023, "MiniLLM", https://arxiv.org/abs/2306.08543, taken token by token on what was sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import pydantic

from assay.algorithms.algorithm import Algorithm, LossInputs
from assay.algorithms.needs import Needs
from assay.errors import ContractError
from assay.later import torch
from assay.losses import k1, policy_gradient
from assay.observe.metrics import metric
from assay.types import CreditedSample, Group, Sample

if TYPE_CHECKING:
    from torch import Tensor

TEACHER_KL = metric(
    "loss/teacher_kl_nats",
    "KL divergence of the policy from its teacher, KL(now || teacher), nats a token, over the whole vocabulary.",
)


class Distillation(Algorithm):
    """Each token's advantage is the teacher's log-probability minus the policy's own. Verdicts are only recorded.

    Recorded advantages are against the sampler's log-probabilities; the loss takes them against the policy's now.
    """

    name: Literal["distillation"] = "distillation"
    teacher: str
    """The model to learn from, of the same tokenizer: a checkpoint folder, "default", or a hub id."""
    over: Literal["token", "vocabulary"] = "token"
    """The support of the divergence in each state: the sampled token, an unbiased estimate, or all words, exactly.
    "vocabulary" computes the teacher in every update."""

    page: ClassVar[str] = "distillation.md"
    without_effect: ClassVar[tuple[str, ...]] = ("kl_coefficient", "kl_in", "dynamic_sampling", "off_policy_mask")
    uses_rewards: ClassVar[bool] = False

    @pydantic.model_validator(mode="after")
    def _check_over(self) -> Self:
        if self.over == "vocabulary" and (self.correction.kind != "none" or self.ratio_against != "proximal"):
            raise ValueError(
                'correction and ratio_against have no effect with over "vocabulary", which takes no sampled token for '
                "another: leave them out"
            )
        return self

    @property
    def needs(self) -> Needs:
        shared = super().needs
        return Needs(
            proximal=shared.proximal and self.over == "token",
            min_group_size=shared.min_group_size,
            teacher=self.teacher,
            teacher_distribution=self.over == "vocabulary",
            entropy_gradient=shared.entropy_gradient,
        )

    def advantages(self, rewards_G: Tensor) -> Tensor:
        return torch.zeros_like(rewards_G)

    def credit(self, groups: Sequence[Group], samples: Sequence[Sample]) -> list[CreditedSample]:
        credited = super().credit(groups, samples)
        # Over the vocabulary there is nothing that a token would be credited with: the loss is the divergence itself.
        return [_taught(sample) for sample in credited] if self.over == "token" else credited

    @property
    def gradient_is_credit(self) -> bool:
        """The policy may have moved away from where teacher and sampler agreed."""
        return False

    def policy_loss(self, inputs: LossInputs) -> tuple[Tensor, dict[str, Tensor]]:
        if self.over == "vocabulary":
            if inputs.teacher_kl is None:
                raise ContractError("a loss over the vocabulary came without the divergence from the teacher")
            return inputs.teacher_kl, {TEACHER_KL: inputs.teacher_kl.detach()}
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
