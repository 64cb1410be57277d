"""Low-rank adapters: what is trained in place of the weights, kept in the files that PEFT reads and writes.

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", arXiv 2106.09685.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.later import exports
from assay.policies.lora.document import is_adapter
from assay.policies.lora.settings import LoraSettings

if TYPE_CHECKING:
    from assay.policies.lora.adapter import Adapter, LinearShape, LowRank, linear_shapes, num_adapter_parameters
    from assay.policies.lora.folder import read_adapter

__getattr__ = exports(
    __name__,
    {
        "adapter": ("Adapter", "LinearShape", "LowRank", "linear_shapes", "num_adapter_parameters"),
        "folder": ("read_adapter",),
    },
)

__all__ = [
    "Adapter",
    "LinearShape",
    "LoraSettings",
    "LowRank",
    "is_adapter",
    "linear_shapes",
    "num_adapter_parameters",
    "read_adapter",
]
