"""Runs the model: prompts into the cache, then one token of every sequence at a time.

A row's result should not depend on the other rows of a pass. So attention is one pair of batched products for prompts
and single tokens alike, over whole cache rows (what is masked adds exact zeros), and products have at least MIN_ROWS
rows. PyTorch's fused attention sums in another order for another length, and is several times slower on single tokens.

Shape letters: T tokens of this call, n sequences, Q query heads, K key-value heads, G = Q / K query heads of each
key-value head, C capacity of a cache row, D head size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from assay.engines.local.cache import KeyValueCache
from assay.engines.local.shared import Sharing
from assay.engines.local.shared_attention import SharedAttention
from assay.engines.local.view import ServingView
from assay.policies.config import DecoderConfig
from assay.policies.decoder import Attend, decoder_layer, linear, rms_norm
from assay.policies.rope import Rotary

MIN_ROWS = 16
"""Products have at least this many rows. For fewer, CPU libraries switch to kernels that sum in another order, and what
a request samples would depend on how many are sampled beside it."""

MAX_QUERIES = 512
"""Queries of one sequence that attend at once: bounds the scores of a long prompt."""


@dataclass(frozen=True)
class Extension:
    """Tokens to compute at the end of one row of a cache."""

    cache: KeyValueCache
    slot: int
    start: int
    """How many tokens the row holds already."""
    token_ids: Sequence[int]


class ModelRunner:
    """One forward pass over a serving view and caches."""

    def __init__(self, view: ServingView, cache: KeyValueCache, device: torch.device | str) -> None:
        self.view, self.cache, self.device = view, cache, device
        self.config: DecoderConfig = view.config
        self.rotary = Rotary(view.config, device)
        self.scale = view.config.head_size**-0.5
        self.group_size = view.config.num_query_heads // view.config.num_kv_heads

    def extend(self, extensions: Sequence[Extension]) -> Tensor:
        """Computes several tokens of several sequences, packed end to end; the cache must have room for them.

        Returns:
            [n, V] logits after the last token of each.
        """
        token_ids = [token for extension in extensions for token in extension.token_ids]
        positions = [extension.start + offset for extension in extensions for offset in range(len(extension.token_ids))]
        lengths = [len(extension.token_ids) for extension in extensions]
        last = torch.tensor(lengths).cumsum(0) - 1
        hidden = self._forward(token_ids, positions, self._attend_sequences(extensions, lengths))
        return self._logits(hidden[last.to(self.device)])

    def decode(self, token_ids: Sequence[int], positions: Sequence[int], sharing: Sharing | None = None) -> Tensor:
        """Computes one token of each sequence; sequence i has row i of the cache.

        Args:
            token_ids, positions: [n]
            sharing: the prompts that are stored apart; the rows of those who continue them begin after the prompt.

        Returns:
            [n, V] logits.
        """
        return self._logits(self._forward(token_ids, positions, self._attend_rows(positions, sharing)))

    def _forward(self, token_ids: Sequence[int], positions: Sequence[int], attend: Attend) -> Tensor:
        """[T, H] hidden states, before the final norm."""
        view, config, num_tokens = self.view, self.config, len(token_ids)
        padding = [0] * (MIN_ROWS - num_tokens)

        def attend_real(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            attended = attend(layer, queries[:num_tokens], keys[:num_tokens], values[:num_tokens])
            return _pad_rows(attended) if padding else attended

        # An fp32 residual stream, as in the policy.
        x = view.embedding[torch.tensor([*token_ids, *padding], device=self.device)].float()
        cos, sin = self.rotary(torch.tensor([*positions, *padding], device=self.device))
        rotary = cos.to(view.dtype), sin.to(view.dtype)
        for layer, weights in enumerate(view.layers):
            x = decoder_layer(
                x,
                weights,
                layer,
                config.head_size,
                config.norm_epsilon,
                rotary if config.rope_layers[layer] else None,
                attend_real,
            )
        return x[:num_tokens]

    def _logits(self, hidden: Tensor) -> Tensor:
        normed = rms_norm(hidden, self.view.final_norm, self.config.norm_epsilon)
        return linear(_pad_rows(normed), self.view.head)[: len(hidden)]

    def _attend_sequences(self, extensions: Sequence[Extension], lengths: list[int]) -> Attend:
        """Each sequence's new tokens attend its own row of the cache, themselves included."""
        masks = {
            (extension.start, length, extension.cache.capacity, window): self._mask(
                torch.arange(extension.start, extension.start + length), extension.cache.capacity, window
            )
            for extension, length in zip(extensions, lengths, strict=True)
            for window in set(self.config.windows)
        }

        def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            parts = zip(extensions, queries.split(lengths), keys.split(lengths), values.split(lengths), strict=True)
            attended = []
            for extension, q, k, v in parts:
                end = extension.start + len(q)
                row_keys, row_values = extension.cache.layers[layer][:, extension.slot]
                row_keys[:, extension.start : end] = k.transpose(0, 1)
                row_values[:, extension.start : end] = v.transpose(0, 1)
                mask = masks[extension.start, len(q), extension.cache.capacity, self.config.windows[layer]]
                for some, their_mask in zip(q.split(MAX_QUERIES), mask.split(MAX_QUERIES), strict=True):
                    attended.append(self._attend_row(some, row_keys, row_values, their_mask))
            return torch.cat(attended)

        return attend

    def _attend_row(self, queries: Tensor, row_keys: Tensor, row_values: Tensor, mask: Tensor) -> Tensor:
        """Several queries [T, Q, D] over one row [K, C, D] of the cache, by the same products as `_attend_rows`."""
        num_queries, num_kv_heads = len(queries), len(row_keys)
        grouped = (queries * self.scale).unflatten(1, (num_kv_heads, self.group_size)).permute(1, 2, 0, 3).flatten(1, 2)
        scores = torch.bmm(_pad_rows(grouped, dim=1), row_keys.transpose(1, 2))[:, : grouped.shape[1]]
        weights = (scores.unflatten(1, (self.group_size, num_queries)) + mask).softmax(dim=-1).flatten(1, 2)
        attended = torch.bmm(_pad_rows(weights, dim=1), row_values)[:, : grouped.shape[1]]
        return attended.unflatten(1, (self.group_size, num_queries)).permute(2, 0, 1, 3).flatten(1, 2)

    def _attend_rows(self, positions: Sequence[int], sharing: Sharing | None) -> Attend:
        """Each sequence's one new token attends its row of the cache, as two batched products over whole rows, and the
        shared prompt that it continues."""
        num_sequences, num_kv_heads = len(positions), self.config.num_kv_heads
        position_n = torch.tensor(positions, device=self.device)
        row_n = torch.arange(num_sequences, device=self.device)
        prompts = None
        if sharing is not None:
            prompts = SharedAttention(sharing, position_n, self.config.windows, num_kv_heads, self.view.dtype)
        start_n = torch.zeros_like(position_n) if prompts is None else prompts.start_n
        column_n = position_n - start_n
        masks = {
            window: self._mask(position_n, self.cache.capacity, window, start_n).repeat_interleave(num_kv_heads, dim=0)[
                :, None
            ]
            for window in set(self.config.windows)
        }

        def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            cached_keys, cached_values = self.cache.layers[layer]
            cached_keys[row_n, :, column_n] = keys
            cached_values[row_n, :, column_n] = values
            row_keys, row_values = self.cache.rows(layer, num_sequences)
            grouped = (queries * self.scale).reshape(num_sequences * num_kv_heads, self.group_size, -1)
            scores = torch.bmm(grouped, row_keys.transpose(1, 2)).add_(masks[self.config.windows[layer]])
            if prompts is None:
                return torch.bmm(scores.softmax(dim=-1), row_values).view(queries.shape)
            prompt_scores = prompts.scores(layer, grouped)
            weights = torch.cat((prompt_scores, scores), dim=-1).softmax(dim=-1)
            on_prompt, on_row = weights.split((prompt_scores.shape[-1], scores.shape[-1]), dim=-1)
            attended = torch.bmm(on_row, row_values) + prompts.attended(layer, on_prompt)
            return attended.view(queries.shape)

        return attend

    def _mask(self, position_T: Tensor, capacity: int, window: int | None, start_T: Tensor | None = None) -> Tensor:
        """[T, C] what to add to scores: -inf where a query at this position does not see this column of its row, whose
        first token is at `start`; 0 where none is given."""
        columns_C = torch.arange(capacity, device=self.device)
        offset_T1 = (position_T.to(self.device) if start_T is None else position_T - start_T)[:, None]
        unseen_TC = columns_C > offset_T1
        if window is not None:
            unseen_TC |= columns_C <= offset_T1 - window
        mask_TC = torch.zeros(unseen_TC.shape, dtype=self.view.dtype, device=self.device)
        return mask_TC.masked_fill_(unseen_TC, -torch.inf)


def _pad_rows(x: Tensor, dim: int = 0) -> Tensor:
    """Rows of zeros until there are MIN_ROWS."""
    missing = MIN_ROWS - x.shape[dim]
    return x if missing <= 0 else F.pad(x, (0, 0) * (x.dim() - dim - 1) + (0, missing))
