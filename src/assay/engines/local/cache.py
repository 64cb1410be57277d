"""Keys and values of the sequences under way, one row (slot) each.

Shape letters: S slots, K key-value heads, C capacity in tokens, D head size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from assay.policies.config import DecoderConfig

GRANULE = 32
"""Number of tokens by which capacity grows. Attention runs over whole rows, because a product over a strided part of
them costs a copy, so every spare token is computed with."""


class KeyValueCache:
    """Rows 0 .. n-1 belong to the n sequences under way, so that each layer's rows are one contiguous block.

    What a row computes may depend on the capacity in its last bits. So the capacity depends on the sequences under way
    only: it starts from nothing when there are none.
    """

    def __init__(self, config: DecoderConfig, num_slots: int, dtype: torch.dtype, device: torch.device | str) -> None:
        self.num_slots = num_slots
        self.dtype = dtype
        self.device = device
        self.num_kv_heads, self.head_size = config.num_kv_heads, config.head_size
        self.layers: list[Tensor] = [torch.empty(0)] * config.num_layers
        """Keys, then values, of each layer: [2, S, K, C, D]."""
        self.clear()

    def clear(self) -> None:
        """Forgets everything and frees the memory."""
        self.capacity = self.allocated_slots = 0
        self.layers = [self._zeros(0, 0) for _ in self.layers]

    def reserve(self, num_slots: int, length: int) -> None:
        """Makes room for sequences of `length` tokens in the first `num_slots` rows; keeps what is there.

        Args:
            length: of the longest sequence; where it is less than half the capacity, the rows shrink to it.
        """
        capacity = -(-length // GRANULE) * GRANULE
        if capacity <= self.capacity < 2 * capacity:
            capacity = self.capacity
        # Rows double, so that requests that trickle in do not copy everything every time.
        slots = self.allocated_slots
        if num_slots > slots:
            slots = min(max(num_slots, 2 * slots), self.num_slots)
        if (slots, capacity) == (self.allocated_slots, self.capacity):
            return
        for index, old in enumerate(self.layers):
            new = self._zeros(slots, capacity)
            kept = min(capacity, self.capacity)
            new[:, : self.allocated_slots, :, :kept] = old[:, :, :, :kept]
            self.layers[index] = new
        self.allocated_slots, self.capacity = slots, capacity

    def rows(self, layer: int, num_slots: int) -> tuple[Tensor, Tensor]:
        """Keys and values of the first rows: two contiguous [num_slots * K, C, D]."""
        keys, values = self.layers[layer]
        return keys[:num_slots].flatten(0, 1), values[:num_slots].flatten(0, 1)

    def copy(self, source: int, targets: Sequence[int], length: int) -> None:
        """Copies the first `length` tokens of a row to other rows."""
        for layer in self.layers:
            layer[:, list(targets), :, :length] = layer[:, source : source + 1, :, :length]

    def save(self, slot: int, length: int) -> Tensor:
        """A copy of a row's first tokens: [layers, 2, K, length, D]."""
        return torch.stack([layer[:, slot, :, :length] for layer in self.layers])

    def restore(self, slot: int, saved: Tensor, length: int) -> None:
        """Writes the first `length` tokens of a saved row."""
        for layer, tokens in zip(self.layers, saved, strict=True):
            layer[:, slot, :, :length] = tokens[:, :, :length]

    def _zeros(self, slots: int, capacity: int) -> Tensor:
        # Not empty: masked positions still meet a probability of 0, and 0 x NaN is NaN.
        shape = (2, slots, self.num_kv_heads, capacity, self.head_size)
        return torch.zeros(shape, dtype=self.dtype, device=self.device)
