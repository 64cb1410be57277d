"""A learner of several processes: FSDP2 (`torch.distributed.fully_shard`), one unit a layer.

FSDP2 averages gradients over the ranks, where our rule is a sum that is divided by the count of the whole minibatch: it
is told to sum. Adam hides a wrong scale, so that tests look at gradients. Layers are gathered in fp32 and cast as they
are in one process.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from assay.errors import ClusterError, ConfigError

Shared = TypeVar("Shared")


class ProcessRanks:
    """The ranks of the process group that this process has joined."""

    def __init__(self) -> None:
        self.rank = dist.get_rank()
        self.world = dist.get_world_size()

    def gather(self, value: Shared) -> list[Shared]:
        gathered: list[Any] = [None] * self.world
        dist.all_gather_object(gathered, value)
        return gathered

    def worst(self, cause: str) -> str:
        return next(filter(None, self.gather(cause)), "")

    def any(self, flags: Sequence[bool]) -> list[bool]:
        return [any(each) for each in zip(*self.gather(list(flags)), strict=True)]


@contextmanager
def joined(address: str, rank: int, world: int, *, seconds: float, device: str = "cpu") -> Iterator[ProcessRanks]:
    """The process group of all ranks, which this process joins, and leaves when the block ends.

    Args:
        address: "host:port" of rank 0.
        seconds: the longest that a rank is waited for, at the start and in every collective.
        device: that the ranks compute on: gloo joins CPUs, NCCL GPUs.

    Raises:
        ClusterError: the others do not come within that time.
    """
    backend = "gloo" if torch.device(device).type == "cpu" else "cpu:gloo,cuda:nccl"
    try:
        dist.init_process_group(
            backend,
            init_method=f"tcp://{address}",
            rank=rank,
            world_size=world,
            timeout=datetime.timedelta(seconds=seconds),
        )
        dist.barrier()
    except (RuntimeError, ValueError) as error:
        if dist.is_initialized():
            dist.destroy_process_group()
        first = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise ClusterError(
            f"rank {rank} of {world} did not meet the others at {address} within {seconds:g} s ({first}); see that "
            "every rank can reach that address and nobody else listens there, or raise cluster.start_seconds"
        ) from error
    try:
        yield ProcessRanks()
    finally:
        dist.destroy_process_group()


def shard(model: Any, device: str = "cpu") -> None:
    """Shards a policy or a critic in place over all ranks: a unit a layer, and one for the rest.

    Every rank holds the same values before, and must call it alike.

    Raises:
        ConfigError: a model without layers that can be units, or one that cannot be trained in shards.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

    trunk = getattr(model, "trunk", model)
    units = trunk.layer_units() if hasattr(trunk, "layer_units") else []
    if not units:
        raise ConfigError(
            f"{_called(trunk)} has no layers that could be sharded each for itself, so that every rank would hold the "
            "whole model: set cluster.learner=1, or choose a model whose architecture names its layers"
        )
    trunk.sharded()
    mesh = init_device_mesh(torch.device(device).type, (dist.get_world_size(),))
    for unit in units:
        fully_shard(unit, mesh=mesh, reshard_after_forward=True)
    # The rest is given back after each pass too: a pass without gradient may be the last before an update.
    fully_shard(model, mesh=mesh, reshard_after_forward=True)
    register_fsdp_forward_method(model, "forward")
    for module in model.modules():
        if isinstance(module, FSDPModule):
            # Neither setter reaches the modules within. gloo knows no other way to a plain sum than both.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    # Parameters are others now.
    trunk.sharded()


def _called(model: nn.Module) -> str:
    inner = getattr(model, "module", model)
    return type(inner).__name__
