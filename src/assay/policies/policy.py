"""The Policy protocol: what is trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from assay.policies.head import divergence
from assay.policies.lora.adapter import Adapter
from assay.types import Batch


@dataclass(frozen=True, eq=False)
class PolicyOutput:
    """Results of a forward pass over a batch, for each predicted token."""

    logprobs: Tensor
    """[N] float32, log-probability of each target under softmax(logits / temperature); differentiable."""
    entropy: Tensor
    """[N] float32, entropy of the same distribution in nats; detached unless asked for."""
    teacher_kl: Tensor | None = None
    """[N] float32, KL(this policy || teacher) of the same distribution, over the whole vocabulary; differentiable. None
    unless a teacher was given."""


class Policy(Protocol):
    """A language model to train; no optimizer inside. Master parameters are fp32 under their Hugging Face names."""

    @property
    def device(self) -> torch.device: ...

    @property
    def adapter(self) -> Adapter | None:
        """The adapter that is trained in place of the weights; None where the weights are trained."""
        ...

    @property
    def max_context(self) -> int:
        """Longest sequence in tokens."""
        ...

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        ...

    @property
    def shares_prompts(self) -> bool:
        """True where a prompt that several samples share is computed once. Where it is not, samples are packed without
        sharing, so that the tokens of a micro-batch are the tokens that are computed."""
        ...

    def forward(
        self,
        batch: Batch,
        *,
        temperature: float = 1.0,
        entropy_gradient: bool = False,
        teacher: Policy | None = None,
    ) -> PolicyOutput: ...

    def last_layer(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the two factors of the logits: [N, H] hidden states of the predicted tokens, and the [V, H] output
        matrix.

        Raises:
            ModelError: its logits are something else.
        """
        ...

    def parameters(self) -> Iterator[torch.nn.Parameter]: ...

    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]: ...

    def weights(self) -> Iterable[tuple[str, Tensor]]:
        """(Hugging Face name, tensor) of every weight, an adapter merged, for an engine. Collective when sharded."""
        ...

    def save(self, folder: Path, *, trained: Mapping[str, Tensor] | None = None) -> None:
        """Writes what is trained: a Hugging Face folder (config.json, safetensors, the tokenizer's files), or PEFT's
        folder of an adapter.

        Args:
            trained: the values to write, by parameter name, where the policy is sharded; None for its own.
        """
        ...

    def layer_units(self) -> list[torch.nn.Module]:
        """The modules, in the order of the model, that can be sharded each for itself; none where it has no such
        layers."""
        ...

    def sharded(self) -> None:
        """Takes over the parameters that sharding has put in place of the first ones.

        Raises:
            ConfigError: the policy cannot be trained in shards.
        """
        ...


def teacher_kl(hidden: Tensor, head: Tensor, teacher: Policy | None, batch: Batch, temperature: float) -> Tensor | None:
    """[N] KL(policy || teacher) over the whole vocabulary, from the policy's last layer; None without a teacher."""
    if teacher is None:
        return None
    with torch.no_grad():
        other_hidden, other_head = teacher.last_layer(batch)
    return divergence(hidden, head, other_hidden, other_head, temperature)
