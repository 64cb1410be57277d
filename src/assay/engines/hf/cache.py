"""Keys and values of sequences of different lengths, laid so that all end in the same column: as left-padded rows.

Shape letters: n rows, K key-value heads, T columns, D head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import DynamicCache


class RowCache:
    """Rows come and go; each is moved as the longest of them asks for."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        """[n] computed tokens of each row."""
        self._layers: list[tuple[Tensor, Tensor]] = []
        """Keys and values of each layer, [n, K, T, D]; D of keys and values may differ."""

    @property
    def num_columns(self) -> int:
        """T, the length of the longest row."""
        return max(self.lengths, default=0)

    def clear(self) -> None:
        """Forgets everything and frees the memory."""
        self.lengths, self._layers = [], []

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these rows, in this order, without the columns that none of them needs; a row may be named
        twice."""
        if list(rows) == list(range(len(self.lengths))):
            return
        if not rows:
            self.clear()
            return
        before = self.num_columns
        self.lengths = [self.lengths[row] for row in rows]
        first = before - self.num_columns
        self._layers = [
            (keys[list(rows), :, first:].contiguous(), values[list(rows), :, first:].contiguous())
            for keys, values in self._layers
        ]

    def append(self, other: RowCache) -> None:
        """Adds the rows of another cache of the same model after those that are here."""
        if not self.lengths:
            self.lengths, self._layers = list(other.lengths), list(other._layers)
            return
        columns = max(self.num_columns, other.num_columns)
        self._layers = [
            (_stack(keys, other_keys, columns), _stack(values, other_values, columns))
            for (keys, values), (other_keys, other_values) in zip(self._layers, other._layers, strict=True)
        ]
        self.lengths += other.lengths

    def take_right_padded(self, cache: DynamicCache, lengths: Sequence[int]) -> None:
        """Takes over what a pass over right-padded rows computed; each row is moved so that it ends last."""
        self.lengths = list(lengths)
        self._layers = [(_to_the_end(keys, lengths), _to_the_end(values, lengths)) for keys, values in _states(cache)]

    def for_pass(self) -> DynamicCache:
        """The cache in transformers' form, to compute one more token of every row with. Nothing is copied."""
        from transformers import DynamicCache
        from transformers.cache_utils import DynamicLayer

        cache = DynamicCache()
        for keys, values in self._layers:
            layer = DynamicLayer()
            layer.lazy_initialization(keys, values)
            layer.keys, layer.values = keys, values
            cache.layers.append(layer)
        return cache

    def take_extended(self, cache: DynamicCache) -> None:
        """Takes over a cache of `for_pass` after a pass over one token of every row."""
        self.lengths = [length + 1 for length in self.lengths]
        self._layers = _states(cache)

    def mask(self, device: torch.device) -> Tensor:
        """[n, T + 1] int64: 1 where a row has a token, the one about to be computed included."""
        lengths = torch.tensor(self.lengths, device=device)[:, None]
        columns = torch.arange(self.num_columns + 1, device=device)
        return (columns >= self.num_columns - lengths).long()


def _states(cache: DynamicCache) -> list[tuple[Tensor, Tensor]]:
    """Keys and values of each layer; raises AttributeError for a layer that has none."""
    layers: list[Any] = cache.layers
    return [(layer.keys, layer.values) for layer in layers]


def _to_the_end(states: Tensor, lengths: Sequence[int]) -> Tensor:
    """[n, K, T, D] with each row's first `length` columns moved to its end; what padding computed comes before."""
    columns = max(lengths)
    return torch.stack(
        [row[:, :columns].roll(columns - length, dims=1) for row, length in zip(states, lengths, strict=True)]
    )


def _stack(states: Tensor, others: Tensor, columns: int) -> Tensor:
    """Return both below one another, with columns of zeros before the shorter: masked, yet multiplied by 0."""
    return torch.cat([torch.nn.functional.pad(x, (0, 0, columns - x.shape[2], 0)) for x in (states, others)])
