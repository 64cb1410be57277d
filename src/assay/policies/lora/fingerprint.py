"""Fingerprint of the base that an adapter was trained on: a hash of the weights, kept in the adapter's file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

MAX_VALUES = 1024
"""Values of each tensor that are looked at, evenly spaced: training moves nearly all of them."""


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """Hex SHA-256 over names, shapes, and up to `MAX_VALUES` values of each tensor.

    Values are rounded to bf16 first, so that a model and its copy in bf16 are the same one.

    Args:
        weights: by Hugging Face name, without any adapter.
    """
    digest = hashlib.sha256()
    for name in sorted(weights):
        values = weights[name].detach().flatten()
        values = values[:: max(1, len(values) // MAX_VALUES)]
        digest.update(f"{name} {list(weights[name].shape)}\n".encode())
        digest.update(values.to("cpu", torch.bfloat16).contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
