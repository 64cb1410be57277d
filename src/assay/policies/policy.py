"""The Policy protocol: what is trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from assay.policies.lora.adapter import Adapter
from assay.types import Batch


@dataclass(frozen=True, eq=False)
class PolicyOutput:
    """What a forward pass over a batch says of each predicted token."""

    logprobs: Tensor
    """[N] float32, log-probability of each target under softmax(logits / temperature); differentiable."""
    entropy: Tensor
    """[N] float32, entropy of the same distribution in nats; detached unless asked for."""


class Policy(Protocol):
    """A language model to train; no optimizer inside. Master parameters are fp32 under their Hugging Face names."""

    @property
    def device(self) -> torch.device: ...

    @property
    def adapter(self) -> Adapter | None:
        """What is trained in place of the weights; None where they are."""
        ...

    @property
    def max_context(self) -> int:
        """Longest sequence in tokens."""
        ...

    @property
    def shares_prompts(self) -> bool:
        """Whether a prompt that several samples share is computed once. Where it is not, samples are packed without
        sharing, so that the tokens of a micro-batch are the tokens that are computed."""
        ...

    def forward(self, batch: Batch, *, temperature: float = 1.0, entropy_gradient: bool = False) -> PolicyOutput: ...

    def parameters(self) -> Iterator[torch.nn.Parameter]: ...

    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]: ...

    def weights(self) -> Iterable[tuple[str, Tensor]]:
        """(Hugging Face name, tensor) of every weight, an adapter merged, for an engine. Collective when sharded."""
        ...

    def save(self, folder: Path) -> None:
        """Writes what is trained: a Hugging Face folder (config.json, safetensors, the tokenizer's files), or PEFT's
        folder of an adapter."""
        ...
