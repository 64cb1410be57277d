"""Keys and values of all sequences, in pages of PAGE tokens: a sequence is a list of pages, and lists may share some.

Shape letters: P pages, K key-value heads, D head size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from assay.policies.config import DecoderConfig

PAGE = 32
"""Number of tokens of a page. `kernels.attention` has the same."""

_FIRST_PAGES = 128
"""Number of pages that a pool begins with; memory that nobody has written to yet is not taken from the system."""


class PagePool:
    """Pages, and which of them are free. Tokens are only ever added to a page, so what it holds may be read by many."""

    def __init__(self, config: DecoderConfig, dtype: torch.dtype, device: torch.device | str) -> None:
        self.dtype = dtype
        self.device = device
        self.num_kv_heads, self.head_size = config.num_kv_heads, config.head_size
        self.layers: list[Tensor] = [torch.empty(0)] * config.num_layers
        """Keys, then values, of each layer: [2, P, K, PAGE, D]."""
        self.clear()

    @property
    def page_bytes(self) -> int:
        """Number of bytes that a page takes, in all layers."""
        return len(self.layers) * 2 * self.num_kv_heads * PAGE * self.head_size * self.dtype.itemsize

    @property
    def num_used(self) -> int:
        return self.num_pages - len(self._free)

    def allocate(self) -> int:
        """Return a page that nobody uses, which is that one's own until it is freed."""
        if not self._free:
            self._grow(max(_FIRST_PAGES, 2 * self.num_pages))
        return self._free.pop()

    def free(self, page: int) -> None:
        self._free.append(page)

    def copy(self, copies: Sequence[tuple[int, int]]) -> None:
        """Copies whole pages, each from the first to the second of a pair."""
        if copies:
            sources, targets = zip(*copies, strict=True)
            for layer in self.layers:
                layer[:, list(targets)] = layer[:, list(sources)]

    def clear(self) -> None:
        """Takes all pages back and frees the memory."""
        self.num_pages = 0
        self._free: list[int] = []
        self.layers = [self._zeros(0) for _ in self.layers]

    def _grow(self, num_pages: int) -> None:
        for index, old in enumerate(self.layers):
            new = self._zeros(num_pages)
            new[:, : self.num_pages] = old
            self.layers[index] = new
        # The lowest first: neighbours are read faster.
        self._free.extend(range(num_pages - 1, self.num_pages - 1, -1))
        self.num_pages = num_pages

    def _zeros(self, num_pages: int) -> Tensor:
        # Not empty: masked positions still meet a probability of 0, and 0 x NaN is NaN.
        shape = (2, num_pages, self.num_kv_heads, PAGE, self.head_size)
        return torch.zeros(shape, dtype=self.dtype, device=self.device)
