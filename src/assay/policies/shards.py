"""Tensors of a sharded model: each rank of a learner holds a part of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


def whole(tensor: Tensor) -> Tensor:
    """Return the whole of a tensor, which is gathered from all ranks where it is sharded: all must ask together."""
    gather: Any = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


def is_sharded(tensor: Tensor) -> bool:
    """Return whether this rank holds a part of the tensor only."""
    return hasattr(tensor, "full_tensor")


@torch.no_grad()
def copy_into(parameter: Tensor, value: Tensor) -> None:
    """Copies a whole tensor into a parameter, or this rank's part of it into a sharded one."""
    parameter.copy_(shard_like(value, parameter))


def shard_like(value: Tensor, other: Tensor) -> Tensor:
    """Return a whole tensor, or this rank's part of it where `other`, of the same shape, is sharded."""
    if not is_sharded(other):
        return value
    from torch.distributed.tensor import distribute_tensor

    sharded: Any = other
    # Every rank has the whole value already.
    return distribute_tensor(value.to(other.device), sharded.device_mesh, sharded.placements, src_data_rank=None)


def gathered(tensors: Iterable[tuple[str, Tensor]], *, keep: bool) -> dict[str, Tensor]:
    """Return whole tensors by name, on the CPU where they had to be gathered; nothing on ranks that keep none of them,
    which must ask all the same."""
    kept: dict[str, Tensor] = {}
    for name, tensor in tensors:
        value = whole(tensor.detach())
        if keep:
            kept[name] = value.cpu() if is_sharded(tensor) else value
    return kept
