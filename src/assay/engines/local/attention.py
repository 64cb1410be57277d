"""Attention of the new tokens of many sequences, each over the pages of its own.

On a CPU by `kernels.attention`, whose result for a token does not depend on the rest of the pass. Elsewhere, and for
head sizes that it has no form for, by batched products over gathered pages: sequences whose new tokens are about as
many, and that reach as far, go into one product, padded to a multiple of PADDING.

Shape letters: T new tokens of all sequences, n sequences, W most pages of one, P new tokens of one with padding,
Q query heads, K key-value heads, G = Q / K, C columns (tokens of gathered pages), D head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from assay import kernels
from assay.engines.local.pages import PAGE, PagePool
from assay.policies.config import DecoderConfig

if TYPE_CHECKING:
    from assay.kernels.attention import CompiledPageAttention

PADDING = 4
"""New tokens of a batch are a multiple of this many. Products of fewer rows sum in another order."""

MAX_QUERIES = 512
"""Queries of one sequence that attend at once: bounds the scores of a long prompt."""

MAX_SCORES = 2**22
"""Scores of one batch: few enough to stay in the processor's cache."""

Write = tuple[int, int, int]
"""A new token among the T of a pass, the page that its key and value go to, and where in it."""


@dataclass(frozen=True)
class NewTokens:
    """New tokens of one sequence."""

    token_ids: Sequence[int]
    start: int
    """Position of the first of them."""
    pages: Sequence[int]
    """Pages of the sequence, up to its last new token at least."""


@dataclass(frozen=True)
class Pass:
    """New tokens of many sequences, end to end, and where their keys and values go. A token may see keys that the same
    pass computes for another sequence."""

    extensions: list[NewTokens] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    is_decode: bool = False
    """True where every sequence has one new token, which no other one sees."""


class PageAttention:
    """Attention of one pass; made once, used by every layer."""

    def __init__(self, work: Pass, pool: PagePool, config: DecoderConfig) -> None:
        self.pool, self.config = pool, config
        self.compiled = _compile(work) if compiles(config, pool.dtype, pool.device) else None
        self.writes_apart = self.compiled is None or not work.is_decode
        if self.writes_apart:
            self.token_N, self.page_N, self.offset_N = _on(pool, np.array(work.writes, dtype=np.int64).reshape(-1, 3).T)
        if self.compiled is None:
            self.plain = _PlainAttention(work, pool, config)

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Writes keys and values [T, K, D] to their pages; what queries [T, Q, D] take from theirs, [T, Q, D]."""
        pages = self.pool.layers[layer]
        if self.writes_apart:
            pages[0][self.page_N, :, self.offset_N] = keys[self.token_N]
            pages[1][self.page_N, :, self.offset_N] = values[self.token_N]
        if self.compiled is not None:
            return self.compiled(queries, keys, values, pages, self.config.windows[layer])
        return self.plain(layer, queries)


def compiles(config: DecoderConfig, dtype: torch.dtype, device: torch.device | str) -> bool:
    """Return whether attention of such heads is compiled: its bits then depend on the sequence alone."""
    return kernels.attends_pages(config.head_size, dtype, device)


def _compile(work: Pass) -> CompiledPageAttention:
    # Imported here: only who can use numba has to have it.
    from assay.kernels.attention import CompiledPageAttention

    lengths = [len(extension.token_ids) for extension in work.extensions]
    starts = [extension.start for extension in work.extensions]
    sequence_T = np.repeat(np.arange(len(lengths)), lengths)
    position_T = np.concatenate([np.arange(s, s + n) for s, n in zip(starts, lengths, strict=True)])
    return CompiledPageAttention(
        sequence_T, position_T, _table([e.pages for e in work.extensions]), writes=work.is_decode
    )


def _table(pages: Sequence[Sequence[int]]) -> np.ndarray:
    """[n, W] int64; 0 beyond a sequence's last page."""
    table = np.zeros((len(pages), max(map(len, pages))), dtype=np.int64)
    for row, own in zip(table, pages, strict=True):
        row[: len(own)] = own
    return table


def _on(pool: PagePool, numbers: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(numbers)).to(pool.device)


@dataclass(frozen=True)
class _Piece:
    """A piece of at most MAX_QUERIES tokens of one extension."""

    extension: NewTokens
    first_token: int
    """Index of its first token among the T of the pass."""
    position: int
    length: int

    @property
    def padded(self) -> int:
        return -(-self.length // PADDING) * PADDING

    @property
    def num_pages(self) -> int:
        """Number of pages that hold what the piece sees."""
        return -(-(self.position + self.length) // PAGE)


@dataclass(frozen=True, eq=False)
class _Batch:
    """Pieces of one padded length over as many pages."""

    pages: Tensor
    """[n, W]"""
    tokens: Tensor
    """[n P] which of the T tokens; padding repeats the last."""
    masks: dict[int | None, Tensor]
    """Window to [n, 1, P, C], what to add to scores: -inf where a query does not see a column."""


class _PlainAttention:
    def __init__(self, work: Pass, pool: PagePool, config: DecoderConfig) -> None:
        self.pool, self.config = pool, config
        self.scale = config.head_size**-0.5
        pieces = _cut(work.extensions)
        batches = _gather(pieces, config.num_query_heads)
        self.batches = [self._batch(batch) for batch in batches]
        place_T = np.empty(sum(piece.length for piece in pieces), dtype=np.int64)
        place = 0
        for piece in (piece for batch in batches for piece in batch):
            place_T[piece.first_token : piece.first_token + piece.length] = np.arange(place, place + piece.length)
            place += piece.padded
        self.place_T = _on(pool, place_T)
        """[T] where the batches, one after another, have each token."""

    def __call__(self, layer: int, queries: Tensor) -> Tensor:
        attended = torch.cat([self._attend(layer, queries, batch) for batch in self.batches])
        return attended.index_select(0, self.place_T)

    def _attend(self, layer: int, queries: Tensor, batch: _Batch) -> Tensor:
        """[n P, Q, D]"""
        num_kv_heads, head_size = self.config.num_kv_heads, self.config.head_size
        mask = batch.masks[self.config.windows[layer]]
        num_sequences, _, padded, columns = mask.shape
        pages = self.pool.layers[layer][:, batch.pages]
        row_keys, row_values = pages.transpose(2, 3).reshape(2, num_sequences * num_kv_heads, columns, head_size)
        grouped = queries.index_select(0, batch.tokens).view(num_sequences, padded, num_kv_heads, -1, head_size)
        grouped = grouped.permute(0, 2, 3, 1, 4).reshape(num_sequences * num_kv_heads, -1, head_size)
        scores = torch.bmm(grouped, row_keys.transpose(1, 2))
        by_head = scores.view(num_sequences, -1, padded, columns)
        weights = torch.add(mask, by_head, alpha=self.scale).softmax(dim=-1).view(scores.shape)
        attended = torch.bmm(weights, row_values).view(num_sequences, num_kv_heads, -1, padded, head_size)
        return attended.permute(0, 3, 1, 2, 4).reshape(num_sequences * padded, -1, head_size)

    def _batch(self, pieces: Sequence[_Piece]) -> _Batch:
        num_pages, padded = pieces[0].num_pages, pieces[0].padded
        # Padding repeats the piece's last token, so that every index is valid; nobody reads its result.
        within_nP = np.stack([np.arange(padded).clip(max=piece.length - 1) for piece in pieces])
        tokens = _on(self.pool, within_nP + np.array([piece.first_token for piece in pieces])[:, None])
        position_nP = _on(self.pool, within_nP + np.array([piece.position for piece in pieces])[:, None])
        masks = {
            window: causal_mask(position_nP, num_pages * PAGE, window, self.pool.dtype)[:, None]
            for window in set(self.config.windows)
        }
        pages = _on(self.pool, np.array([piece.extension.pages[:num_pages] for piece in pieces], dtype=np.int64))
        return _Batch(pages, tokens.flatten(), masks)


def causal_mask(position: Tensor, columns: int, window: int | None, dtype: torch.dtype) -> Tensor:
    """Return the mask [..., C] to add to scores of queries at these positions [...] of a sequence: 0 where they see a
    column, -inf where it comes later or before the window."""
    columns_C = torch.arange(columns, device=position.device)
    unseen = columns_C > position[..., None]
    if window is not None:
        unseen |= columns_C <= position[..., None] - window
    return torch.zeros(unseen.shape, dtype=dtype, device=position.device).masked_fill_(unseen, -torch.inf)


def _cut(extensions: Sequence[NewTokens]) -> list[_Piece]:
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
    """Pieces of one padded length over as many pages together, as many as MAX_SCORES allows."""
    alike: dict[tuple[int, int], list[_Piece]] = {}
    for piece in pieces:
        alike.setdefault((piece.padded, piece.num_pages), []).append(piece)
    batches: list[list[_Piece]] = []
    for (padded, num_pages), members in alike.items():
        most = max(1, MAX_SCORES // (num_query_heads * padded * num_pages * PAGE))
        batches.extend(members[i : i + most] for i in range(0, len(members), most))
    return batches
