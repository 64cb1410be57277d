"""Decode passes on a GPU, recorded once and replayed.

A small model's pass is hundreds of kernels, which take longer to start one by one than to run. A recorded pass reads
and writes fixed places in memory. So it has a number of rows, padded to a multiple of ROWS, and holds until the cache
is laid out anew; weights are loaded in place and may change under it.

Shape letters: n sequences, N rows of a recorded pass, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.engines.local.cache import KeyValueCache
from assay.policies.config import DecoderConfig

ROWS = 16
"""Recorded passes have multiples of this many rows: few are recorded, and few rows are computed for nothing."""

Decode = Callable[[Tensor, Tensor], Tensor]
"""Token ids [N] and positions [N] to logits [N, V]; sequence i has row i of the cache."""
Record = Callable[[Callable[[], Tensor]], Callable[[], Tensor]]
"""From a computation to one that does the same again, in the same places."""


@dataclass(frozen=True, eq=False)
class _Recorded:
    token_ids: Tensor
    """[N]"""
    positions: Tensor
    """[N]"""
    replay: Callable[[], Tensor]


class DecodeGraphs:
    """Replays decode passes; records those that it has not seen.

    Args:
        decode: computes one pass, without waiting for the device.
        cache: what it reads and writes.
        record: `record_graph`, or what stands for it in a test.
    """

    def __init__(self, decode: Decode, cache: KeyValueCache, record: Record) -> None:
        self._decode, self._cache, self._record = decode, cache, record
        self._recorded: dict[int, _Recorded] = {}
        self._layout: tuple[int, ...] = ()

    def __call__(self, token_ids: Tensor, positions: Tensor) -> Tensor:
        """[n, V] logits, which the next call overwrites."""
        num_sequences = len(token_ids)
        num_rows = padded_rows(num_sequences)
        if num_rows > self._cache.allocated_slots:
            return self._decode(token_ids, positions)
        layout = tuple(layer.data_ptr() for layer in self._cache.layers)
        if layout != self._layout:
            self._recorded.clear()
            self._layout = layout
        recorded = self._recorded.get(num_rows)
        if recorded is None:
            recorded = self._recorded[num_rows] = self._new(num_rows, token_ids.device)
        # Rows beyond the n belong to nobody: what is written at their position 0 is never read.
        recorded.token_ids.zero_()[:num_sequences] = token_ids
        recorded.positions.zero_()[:num_sequences] = positions
        return recorded.replay()[:num_sequences]

    def _new(self, num_rows: int, device: torch.device) -> _Recorded:
        token_ids, positions = torch.zeros(2, num_rows, dtype=torch.int64, device=device)
        # Recording may run the pass, and a pass writes: position 0 of row 0 may be a sequence's.
        kept = [layer[:, :num_rows, :, 0].clone() for layer in self._cache.layers]
        replay = self._record(lambda: self._decode(token_ids, positions))
        for layer, first in zip(self._cache.layers, kept, strict=True):
            layer[:, :num_rows, :, 0] = first
        return _Recorded(token_ids, positions, replay)


def padded_rows(num_sequences: int) -> int:
    """Rows of the recorded pass for so many sequences."""
    return -(-num_sequences // ROWS) * ROWS


def records(config: DecoderConfig, device: torch.device | str) -> bool:
    """Whether decode passes can be recorded: on CUDA, and where no angle depends on what the device has to be asked."""
    return torch.device(device).type == "cuda" and config.rope.rope_type != "dynamic"


def record_graph(compute: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """By a CUDA graph."""
    # Once before, on a stream of its own: libraries set themselves up, which must not be recorded.
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        compute()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = compute()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay
