"""Weights on their way: one flat buffer and a table, because Ray copies single tensors twice and a buffer never."""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from assay.engines.adapted import is_factor
from assay.errors import PublishError


@dataclass(frozen=True)
class Entry:
    """The place of one tensor in the buffer."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    num_bytes: int
    digest: int
    """CRC-32 of its bytes."""


def flat(weights: Iterable[tuple[str, Tensor]], dtype: torch.dtype) -> tuple[np.ndarray, list[Entry]]:
    """Return weights as bytes, floats in `dtype`, and the place of each. Factors of an adapter stay in fp32: they are
    rounded after they are merged."""
    parts: list[np.ndarray] = []
    table: list[Entry] = []
    start = 0
    for name, tensor in weights:
        value = tensor.detach().cpu()
        rounds = value.is_floating_point() and not is_factor(name)
        value = (value.to(dtype) if rounds else value).contiguous()
        part = value.reshape(-1).view(torch.uint8).numpy() if value.numel() else np.zeros(0, np.uint8)
        kind = str(value.dtype).removeprefix("torch.")
        table.append(Entry(name, kind, tuple(value.shape), start, part.nbytes, _digest(part)))
        parts.append(part)
        start += part.nbytes
    return (np.concatenate(parts) if parts else np.zeros(0, np.uint8)), table


def tensors(buffer: np.ndarray, table: Sequence[Entry]) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of each, copied out of the buffer, which may be shared with other processes.

    Raises:
        PublishError: bytes that are not those that were sent; names the tensor.
    """
    for entry in table:
        part = buffer[entry.start : entry.start + entry.num_bytes]
        if part.nbytes != entry.num_bytes or _digest(part) != entry.digest:
            raise PublishError(
                f"{entry.name} arrived with other bytes than were sent: the transport between the nodes is broken"
            )
        kind: Any = getattr(torch, entry.dtype)
        yield entry.name, torch.from_numpy(part.copy()).view(kind).reshape(entry.shape)


def _digest(part: np.ndarray) -> int:
    return zlib.crc32(memoryview(part))  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class Packed:
    """Weights that were put into Ray's store once, for any number of engines."""

    reference: Any
    """Where the buffer is."""
    table: list[Entry]
    name: str
    """A name that was never used before: an engine takes nothing for what it has already."""

    @property
    def num_bytes(self) -> int:
        return sum(entry.num_bytes for entry in self.table)


def publishable(weights: Iterable[tuple[str, Tensor]], dtype: torch.dtype, *, keep: bool) -> Packed | None:
    """Put weights into Ray's store from the process of a rank; None on ranks that only give their part."""
    if not keep:
        for _ in weights:
            pass
        return None
    import ray

    return packed(weights, dtype, ray)


def packed(weights: Iterable[tuple[str, Tensor]], dtype: torch.dtype, ray: Any) -> Packed:
    """Put weights into Ray's store, floats in `dtype`, under a new name."""
    buffer, table = flat(weights, dtype)
    return Packed(ray.put(buffer), table, secrets.token_hex(16))
