"""The critic: a language model whose head says, in place of the next token, how much reward is still to come.

Shape letters: N predicted tokens, H hidden size.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from assay.policies.load import PolicyChoice, load_policy
from assay.policies.model import DecoderPolicy
from assay.types import Batch

if TYPE_CHECKING:
    from assay.policies.hf import HFPolicy


class ValueModel(nn.Module):
    """A trunk of its own, so that the critic's loss does not pull at the policy, and a head that begins at 0."""

    def __init__(self, trunk: DecoderPolicy | HFPolicy) -> None:
        super().__init__()
        self.trunk = trunk
        self.value_head = nn.Parameter(torch.zeros(trunk.hidden_size, device=trunk.device))

    @property
    def device(self) -> torch.device:
        return self.trunk.device

    def forward(self, batch: Batch) -> Tensor:
        """[N] float32: the value of the state before each predicted token."""
        hidden = self.trunk.hidden_states(batch)
        return hidden.float() @ self.value_head


def load_value_model(
    folder: Path | str,
    *,
    device: torch.device | str = "cpu",
    compute_dtype: torch.dtype = torch.float32,
    policy: PolicyChoice = "auto",
    gradient_checkpointing: bool = False,
) -> ValueModel:
    """A critic whose trunk begins as the model of a Hugging Face folder; arguments as of `load_policy`.

    Raises:
        ModelError: the folder holds no model that can be trained.
    """
    return ValueModel(
        load_policy(
            folder,
            device=device,
            compute_dtype=compute_dtype,
            policy=policy,
            gradient_checkpointing=gradient_checkpointing,
        )
    )
