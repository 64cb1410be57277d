"""Attention of a packed batch, forward and backward, in float32 inside.

PyTorch's fused kernel for the CPU is made for long sequences. On packed ones of a hundred tokens it takes several times
as long as its products. Here an item is a tile of tokens of one key-value head. Its keys are laid down with one lane a
key, so that ROWS queries are scored at once in registers, and whole rows of scores stay in the processor's cache.
Backward, the scores are computed again, as in FlashAttention (Dao 2023, arXiv 2307.08691): once for the queries'
gradient and once for that of keys and values, so that no two items write to one place.

Shape letters: T packed tokens, Q query heads, K key-value heads, G = Q / K, D head size.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import llvmlite.binding
import numpy as np
import torch
from torch import Tensor

from assay.kernels.simd import (
    FORMS,
    dot,
    exp,
    fma,
    integer_at,
    largest,
    load_f32,
    maximum,
    mul,
    number_at,
    put_number,
    splat,
    stay_apart,
    store_f32,
    sub,
    total,
)
from assay.kernels.team import Kernel, compiled

LANES = 32 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 16
"""Numbers beside each other in a block of registers: for ROWS of them and two operands a processor has enough."""

ROWS = 6
"""Queries, or keys, that go through a product at once."""

TILE = 128
"""Tokens of an item at most."""

Range = tuple[int, int]


class CompiledPackedAttention:
    """The attention pattern of one packed batch (who sees whom), as tiles; made once, used by every layer.

    Args:
        segments: where each starts and ends; together they cover T.
        prefixes: the segment that each goes on from; itself where it begins.
    """

    def __init__(self, segments: Sequence[Range], prefixes: Sequence[int]) -> None:
        ancestors = [list(_ancestors(segment, prefixes)) for segment in range(len(segments))]
        followers: list[list[Range]] = [[] for _ in segments]
        for segment, seen in zip(segments, ancestors, strict=True):
            for ancestor in seen:
                followers[ancestor].append(segment)
        # [start, end, its segment's start or end, first and end of other ranges] of each tile.
        queries: list[list[int]] = []
        keys: list[list[int]] = []
        seen_ranges: list[Range] = []
        seeing_ranges: list[Range] = []
        for (start, end), seen, seeing in zip(segments, ancestors, followers, strict=True):
            first_seen, first_seeing = len(seen_ranges), len(seeing_ranges)
            seen_ranges += [segments[ancestor] for ancestor in reversed(seen)]
            seeing_ranges += seeing
            for tile in range(start, end, TILE):
                tile_end = min(tile + TILE, end)
                queries.append([tile, tile_end, start, first_seen, len(seen_ranges)])
                keys.append([tile, tile_end, end, first_seeing, len(seeing_ranges)])
        num_seen = [
            tile[1] - tile[2] + sum(end - start for start, end in seen_ranges[tile[3] : tile[4]]) for tile in queries
        ]
        self.most_seen = max(num_seen, default=0)
        """Tokens that a tile of queries sees at most: all of them are laid down for it."""
        self._queries, self._keys = _integers(queries, 5), _integers(keys, 5)
        # The long ones first, so that no thread begins one when the others are done.
        num_seeing = [
            tile[2] - tile[0] + sum(end - start for start, end in seeing_ranges[tile[3] : tile[4]]) for tile in keys
        ]
        self._queries = self._queries[np.argsort(num_seen)[::-1]]
        self._keys = self._keys[np.argsort(num_seeing)[::-1]]
        self._seen, self._seeing = _integers(seen_ranges, 2), _integers(seeing_ranges, 2)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Softmax attention scaled by 1 / sqrt(D).

        Args:
            queries: [T, Q, D] bf16 or fp32; heads lie side by side, as in all three.
            keys, values: [T, K, D] of the same dtype; query head h uses key-value head h // G.

        Returns:
            [T, Q, D] of that dtype, and [T, Q] fp32: the logarithm of each softmax's sum.
        """
        num_tokens, num_heads, head_size = queries.shape
        attended = torch.empty((num_tokens, num_heads, head_size), dtype=queries.dtype, device="cpu")
        sums = torch.empty((num_tokens, num_heads), dtype=torch.float32, device="cpu")
        _forward_kernel(head_size, queries.dtype)(
            len(self._queries) * keys.shape[1],
            1,
            *self._shared(queries, keys, values, self._queries, self._seen),
            attended.data_ptr(),
            sums.data_ptr(),
            space=_space(head_size, self.most_seen),
        )
        return attended, sums

    def backward(
        self, queries: Tensor, keys: Tensor, values: Tensor, sums: Tensor, gradient: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of `forward`'s attended values by queries, keys and values, [T, heads, D] each.

        Args:
            sums: what `forward` gave beside them.
            gradient: [T, Q, D] contiguous, by the attended values.
        """
        num_tokens, num_heads, head_size = queries.shape
        by_queries = torch.empty((num_tokens, num_heads, head_size), dtype=queries.dtype, device="cpu")
        by_keys, by_values = (torch.empty(keys.shape, dtype=keys.dtype, device="cpu") for _ in range(2))
        # The mean of the gradients of a softmax's weights, which it takes off each of them.
        taken_off = torch.empty_like(sums)
        # These also compute `taken_off`, which the keys' need.
        _queries_kernel(head_size, queries.dtype)(
            len(self._queries) * keys.shape[1],
            1,
            *self._shared(queries, keys, values, self._queries, self._seen),
            sums.data_ptr(),
            gradient.data_ptr(),
            taken_off.data_ptr(),
            by_queries.data_ptr(),
            space=_space(head_size, self.most_seen),
        )
        # Queries that a tile of keys takes at once: whole tokens, then rounded up.
        group_size = num_heads // keys.shape[1]
        at_once = -(-48 // group_size)
        num_rows = -(-at_once * group_size // ROWS) * ROWS
        width = TILE + ROWS + LANES
        _keys_kernel(head_size, queries.dtype)(
            len(self._keys) * keys.shape[1],
            1,
            *self._shared(queries, keys, values, self._keys, self._seeing),
            sums.data_ptr(),
            gradient.data_ptr(),
            taken_off.data_ptr(),
            by_keys.data_ptr(),
            by_values.data_ptr(),
            at_once,
            num_rows,
            space=4 * head_size * width + 2 * num_rows * (width + head_size),
        )
        return by_queries, by_keys, by_values

    @staticmethod
    def _shared(queries: Tensor, keys: Tensor, values: Tensor, tiles: np.ndarray, ranges: np.ndarray) -> list[int]:
        """Arguments 7 to 16 of every kernel."""
        num_kv_heads = keys.shape[1]
        return [
            num_kv_heads,
            queries.shape[1] // num_kv_heads,
            tiles.ctypes.data,
            ranges.ctypes.data,
            queries.data_ptr(),
            queries.stride(0),
            keys.data_ptr(),
            keys.stride(0),
            values.data_ptr(),
            values.stride(0),
        ]


def _ancestors(segment: int, prefixes: Sequence[int]) -> Iterator[int]:
    """Yield the segment that this one goes on from, the one that that goes on from, and so on."""
    while prefixes[segment] != segment:
        segment = prefixes[segment]
        yield segment


def _space(head_size: int, num_seen: int) -> int:
    """Numbers that a tile of queries needs: keys and values as columns, one of them as rows, and its ROWS queries'."""
    width = num_seen + LANES
    return (2 * head_size + 2 * ROWS) * width + (num_seen + 4 * ROWS) * head_size


def _integers(rows: Sequence[Sequence[int]], width: int) -> np.ndarray:
    return np.array(rows, dtype=np.int64).reshape(len(rows), width)


@compiled
def _whole(count: int) -> int:
    """Return a count rounded up to LANES."""
    return (count + LANES - 1) // LANES * LANES


@functools.cache
def _parts(head_size: int, dtype: torch.dtype) -> tuple[Any, ...]:
    """Return the functions that the kernels consist of. Rows are fp32 [n, D], columns fp32 [D, width], both without
    gaps."""
    load, store, _, as_loaded, in_own_order, bytes_each = FORMS[dtype]

    @compiled
    def read_rows(source: int, stride: int, start: int, end: int, rows_at: int) -> None:
        """Rows of one head, `stride` numbers from token to token."""
        stay_apart()
        for token in range(start, end):
            row = load(source + token * stride * bytes_each, head_size)
            store_f32(rows_at + (token - start) * head_size * 4, in_own_order(row))

    @compiled
    def turn(rows_at: int, count: int, columns_at: int, width: int) -> None:
        """Transpose rows to columns; columns beyond are 0."""
        stay_apart()
        for first in range(0, count, 16):
            last = min(first + 16, count)
            for place in range(head_size):
                for column in range(first, last):
                    number = number_at(rows_at + (column * head_size + place) * 4)
                    put_number(columns_at + (place * width + column) * 4, number)
        for place in range(head_size):
            _fill(columns_at + place * width * 4, count, width, 0.0)

    @compiled
    def score(rows_at: int, columns_at: int, width: int, visible: int, scores_at: int) -> None:
        """ROWS rows times columns: [ROWS, width], the first `visible` of each, and some more."""
        stay_apart()
        for column in range(0, visible, LANES):
            s0 = s1 = s2 = s3 = s4 = s5 = splat(np.float32(0), LANES)
            for place in range(head_size):
                numbers = load_f32(columns_at + (place * width + column) * 4, LANES)
                s0 = fma(splat(number_at(rows_at + place * 4), LANES), numbers, s0)
                s1 = fma(splat(number_at(rows_at + (head_size + place) * 4), LANES), numbers, s1)
                s2 = fma(splat(number_at(rows_at + (2 * head_size + place) * 4), LANES), numbers, s2)
                s3 = fma(splat(number_at(rows_at + (3 * head_size + place) * 4), LANES), numbers, s3)
                s4 = fma(splat(number_at(rows_at + (4 * head_size + place) * 4), LANES), numbers, s4)
                s5 = fma(splat(number_at(rows_at + (5 * head_size + place) * 4), LANES), numbers, s5)
            at = scores_at + column * 4
            store_f32(at, s0)
            store_f32(at + width * 4, s1)
            store_f32(at + 2 * width * 4, s2)
            store_f32(at + 3 * width * 4, s3)
            store_f32(at + 4 * width * 4, s4)
            store_f32(at + 5 * width * 4, s5)

    @compiled
    def mix(factors_at: int, along: int, across: int, first: int, end: int, rows_at: int, sums_at: int) -> None:
        """Adds to each of ROWS rows of sums the rows first .. end-1, times factors: `across` numbers from one sum's
        factor to the next one's, `along` from one row's to the next one's."""
        stay_apart()
        for place in range(0, head_size, LANES):
            at = sums_at + place * 4
            s0, s1 = load_f32(at, LANES), load_f32(at + head_size * 4, LANES)
            s2, s3 = load_f32(at + 2 * head_size * 4, LANES), load_f32(at + 3 * head_size * 4, LANES)
            s4, s5 = load_f32(at + 4 * head_size * 4, LANES), load_f32(at + 5 * head_size * 4, LANES)
            for row in range(first, end):
                numbers = load_f32(rows_at + (row * head_size + place) * 4, LANES)
                factor = factors_at + row * along * 4
                s0 = fma(splat(number_at(factor), LANES), numbers, s0)
                s1 = fma(splat(number_at(factor + 4 * across), LANES), numbers, s1)
                s2 = fma(splat(number_at(factor + 8 * across), LANES), numbers, s2)
                s3 = fma(splat(number_at(factor + 12 * across), LANES), numbers, s3)
                s4 = fma(splat(number_at(factor + 16 * across), LANES), numbers, s4)
                s5 = fma(splat(number_at(factor + 20 * across), LANES), numbers, s5)
            store_f32(at, s0)
            store_f32(at + head_size * 4, s1)
            store_f32(at + 2 * head_size * 4, s2)
            store_f32(at + 3 * head_size * 4, s3)
            store_f32(at + 4 * head_size * 4, s4)
            store_f32(at + 5 * head_size * 4, s5)

    @compiled
    def write_row(row_at: int, factor: float, target: int) -> None:
        """Write an fp32 row times a factor."""
        row = as_loaded(load_f32(row_at, head_size))
        store(target, mul(row, splat(np.float32(factor), head_size)))

    @compiled
    def read_scaled(source: int, factor: float, row_at: int) -> None:
        """Read a row times a factor as fp32."""
        row = in_own_order(load(source, head_size))
        store_f32(row_at, mul(row, splat(np.float32(factor), head_size)))

    return read_rows, turn, score, mix, write_row, read_scaled


@compiled
def _weights(scores_at: int, limit: int, visible: int, log_sum: float) -> None:
    """Turn scores into e^(score - log_sum), in place; 0 from `limit` to where `visible` is rounded up."""
    stay_apart()
    off = splat(np.float32(log_sum), LANES)
    for column in range(0, limit, LANES):
        store_f32(scores_at + column * 4, exp(sub(load_f32(scores_at + column * 4, LANES), off)))
    _fill(scores_at, limit, _whole(visible), 0.0)


@compiled
def _fill(row_at: int, start: int, end: int, number: float) -> None:
    for column in range(start, end):
        put_number(row_at + column * 4, np.float32(number))


@compiled
def _by_scores(weights_at: int, gradients_at: int, limit: int, visible: int, taken_off: float) -> None:
    """Turn gradients by weights into gradients by scores, in place; 0 from `limit` to where `visible` is rounded up."""
    stay_apart()
    off = splat(np.float32(taken_off), LANES)
    for column in range(0, limit, LANES):
        at = gradients_at + column * 4
        store_f32(at, mul(load_f32(weights_at + column * 4, LANES), sub(load_f32(at, LANES), off)))
    _fill(gradients_at, limit, _whole(visible), 0.0)


@functools.cache
def _reader(head_size: int, dtype: torch.dtype) -> Any:
    read_rows = _parts(head_size, dtype)[0]

    @compiled
    def read_seen(source: int, stride: int, ranges_at: int, tile_at: int, rows_at: int) -> None:
        """Rows of the tokens that a tile of queries sees, in order of their positions."""
        stay_apart()
        for index in range(integer_at(tile_at + 24), integer_at(tile_at + 32)):
            start, end = integer_at(ranges_at + index * 16), integer_at(ranges_at + index * 16 + 8)
            read_rows(source, stride, start, end, rows_at)
            rows_at += (end - start) * head_size * 4
        read_rows(source, stride, integer_at(tile_at + 16), integer_at(tile_at + 8), rows_at)

    return read_seen


@compiled
def _num_seen(ranges_at: int, tile_at: int) -> int:
    count = integer_at(tile_at + 8) - integer_at(tile_at + 16)
    for index in range(integer_at(tile_at + 24), integer_at(tile_at + 32)):
        count += integer_at(ranges_at + index * 16 + 8) - integer_at(ranges_at + index * 16)
    return count


@functools.cache
def _forward_kernel(head_size: int, dtype: torch.dtype) -> Kernel:
    _, turn, score, mix, write_row, read_scaled = _parts(head_size, dtype)
    read_seen = _reader(head_size, dtype)
    row_bytes = head_size * 4
    scale, bytes_each = float(head_size**-0.5), dtype.itemsize

    def attend(args: Any, item: int, space: int) -> None:
        # Arguments 7 to 16 as in `_shared`; 17 attended values, 18 logarithms of the softmax's sums.
        stay_apart()
        num_kv_heads, group_size = args[7], args[8]
        head = item % num_kv_heads
        tile_at = args[9] + item // num_kv_heads * 40
        start, end = integer_at(tile_at), integer_at(tile_at + 8)
        num_heads = num_kv_heads * group_size
        num_seen = _num_seen(args[10], tile_at)
        width = _whole(num_seen)
        columns_at = space
        scores_at = columns_at + width * row_bytes
        rows_at = scores_at + ROWS * width * 4
        queries_at = rows_at + num_seen * row_bytes
        sums_at = queries_at + ROWS * row_bytes
        shares_at = sums_at + ROWS * row_bytes
        read_seen(args[13] + head * head_size * bytes_each, args[14], args[10], tile_at, rows_at)
        turn(rows_at, num_seen, columns_at, width)
        # The keys stay as columns, for the scores; the values take the place of their rows.
        read_seen(args[15] + head * head_size * bytes_each, args[16], args[10], tile_at, rows_at)
        # A row is a token and one of the G query heads that share the key-value head.
        num_rows = (end - start) * group_size
        # Token t sees the first `before + t` columns: those of its prefixes, then its own segment's up to itself.
        before = num_seen - end + 1
        for first in range(0, num_rows, ROWS):
            for i in range(ROWS):
                # Beyond the tile's last row it is computed again, and not written.
                row = min(first + i, num_rows - 1)
                token, member = start + row // group_size, row % group_size
                source = args[11] + (token * args[12] + (head * group_size + member) * head_size) * bytes_each
                read_scaled(source, scale, queries_at + i * row_bytes)
            visible = before + start + min(first + ROWS - 1, num_rows - 1) // group_size
            score(queries_at, columns_at, width, visible, scores_at)
            _fill(sums_at, 0, ROWS * head_size, 0.0)
            for i in range(ROWS):
                row = min(first + i, num_rows - 1)
                token, member = start + row // group_size, row % group_size
                limit = before + token
                at = scores_at + i * width * 4
                # Scores are read in whole blocks: none beyond the limit may be the largest.
                _fill(at, limit, _whole(limit), -np.inf)
                top_lanes = load_f32(at, LANES)
                for column in range(LANES, limit, LANES):
                    top_lanes = maximum(top_lanes, load_f32(at + column * 4, LANES))
                top = largest(top_lanes)
                _weights(at, limit, visible, top)
                weight_sum = np.float32(0)
                for column in range(0, limit, LANES):
                    weight_sum += total(load_f32(at + column * 4, LANES))
                put_number(args[18] + (token * num_heads + head * group_size + member) * 4, top + np.log(weight_sum))
                put_number(shares_at + i * 4, np.float32(1) / weight_sum)
            mix(scores_at, 1, width, 0, visible, rows_at, sums_at)
            for i in range(min(ROWS, num_rows - first)):
                token, member = start + (first + i) // group_size, (first + i) % group_size
                place = token * num_heads + head * group_size + member
                write_row(
                    sums_at + i * row_bytes, number_at(shares_at + i * 4), args[17] + place * head_size * bytes_each
                )

    return Kernel(attend)


@functools.cache
def _queries_kernel(head_size: int, dtype: torch.dtype) -> Kernel:
    """Return the kernel of the queries' gradients, which also computes what the softmax takes off."""
    _, turn, score, mix, write_row, read_scaled = _parts(head_size, dtype)
    read_seen = _reader(head_size, dtype)
    row_bytes = head_size * 4
    scale, bytes_each = float(head_size**-0.5), dtype.itemsize

    def go_back(args: Any, item: int, space: int) -> None:
        # Arguments 7 to 16 as in `_shared`; 17 logarithms of sums, 18 given gradient, 19 what is taken off, 20 result.
        stay_apart()
        num_kv_heads, group_size = args[7], args[8]
        head = item % num_kv_heads
        tile_at = args[9] + item // num_kv_heads * 40
        start, end = integer_at(tile_at), integer_at(tile_at + 8)
        num_heads = num_kv_heads * group_size
        num_seen = _num_seen(args[10], tile_at)
        width = _whole(num_seen)
        key_columns_at = space
        value_columns_at = key_columns_at + width * row_bytes
        scores_at = value_columns_at + width * row_bytes
        gradients_at = scores_at + ROWS * width * 4
        rows_at = gradients_at + ROWS * width * 4
        queries_at = rows_at + num_seen * row_bytes
        given_at = queries_at + ROWS * row_bytes
        sums_at = given_at + ROWS * row_bytes
        read_seen(args[15] + head * head_size * bytes_each, args[16], args[10], tile_at, rows_at)
        turn(rows_at, num_seen, value_columns_at, width)
        read_seen(args[13] + head * head_size * bytes_each, args[14], args[10], tile_at, rows_at)
        turn(rows_at, num_seen, key_columns_at, width)
        num_rows = (end - start) * group_size
        before = num_seen - end + 1
        for first in range(0, num_rows, ROWS):
            for i in range(ROWS):
                row = min(first + i, num_rows - 1)
                token, member = start + row // group_size, head * group_size + row % group_size
                source = args[11] + (token * args[12] + member * head_size) * bytes_each
                read_scaled(source, scale, queries_at + i * row_bytes)
                given = args[18] + (token * num_heads + member) * head_size * bytes_each
                read_scaled(given, 1.0, given_at + i * row_bytes)
            visible = before + start + min(first + ROWS - 1, num_rows - 1) // group_size
            score(queries_at, key_columns_at, width, visible, scores_at)
            score(given_at, value_columns_at, width, visible, gradients_at)
            for i in range(ROWS):
                row = min(first + i, num_rows - 1)
                token, member = start + row // group_size, head * group_size + row % group_size
                place = token * num_heads + member
                limit, at = before + token, i * width * 4
                # The weights of the forward pass again, from the logarithm of their sum.
                _weights(scores_at + at, limit, visible, number_at(args[17] + place * 4))
                taken = np.float32(0)
                for column in range(0, limit, LANES):
                    weights = load_f32(scores_at + at + column * 4, LANES)
                    taken += dot(weights, load_f32(gradients_at + at + column * 4, LANES))
                put_number(args[19] + place * 4, taken)
                _by_scores(scores_at + at, gradients_at + at, limit, visible, taken)
            _fill(sums_at, 0, ROWS * head_size, 0.0)
            mix(gradients_at, 1, width, 0, visible, rows_at, sums_at)
            for i in range(min(ROWS, num_rows - first)):
                token, member = start + (first + i) // group_size, head * group_size + (first + i) % group_size
                write_row(
                    sums_at + i * row_bytes, scale, args[20] + (token * num_heads + member) * head_size * bytes_each
                )

    return Kernel(go_back)


@functools.cache
def _keys_kernel(head_size: int, dtype: torch.dtype) -> Kernel:
    """Gradients of keys and values."""
    read_rows, turn, score, mix, write_row, read_scaled = _parts(head_size, dtype)
    row_bytes = head_size * 4
    scale, bytes_each = float(head_size**-0.5), dtype.itemsize

    def go_back(args: Any, item: int, space: int) -> None:
        # Arguments 7 to 19 as in the queries' kernel; 20 and 21 gradients by keys and values,
        # 22 tokens at once, 23 their rows.
        stay_apart()
        num_kv_heads, group_size = args[7], args[8]
        head = item % num_kv_heads
        tile_at = args[9] + item // num_kv_heads * 40
        first_key, end_key = integer_at(tile_at), integer_at(tile_at + 8)
        num_heads = num_kv_heads * group_size
        num_keys = end_key - first_key
        # Keys beyond the tile's last, up to a multiple of ROWS, are zeros.
        width = _whole(num_keys + ROWS)
        at_once, num_rows = args[22], args[23]
        key_columns_at = space
        value_columns_at = key_columns_at + width * row_bytes
        by_keys_at = value_columns_at + width * row_bytes
        by_values_at = by_keys_at + width * row_bytes
        scores_at = by_values_at + width * row_bytes
        gradients_at = scores_at + num_rows * width * 4
        queries_at = gradients_at + num_rows * width * 4
        given_at = queries_at + num_rows * row_bytes
        read_rows(args[13] + head * head_size * bytes_each, args[14], first_key, end_key, by_keys_at)
        turn(by_keys_at, num_keys, key_columns_at, width)
        read_rows(args[15] + head * head_size * bytes_each, args[16], first_key, end_key, by_keys_at)
        turn(by_keys_at, num_keys, value_columns_at, width)
        _fill(by_keys_at, 0, 2 * width * head_size, 0.0)
        first_range = integer_at(tile_at + 24)
        for index in range(first_range - 1, integer_at(tile_at + 32)):
            # First those of the keys' own segment, from the tile on.
            own = index < first_range
            start = first_key if own else integer_at(args[10] + index * 16)
            end = integer_at(tile_at + 16) if own else integer_at(args[10] + index * 16 + 8)
            for first in range(start, end, at_once):
                count = min(at_once, end - first) * group_size
                rounded = (count + ROWS - 1) // ROWS * ROWS
                visible = min(num_keys, first - first_key + at_once) if own else num_keys
                for row in range(rounded):
                    token = first + min(row, count - 1) // group_size
                    member = head * group_size + min(row, count - 1) % group_size
                    source = args[11] + (token * args[12] + member * head_size) * bytes_each
                    read_scaled(source, scale, queries_at + row * row_bytes)
                    given = args[18] + (token * num_heads + member) * head_size * bytes_each
                    read_scaled(given, 1.0, given_at + row * row_bytes)
                for row in range(0, rounded, ROWS):
                    at = row * width * 4
                    score(queries_at + row * row_bytes, key_columns_at, width, visible, scores_at + at)
                    score(given_at + row * row_bytes, value_columns_at, width, visible, gradients_at + at)
                for row in range(count):
                    token, member = first + row // group_size, head * group_size + row % group_size
                    place = token * num_heads + member
                    limit = min(num_keys, token - first_key + 1) if own else num_keys
                    at = row * width * 4
                    # `mix` takes ROWS keys at once: as many weights beyond `visible` have to be 0.
                    _weights(scores_at + at, limit, visible + ROWS, number_at(args[17] + place * 4))
                    _by_scores(
                        scores_at + at, gradients_at + at, limit, visible + ROWS, number_at(args[19] + place * 4)
                    )
                for key in range(0, visible, ROWS):
                    # Queries before the first of these keys do not see them.
                    from_row = max(0, key + first_key - first) * group_size if own else 0
                    if from_row < count:
                        at = key * row_bytes
                        mix(scores_at + key * 4, width, 1, from_row, count, given_at, by_values_at + at)
                        mix(gradients_at + key * 4, width, 1, from_row, count, queries_at, by_keys_at + at)
        for key in range(num_keys):
            target = ((first_key + key) * num_kv_heads + head) * head_size * bytes_each
            write_row(by_keys_at + key * row_bytes, 1.0, args[20] + target)
            write_row(by_values_at + key * row_bytes, 1.0, args[21] + target)

    return Kernel(go_back)
