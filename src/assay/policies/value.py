"""The critic: a language model whose head says, in place of the next token, how much reward is still to come.

Shape letters: N predicted tokens, H hidden size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from assay.policies.model import DecoderPolicy
from assay.types import Batch

if TYPE_CHECKING:
    from assay.policies.hf import HFPolicy


class ValueModel(nn.Module):
    """A trunk of its own, so that the critic's loss does not pull at the policy, and a head that begins at 0."""

    def __init__(self, trunk: DecoderPolicy | HFPolicy) -> None:
        super().__init__()
        self.trunk = trunk
        # Beside an adapter the trunk's weights are frozen; the head is always trained.
        self.value_head = nn.Parameter(torch.zeros(trunk.hidden_size, device=trunk.device))

    @property
    def device(self) -> torch.device:
        return self.trunk.device

    def forward(self, batch: Batch) -> Tensor:
        """[N] float32: the value of the state before each predicted token."""
        hidden = self.trunk.hidden_states(batch)
        return hidden.float() @ self.value_head
