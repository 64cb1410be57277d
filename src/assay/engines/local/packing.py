"""Weights in the order in which the CPU's matrix kernels read them.

A plain product reorders its weight on every call. For the few rows of a sampling step that takes about as long as the
product itself. Packed, it is reordered once, when new weights are loaded. The kernel and its bits stay the same.
"""

from __future__ import annotations

import dataclasses
import functools

import torch
from torch import Tensor

from assay.policies.decoder import LayerWeights, linear

ROWS = 64
"""The number of rows that the order is chosen for; any other works too."""


def packs(dtype: torch.dtype, device: torch.device | str) -> bool:
    """Return whether weights of this dtype and device are packed: bf16 on a CPU whose kernels read the packed order and
    give the same bits."""
    return dtype == torch.bfloat16 and torch.device(device).type == "cpu" and _can_pack()


def packed(weight: Tensor) -> Tensor:
    """The same matrix for `linear` alone; nothing else reads it."""
    return torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)


def packed_layer(weights: LayerWeights) -> LayerWeights:
    """The four products packed; norms and biases as they are."""
    names = ("qkv", "output", "gate_up", "down")
    return dataclasses.replace(weights, **{name: packed(getattr(weights, name)) for name in names})


@functools.cache
def _can_pack() -> bool:
    """Return whether packed weights work and change no bit. Tried once: builds of PyTorch without oneDNN, and
    processors that it has no such kernel for, differ in how they refuse."""
    x = torch.linspace(-1, 1, 24 * 64).reshape(24, 64).to(torch.bfloat16)
    weight = torch.linspace(1, -1, 48 * 64).reshape(48, 64).to(torch.bfloat16)
    try:
        return torch.equal(linear(x, packed(weight)), linear(x, weight))
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
