"""The critic: a decoder whose head says, in place of the next token, how much reward is still to come.

Shape letters: N predicted tokens, H hidden size.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from assay.policies.config import DecoderConfig
from assay.policies.folder import read_weights
from assay.policies.model import DecoderPolicy
from assay.types import Batch


class ValueModel(nn.Module):
    """A trunk of its own, so that the critic's loss does not pull at the policy, and a head that begins at 0."""

    def __init__(self, trunk: DecoderPolicy) -> None:
        super().__init__()
        self.trunk = trunk
        # Beside an adapter the trunk's weights are frozen; the head is always trained.
        self.value_head = nn.Parameter(torch.zeros(trunk.config.hidden_size, device=trunk.device))

    @property
    def device(self) -> torch.device:
        return self.trunk.device

    def forward(self, batch: Batch) -> Tensor:
        """[N] float32: the value of the state before each predicted token."""
        hidden = self.trunk.hidden_states(batch)
        return hidden.float() @ self.value_head


def load_value_model(
    folder: Path | str, *, device: torch.device | str = "cpu", compute_dtype: torch.dtype = torch.float32
) -> ValueModel:
    """A critic whose trunk begins as the model of a Hugging Face folder.

    Raises:
        ModelError: the folder is not a model that the decoder computes.
    """
    config = DecoderConfig.from_folder(Path(folder))
    weights = {name: tensor.to(device) for name, tensor in read_weights(Path(folder), config).items()}
    return ValueModel(DecoderPolicy(config, weights, compute_dtype=compute_dtype))
