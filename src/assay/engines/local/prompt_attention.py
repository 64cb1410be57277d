"""Attention of prompts: the new tokens of many sequences at once, each over its own row of a cache.

A product for each sequence would cost more in starting operations than in computing. So sequences whose new tokens are
about as many go into one batched product, padded to a multiple of PADDING. It covers the part of their rows that they
reach into: a result does not depend on which other sequences are beside it, nor on how long those are.

Shape letters: T new tokens of all sequences, n sequences of a batch, P their new tokens with padding, Q query heads, K
key-value heads, G = Q / K, C columns of a cache row that a batch reaches into, D head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.engines.local.cache import GRANULE, KeyValueCache
from assay.policies.config import DecoderConfig

PADDING = 16
"""New tokens of a batch are a multiple of this many: the fewest rows of a product, see `runner.MIN_ROWS`."""

MAX_QUERIES = 512
"""Queries of one sequence that attend at once: bounds the scores of a long prompt."""

MAX_SCORES = 2**22
"""Scores of one batch: few enough to stay in the processor's cache."""


@dataclass(frozen=True)
class PromptExtension:
    """Tokens to compute at the end of one row of a cache."""

    cache: KeyValueCache
    slot: int
    start: int
    """Number of tokens that the row holds already."""
    token_ids: Sequence[int]


@dataclass(frozen=True)
class _Piece:
    """A piece of at most MAX_QUERIES tokens of one extension."""

    extension: PromptExtension
    first_token: int
    """Index of its first token among the T of the pass."""
    position: int
    length: int

    @property
    def padded(self) -> int:
        return -(-self.length // PADDING) * PADDING

    @property
    def columns(self) -> int:
        """Number of columns of its row that hold what the piece sees, rounded up to granules; a row has as many."""
        return -(-(self.position + self.length) // GRANULE) * GRANULE


@dataclass(frozen=True, eq=False)
class _Batch:
    """Pieces of one padded length over as many columns of one cache."""

    cache: KeyValueCache
    slots: slice | Tensor
    """[n] of the cache; a slice where they are neighbours, so that nothing is copied."""
    tokens: Tensor
    """[n P] which of the T tokens; padding repeats the last."""
    masks: dict[int | None, Tensor]
    """Window to [n, 1, P, C], what to add to scores: -inf where a query does not see a column."""


class PromptAttention:
    """Attention of one pass over new tokens; made once, used by every layer. The caches must have room for them.

    Args:
        extensions: their tokens are packed end to end, T in all.
        config: of the model.
        dtype: of scores.
    """

    def __init__(
        self,
        extensions: Sequence[PromptExtension],
        config: DecoderConfig,
        dtype: torch.dtype,
        device: torch.device | str,
    ) -> None:
        self.config, self.dtype, self.device = config, dtype, device
        self.scale = config.head_size**-0.5
        pieces = _cut(extensions)
        self.writes = [self._write(cache, pieces) for cache in dict.fromkeys(piece.extension.cache for piece in pieces)]
        batches = _gather(pieces, config.num_query_heads)
        self.batches = [self._batch(batch) for batch in batches]
        place_T = torch.empty(sum(piece.length for piece in pieces), dtype=torch.int64)
        place = 0
        for piece in (piece for batch in batches for piece in batch):
            place_T[piece.first_token : piece.first_token + piece.length] = torch.arange(place, place + piece.length)
            place += piece.padded
        self.place_T = place_T.to(device)
        """[T] where the batches, one after another, have each token."""

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Writes keys and values [T, K, D] to the caches; what queries [T, Q, D] take from them, [T, Q, D]."""
        for cache, token_T, slot_T, position_T in self.writes:
            cached_keys, cached_values = cache.layers[layer]
            cached_keys[slot_T, :, position_T] = keys[token_T]
            cached_values[slot_T, :, position_T] = values[token_T]
        attended = torch.cat([self._attend(layer, queries, batch) for batch in self.batches])
        return attended.index_select(0, self.place_T)

    def _attend(self, layer: int, queries: Tensor, batch: _Batch) -> Tensor:
        """[n P, Q, D]"""
        num_kv_heads, head_size = self.config.num_kv_heads, self.config.head_size
        mask = batch.masks[self.config.windows[layer]]
        num_sequences, _, padded, columns = mask.shape
        row_keys, row_values = batch.cache.layers[layer][:, batch.slots, :, :columns].flatten(1, 2)
        heads = (num_sequences, num_kv_heads, -1, padded, head_size)
        grouped = queries.index_select(0, batch.tokens).view(num_sequences, padded, num_kv_heads, -1, head_size)
        grouped = grouped.permute(0, 2, 3, 1, 4).reshape(num_sequences * num_kv_heads, -1, head_size)
        scores = torch.bmm(grouped, row_keys.transpose(1, 2))
        by_head = scores.view(num_sequences, -1, padded, columns)
        weights = torch.add(mask, by_head, alpha=self.scale).softmax(dim=-1).view(scores.shape)
        attended = torch.bmm(weights, row_values).view(heads)
        return attended.permute(0, 3, 1, 2, 4).reshape(num_sequences * padded, -1, head_size)

    def _write(self, cache: KeyValueCache, pieces: Sequence[_Piece]) -> tuple[KeyValueCache, Tensor, Tensor, Tensor]:
        """A cache, and of its new tokens: which of the T, their slots, their positions."""
        own = [piece for piece in pieces if piece.extension.cache is cache]
        tokens = [piece.first_token + i for piece in own for i in range(piece.length)]
        slots = [piece.extension.slot for piece in own for _ in range(piece.length)]
        positions = [piece.position + i for piece in own for i in range(piece.length)]
        token_T, slot_T, position_T = torch.tensor([tokens, slots, positions], device=self.device)
        return cache, token_T, slot_T, position_T

    def _batch(self, pieces: Sequence[_Piece]) -> _Batch:
        cache, padded, columns = pieces[0].extension.cache, pieces[0].padded, pieces[0].columns
        slots = [piece.extension.slot for piece in pieces]
        neighbours = slots == list(range(slots[0], slots[0] + len(slots)))
        offset_P = torch.arange(padded)
        # Padding repeats the piece's last token, so that every index is valid; nobody reads its result.
        within_nP = torch.stack([offset_P.clamp(max=piece.length - 1) for piece in pieces])
        token_nP = within_nP + torch.tensor([piece.first_token for piece in pieces])[:, None]
        position_nP = within_nP + torch.tensor([piece.position for piece in pieces])[:, None]
        masks = {window: self._mask(position_nP, columns, window) for window in set(self.config.windows)}
        where = slice(slots[0], slots[0] + len(slots)) if neighbours else torch.tensor(slots, device=self.device)
        return _Batch(cache, where, token_nP.flatten().to(self.device), masks)

    def _mask(self, position_nP: Tensor, columns: int, window: int | None) -> Tensor:
        return causal_mask(position_nP.to(self.device), columns, window, self.dtype)[:, None]


def causal_mask(position: Tensor, columns: int, window: int | None, dtype: torch.dtype) -> Tensor:
    """Return the mask [..., C] to add to scores of queries at these positions [...] of a row: 0 where they see a
    column, -inf where it comes later or before the window."""
    columns_C = torch.arange(columns, device=position.device)
    unseen = columns_C > position[..., None]
    if window is not None:
        unseen |= columns_C <= position[..., None] - window
    return torch.zeros(unseen.shape, dtype=dtype, device=position.device).masked_fill_(unseen, -torch.inf)


def _cut(extensions: Sequence[PromptExtension]) -> list[_Piece]:
    pieces: list[_Piece] = []
    first_token = 0
    for extension in extensions:
        # Later pieces see the keys of earlier ones: a pass writes all its keys before any query attends.
        for start in range(0, len(extension.token_ids), MAX_QUERIES):
            length = min(MAX_QUERIES, len(extension.token_ids) - start)
            pieces.append(_Piece(extension, first_token + start, extension.start + start, length))
        first_token += len(extension.token_ids)
    return pieces


def _gather(pieces: Sequence[_Piece], num_query_heads: int) -> list[list[_Piece]]:
    """Pieces of one cache, one padded length and as many columns together, as many as MAX_SCORES allows."""
    alike: dict[tuple[KeyValueCache, int, int], list[_Piece]] = {}
    for piece in pieces:
        alike.setdefault((piece.extension.cache, piece.padded, piece.columns), []).append(piece)
    batches: list[list[_Piece]] = []
    for (_, padded, columns), members in alike.items():
        most = max(1, MAX_SCORES // (num_query_heads * padded * columns))
        batches.extend(members[i : i + most] for i in range(0, len(members), most))
    return batches
