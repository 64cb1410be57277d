"""Attention over a packed batch: each token sees its own segment and those that it goes on from, up to its position.

Shape letters: T packed tokens, Q query heads, K key-value heads, D head size.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from assay.kernels.packed_attention import CompiledPackedAttention

MAX_FAMILY_TOKENS = 1024
"""Largest number of tokens of a prefix and its continuations that are attended as one masked block. Larger families go
segment by segment: a block costs the square of its tokens, but each call has a cost of its own."""

MAX_COMPILED_TOKENS = 8192
"""Largest number of keys of a tile of queries that `assay.kernels` attends: it lays all of them down for the tile."""


@dataclass(frozen=True)
class _Block:
    """Queries that are attended in one call, over their own keys and those of other blocks. Blocks partition T."""

    start: int
    end: int
    prefixes: tuple[int, ...]
    """Indices of the blocks that hold what this one goes on from, in order of their positions."""


class PackedAttention:
    """The attention pattern of one packed batch (who sees whom); made once, used by every layer.

    Works block by block, so it costs the sum of the squares of the blocks and not the square of the batch.
    """

    def __init__(
        self,
        segment_ids: Tensor,
        prefix_segments: Tensor,
        position_ids: Tensor,
        *,
        max_family_tokens: int = MAX_FAMILY_TOKENS,
        compiled: bool = False,
    ) -> None:
        """
        Args:
            segment_ids, prefix_segments, position_ids: [T], [num_segments] and [T] int64, as in `Batch`: segments in
                order, positions ascending in each.
            compiled: whether queries, keys and values are such as `assay.kernels` has a form for.
        """
        self._segments = segment_ids
        self._ancestors = _ancestors(prefix_segments)[:, segment_ids]
        self._positions = position_ids
        self._num_positions = int(position_ids.max()) + 1 if len(position_ids) else 0
        lengths = torch.bincount(segment_ids, minlength=len(prefix_segments)).tolist()
        self._blocks = _blocks(lengths, prefix_segments.tolist(), max_family_tokens)
        self._masks: dict[int | None, list[Tensor | None]] = {}
        self._compiled = _compiled(lengths, prefix_segments.tolist(), position_ids.tolist()) if compiled else None

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor, window: int | None) -> Tensor:
        """Softmax attention scaled by 1 / sqrt(D).

        Args:
            queries: [T, Q, D].
            keys, values: [T, K, D]; query head h uses key-value head h // (Q / K).
            window: a token sees itself and the window - 1 positions before it; None: all.

        Returns:
            [T, Q, D], in the dtype of the queries.
        """
        fits = queries.dtype in (torch.bfloat16, torch.float32) and queries.device.type == "cpu"
        if self._compiled is not None and fits and (window is None or window >= self._num_positions):
            return _Compiled.apply(queries, keys, values, self._compiled)  # pyright: ignore[reportReturnType]
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
            if block.prefixes:
                k_seen = torch.cat((*(k[prefix] for prefix in block.prefixes), k_seen), 2)
                v_seen = torch.cat((*(v[prefix] for prefix in block.prefixes), v_seen), 2)
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
        """Return the masks, for each block [queries, keys] bool, True where the row's token sees the column's; None
        where plainly causal."""
        if window not in self._masks:
            self._masks[window] = [self._mask(block, window) for block in self._blocks]
        return self._masks[window]

    def _mask(self, block: _Block, window: int | None) -> Tensor | None:
        rows = torch.arange(block.start, block.end, device=self._positions.device)
        seen_blocks = [self._blocks[prefix] for prefix in block.prefixes]
        columns = torch.cat([*(torch.arange(b.start, b.end, device=rows.device) for b in seen_blocks), rows])
        distance = self._positions[rows][:, None] - self._positions[columns][None, :]
        segments = self._segments[columns][None, :]
        mask = (segments[None] == self._ancestors[:, rows, None]).any(0) & (distance >= 0)
        if window is not None:
            mask &= distance < window
        if not block.prefixes and torch.equal(mask, torch.ones_like(mask).tril()):
            return None
        return mask


def _ancestors(prefix_segments: Tensor) -> Tensor:
    """[depth, num_segments] each segment itself, the one it goes on from, and so on; the last one repeated."""
    rows = [torch.arange(len(prefix_segments), device=prefix_segments.device)]
    while not torch.equal(prefix_segments[rows[-1]], rows[-1]):
        rows.append(prefix_segments[rows[-1]])
    return torch.stack(rows)


def _blocks(lengths: Sequence[int], prefixes: Sequence[int], max_family_tokens: int) -> list[_Block]:
    """Return one block for each family: a segment with the continuations laid down right after it. A family that is too
    large, or that lies apart, gets one block for each segment. An opening that families go on from is a block of its
    own."""
    starts = list(itertools.accumulate(lengths, initial=0))
    with_children = {prefix for segment, prefix in enumerate(prefixes) if prefix != segment}
    openings = {prefixes[segment] for segment in with_children if prefixes[segment] != segment}
    blocks: list[_Block] = []
    block_of_segment: dict[int, int] = {}
    segment = 0
    while segment < len(lengths):
        after = segment + 1
        if segment not in openings:
            while after < len(lengths) and prefixes[after] == segment:
                after += 1
        if starts[after] - starts[segment] > max_family_tokens:
            after = segment + 1
        # What the block goes on from, the root first: of a family its opening, of a segment apart its prefix too.
        seen: list[int] = []
        ancestor = segment
        while prefixes[ancestor] != ancestor:
            ancestor = prefixes[ancestor]
            seen.insert(0, block_of_segment[ancestor])
        block_of_segment |= dict.fromkeys(range(segment, after), len(blocks))
        # Several ancestors may lie in one block.
        blocks.append(_Block(starts[segment], starts[after], tuple(dict.fromkeys(seen))))
        segment = after
    return blocks


class _Compiled(torch.autograd.Function):
    """`CompiledPackedAttention` with its gradient, which has none of its own."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, attention: CompiledPackedAttention) -> Tensor:
        queries, keys, values = (_side_by_side(x) for x in (queries, keys, values))
        attended, sums = attention.forward(queries, keys, values)
        ctx.save_for_backward(queries, keys, values, sums)
        ctx.attention = attention
        return attended

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return *ctx.attention.backward(*ctx.saved_tensors, gradients[0].contiguous()), None


def _side_by_side(x: Tensor) -> Tensor:
    return x if x.stride(2) == 1 and x.stride(1) == x.shape[2] else x.contiguous()


def _compiled(
    lengths: Sequence[int], prefixes: Sequence[int], positions: Sequence[int]
) -> CompiledPackedAttention | None:
    """Return the compiled attention of a batch, or None where it does not apply. The kernel takes for granted that a
    continuation sees all of what it goes on from, and is fast up to MAX_COMPILED_TOKENS only."""
    from assay.kernels.packed_attention import CompiledPackedAttention

    segments = list(itertools.pairwise(itertools.accumulate(lengths, initial=0)))
    last: list[int] = []
    for segment, ((start, end), prefix) in enumerate(zip(segments, prefixes, strict=True)):
        before = -1 if prefix == segment else last[prefix]
        # A segment that starts before the last position of its prefix must not see all of it: the kernel cannot mask.
        if start < end and before >= positions[start]:
            return None
        last.append(positions[end - 1] if start < end else before)
    attention = CompiledPackedAttention(segments, prefixes)
    return attention if attention.most_seen <= MAX_COMPILED_TOKENS else None
