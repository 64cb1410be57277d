"""Attention over a packed batch: each token sees its own segment and that segment's prefix, up to its position.

Shape letters: T packed tokens, Q query heads, K key-value heads, D head size.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

MAX_FAMILY_TOKENS = 1024
"""Up to this many tokens a prefix and its continuations are attended as one masked block. Larger families go segment by
segment: a block costs the square of its tokens, but each call has a cost of its own."""


@dataclass(frozen=True)
class _Block:
    """Queries that are attended in one call, over their own keys and those of another block. Blocks partition T."""

    start: int
    end: int
    prefix: int | None
    """Index of the block that holds the prefix, where this one does not."""


class PackedAttention:
    """Who sees whom in one packed batch; made once, used by every layer.

    Works block by block, so it costs the sum of the squares of the blocks and not the square of the batch.
    """

    def __init__(
        self,
        segment_ids: Tensor,
        prefix_segments: Tensor,
        position_ids: Tensor,
        *,
        max_family_tokens: int = MAX_FAMILY_TOKENS,
    ) -> None:
        """Takes [T], [num_segments] and [T] int64, as in `Batch`: segments in order, positions ascending in each."""
        self._segments = segment_ids
        self._prefix_of_token = prefix_segments[segment_ids]
        self._positions = position_ids
        lengths = torch.bincount(segment_ids, minlength=len(prefix_segments)).tolist()
        self._blocks = _blocks(lengths, prefix_segments.tolist(), max_family_tokens)
        self._masks: dict[int | None, list[Tensor | None]] = {}

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor, window: int | None) -> Tensor:
        """Softmax attention scaled by 1 / sqrt(D).

        Args:
            queries: [T, Q, D].
            keys, values: [T, K, D]; query head h uses key-value head h // (Q / K).
            window: a token sees itself and the window - 1 positions before it; None: all.

        Returns:
            [T, Q, D], in the dtype of the queries.
        """
        dtype = queries.dtype
        if queries.device.type == "cpu" and dtype.itemsize < 4:
            # For short blocks the CPU's fused kernel takes twice as long backward in bf16 as in fp32.
            queries, keys, values = queries.float(), keys.float(), values.float()
        # [1, heads, T, D], the layout that the fused kernels take.
        # Split, not sliced: the gradient of a slice is as large as what it was taken from.
        lengths = [block.end - block.start for block in self._blocks]
        q, k, v = (x.transpose(0, 1).unsqueeze(0).split(lengths, 2) for x in (queries, keys, values))
        attended = []
        for index, (block, mask) in enumerate(zip(self._blocks, self._block_masks(window), strict=True)):
            k_seen, v_seen = k[index], v[index]
            if block.prefix is not None:
                k_seen = torch.cat((k[block.prefix], k_seen), 2)
                v_seen = torch.cat((v[block.prefix], v_seen), 2)
            attended.append(
                F.scaled_dot_product_attention(
                    q[index],
                    k_seen,
                    v_seen,
                    attn_mask=mask,
                    is_causal=mask is None,
                    enable_gqa=queries.shape[1] != keys.shape[1],
                )
            )
        return torch.cat(attended, 2).squeeze(0).transpose(0, 1).to(dtype)

    def _block_masks(self, window: int | None) -> list[Tensor | None]:
        """For each block [queries, keys] bool, True where the row's token sees the column's; None: plainly causal."""
        if window not in self._masks:
            self._masks[window] = [self._mask(block, window) for block in self._blocks]
        return self._masks[window]

    def _mask(self, block: _Block, window: int | None) -> Tensor | None:
        rows = torch.arange(block.start, block.end, device=self._positions.device)
        columns = rows
        if block.prefix is not None:
            prefix = self._blocks[block.prefix]
            columns = torch.cat((torch.arange(prefix.start, prefix.end, device=rows.device), rows))
        distance = self._positions[rows][:, None] - self._positions[columns][None, :]
        segments = self._segments[columns][None, :]
        seen = (segments == self._segments[rows][:, None]) | (segments == self._prefix_of_token[rows][:, None])
        mask = seen & (distance >= 0)
        if window is not None:
            mask &= distance < window
        if block.prefix is None and torch.equal(mask, torch.ones_like(mask).tril()):
            return None
        return mask


def _blocks(lengths: Sequence[int], prefixes: Sequence[int], max_family_tokens: int) -> list[_Block]:
    """One block for each prefix with the continuations laid down right after it; one for each segment of a family that
    is too large, or that lies apart from its prefix."""
    starts = list(itertools.accumulate(lengths, initial=0))
    blocks: list[_Block] = []
    block_of_segment: dict[int, int] = {}
    segment = 0
    while segment < len(lengths):
        after = segment + 1
        while after < len(lengths) and prefixes[after] == segment:
            after += 1
        if prefixes[segment] == segment and starts[after] - starts[segment] <= max_family_tokens:
            after_block, prefix = after, None
        else:
            after_block = segment + 1
            prefix = None if prefixes[segment] == segment else block_of_segment[prefixes[segment]]
        block_of_segment |= dict.fromkeys(range(segment, after_block), len(blocks))
        blocks.append(_Block(starts[segment], starts[after_block], prefix))
        segment = after_block
    return blocks
