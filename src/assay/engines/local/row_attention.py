"""Attention of one new token of each sequence over its row of the cache, as two batched products over whole rows.

`kernels.attention` has the compiled form of it.

Shape letters: n sequences, Q query heads, K key-value heads, G = Q / K, C capacity of a cache row, D head size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from assay.engines.local.cache import KeyValueCache
from assay.engines.local.prompt_attention import causal_mask
from assay.engines.local.shared import Sharing
from assay.engines.local.shared_attention import SharedAttention
from assay.policies.config import DecoderConfig

if TYPE_CHECKING:
    from assay.kernels.attention import CompiledRowAttention


class RowAttention:
    """Attention of one decode pass; made once, used by every layer. Sequence i has row i of the cache.

    Args:
        position_n: [n] int64, of the new tokens; a row begins after the shared prompt that its sequence continues.
        sharing: the prompts that are stored apart.
        compiled: by kernels, where they are available.
    """

    def __init__(
        self,
        cache: KeyValueCache,
        config: DecoderConfig,
        position_n: Tensor,
        sharing: Sharing | None,
        *,
        compiled: bool = False,
    ) -> None:
        self.cache, self.config = cache, config
        self.num_sequences, self.num_kv_heads = len(position_n), config.num_kv_heads
        self.scale = config.head_size**-0.5
        self.prompts = None if sharing is None else SharedAttention(sharing, position_n, config, cache.dtype)
        # A row holds only what its sequence has beyond the shared prompt: a column is not a position.
        self.column_n = position_n if self.prompts is None else position_n - self.prompts.start_n
        self.compiled = self._compile() if compiled else None
        if self.compiled is None:
            self.row_n = torch.arange(self.num_sequences, device=position_n.device)
            self.masks = {window: self._mask(window) for window in set(config.windows)}

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Writes keys and values [n, K, D] to the rows; what queries [n, Q, D] take from them, [n, Q, D]."""
        if self.compiled is not None:
            return self._attend_compiled(self.compiled, layer, queries, keys, values)
        cached_keys, cached_values = self.cache.layers[layer]
        cached_keys[self.row_n, :, self.column_n] = keys
        cached_values[self.row_n, :, self.column_n] = values
        row_keys, row_values = self.cache.rows(layer, self.num_sequences)
        grouped = self._grouped(queries)
        mask = self.masks[self.config.windows[layer]]
        scores = torch.add(mask, torch.bmm(grouped, row_keys.transpose(1, 2)), alpha=self.scale)
        if self.prompts is None:
            return torch.bmm(scores.softmax(dim=-1), row_values).view(queries.shape)
        prompt_scores = self.prompts.scores(layer, grouped)
        weights = torch.cat((prompt_scores, scores), dim=-1).softmax(dim=-1)
        on_prompt, on_row = weights.split((prompt_scores.shape[-1], scores.shape[-1]), dim=-1)
        attended = torch.bmm(on_row, row_values) + self.prompts.attended(layer, on_prompt)
        return attended.view(queries.shape)

    def _compile(self) -> CompiledRowAttention:
        # Imported here: only who can use numba has to have it.
        from assay.kernels.attention import CompiledRowAttention

        prompt_capacity = 0 if self.prompts is None else self.prompts.cache.capacity
        return CompiledRowAttention(
            self.column_n, self.num_kv_heads, self.config.head_size, self.cache.capacity, prompt_capacity
        )

    def _attend_compiled(
        self, compiled: CompiledRowAttention, layer: int, queries: Tensor, keys: Tensor, values: Tensor
    ) -> Tensor:
        cached, window = self.cache.layers[layer], self.config.windows[layer]
        if self.prompts is None:
            return compiled(queries, keys, values, cached, window)
        scores = self.prompts.scores(layer, self._grouped(queries))
        # The kernel replaces `scores` by the prompt's part of the softmax.
        attended = compiled(queries, keys, values, cached, window, scores)
        return attended + self.prompts.attended(layer, scores).view(queries.shape)

    def _grouped(self, queries: Tensor) -> Tensor:
        """[n K, G, D]"""
        return queries.reshape(self.num_sequences * self.num_kv_heads, -1, queries.shape[-1])

    def _mask(self, window: int | None) -> Tensor:
        """[n K, 1, C]"""
        mask_nC = causal_mask(self.column_n, self.cache.capacity, window, self.cache.dtype)
        return mask_nC.repeat_interleave(self.num_kv_heads, dim=0)[:, None]
