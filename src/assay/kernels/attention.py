"""Attention of new tokens over the pages that hold the keys and values of their sequences.

Each key-value head of each token is one item, which goes through the pages of its sequence alone, as far as its own
position. So the bits that a token gets depend on its sequence only: not on who is computed beside it, nor on how many
of the tokens before it were computed in the same pass. Batched products over whole rows read what lies beyond a
sequence's end too, sum in another order for another number of rows, and start slowly for three queries each.
Scores stay in the processor's cache, and float32 is kept until the result.

Shape letters: T tokens of a pass, n sequences, W most pages of one, Q query heads, K key-value heads, G = Q / K,
D head size, P pages of the pool.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from assay.kernels.simd import (
    add,
    dot,
    dot_four,
    exp,
    fma,
    integer_at,
    largest,
    load_bf16,
    load_f32,
    maximum,
    mul,
    number_at,
    prefetch,
    put_number,
    splat,
    stay_apart,
    store_bf16,
    store_f32,
    sub,
    total,
)
from assay.kernels.team import Kernel, compiled

PAGE = 32
"""Number of tokens of a page."""

CHUNK = 16
"""Scores that go through the softmax at once."""

NO_WINDOW = 2**62
"""Larger than any position."""

AT_ONCE = 3
"""Query heads that meet a key together, so that it is read once for them."""


class CompiledPageAttention:
    """Attention of one pass; made once, used by every layer.

    Args:
        sequence_T: [T] int64, which sequence each token belongs to.
        position_T: [T] int64, its position there; the pages hold all tokens before it.
        table_nW: [n, W] int64, the pages of each sequence in order.
        writes: whether each token's key and value are still to be written to their page. Only where no token of the
            pass sees another one; else all are written beforehand.
    """

    def __init__(self, sequence_T: np.ndarray, position_T: np.ndarray, table_nW: np.ndarray, *, writes: bool) -> None:
        # Kept, so that their memory stays.
        self.numbers = sequence_T, position_T, table_nW
        self.places = [*(numbers.ctypes.data for numbers in self.numbers), table_nW.shape[1]]
        self.writes = writes
        self.room = (int(position_T.max(initial=0)) // CHUNK + 1) * CHUNK
        """Scores of one query at most."""

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor, pool: Tensor, window: int | None) -> Tensor:
        """Return what the queries take from the pages of their sequences.

        Args:
            queries: [T, Q, D], bf16 or fp32; heads lie side by side, as in all three.
            keys, values: [T, K, D]
            pool: [2, P, K, PAGE, D], keys, then values.
            window: how many of the last tokens a query sees; None for all.

        Returns:
            [T, Q, D]
        """
        attended = torch.empty(queries.shape, dtype=queries.dtype)
        num_kv_heads, head_size = keys.shape[1:]
        pool_keys, pool_values = pool
        _kernel(head_size, queries.dtype)(
            len(queries) * num_kv_heads,
            4,
            num_kv_heads,
            queries.shape[1] // num_kv_heads,
            *self.places,
            window or NO_WINDOW,
            queries.data_ptr(),
            queries.stride(0),
            keys.data_ptr(),
            keys.stride(0),
            values.data_ptr(),
            values.stride(0),
            pool_keys.data_ptr(),
            pool_values.data_ptr(),
            attended.data_ptr(),
            int(self.writes),
            space=AT_ONCE * (self.room + head_size + 1),
        )
        return attended


def attend_once(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attend the first token of each sequence: each query [n, Q, D] sees the one key of its head [n, K, D]."""
    num_sequences, num_kv_heads, head_size = keys.shape
    pool = torch.zeros((2, num_sequences, num_kv_heads, PAGE, head_size), dtype=keys.dtype)
    places = np.arange(num_sequences)
    attend = CompiledPageAttention(places, np.zeros_like(places), places[:, None], writes=True)
    return attend(queries, keys, values, pool, None)


@compiled
def _soften(scores_at: int, count: int) -> float:
    """Turn scores into e^(score - largest); return one over their sum. Those up to the next CHUNK become 0."""
    stay_apart()
    whole = (count + CHUNK - 1) // CHUNK * CHUNK
    for place in range(count, whole):
        put_number(scores_at + place * 4, np.float32(-np.inf))
    top_lanes = load_f32(scores_at, CHUNK)
    for place in range(CHUNK, whole, CHUNK):
        top_lanes = maximum(top_lanes, load_f32(scores_at + place * 4, CHUNK))
    top = splat(largest(top_lanes), CHUNK)
    sums = splat(np.float32(0), CHUNK)
    for place in range(0, whole, CHUNK):
        weights = exp(sub(load_f32(scores_at + place * 4, CHUNK), top))
        store_f32(scores_at + place * 4, weights)
        sums = add(sums, weights)
    return np.float32(1) / total(sums)


def _scoring(head_size: int, load: Any, row_bytes: int) -> tuple[Any, Any]:
    """Return the functions that score AT_ONCE queries, and one, with `count` keys of a page. The values are asked for
    meanwhile."""
    scale = np.float32(head_size**-0.5)

    @compiled
    def score(query_at: int, keys_at: int, values_at: int, count: int, scores_at: int, room: int) -> None:
        stay_apart()
        factor = splat(scale, head_size)
        first = mul(load(query_at, head_size), factor)
        second = mul(load(query_at + row_bytes, head_size), factor)
        third = mul(load(query_at + 2 * row_bytes, head_size), factor)
        fours = count // 4 * 4
        for place in range(0, fours, 4):
            at = keys_at + place * row_bytes
            k0, k1 = load(at, head_size), load(at + row_bytes, head_size)
            k2, k3 = load(at + 2 * row_bytes, head_size), load(at + 3 * row_bytes, head_size)
            store_f32(scores_at + place * 4, dot_four(first, k0, k1, k2, k3))
            store_f32(scores_at + (room + place) * 4, dot_four(second, k0, k1, k2, k3))
            store_f32(scores_at + (2 * room + place) * 4, dot_four(third, k0, k1, k2, k3))
            for line in range(0, 4 * row_bytes, 64):
                prefetch(values_at + place * row_bytes + line)
        for place in range(fours, count):
            key = load(keys_at + place * row_bytes, head_size)
            put_number(scores_at + place * 4, dot(first, key))
            put_number(scores_at + (room + place) * 4, dot(second, key))
            put_number(scores_at + (2 * room + place) * 4, dot(third, key))
            for line in range(0, row_bytes, 64):
                prefetch(values_at + place * row_bytes + line)

    @compiled
    def score_one(query_at: int, keys_at: int, values_at: int, count: int, scores_at: int) -> None:
        stay_apart()
        query = mul(load(query_at, head_size), splat(scale, head_size))
        for place in range(count):
            put_number(scores_at + place * 4, dot(query, load(keys_at + place * row_bytes, head_size)))
            for line in range(0, row_bytes, 64):
                prefetch(values_at + place * row_bytes + line)

    return score, score_one


def _mixing(head_size: int, load: Any, row_bytes: int) -> tuple[Any, Any, Any]:
    """Return the functions that add `count` values of a page, times weights, to AT_ONCE rows of sums, and to one; and
    that which makes a row of sums 0. Rows of sums are float32 in the order in which `load` gives values."""

    @compiled
    def mix(weights_at: int, room: int, values_at: int, count: int, sums_at: int, next_at: int) -> None:
        stay_apart()
        first, second = load_f32(sums_at, head_size), load_f32(sums_at + head_size * 4, head_size)
        third = load_f32(sums_at + 2 * head_size * 4, head_size)
        for place in range(count):
            value, weight_at = load(values_at + place * row_bytes, head_size), weights_at + place * 4
            first = fma(splat(number_at(weight_at), head_size), value, first)
            second = fma(splat(number_at(weight_at + room * 4), head_size), value, second)
            third = fma(splat(number_at(weight_at + 2 * room * 4), head_size), value, third)
            for line in range(0, row_bytes, 64):
                prefetch(next_at + place * row_bytes + line)
        store_f32(sums_at, first)
        store_f32(sums_at + head_size * 4, second)
        store_f32(sums_at + 2 * head_size * 4, third)

    @compiled
    def mix_one(weights_at: int, values_at: int, count: int, sums_at: int, next_at: int) -> None:
        stay_apart()
        sums = load_f32(sums_at, head_size)
        for place in range(count):
            value = load(values_at + place * row_bytes, head_size)
            sums = fma(splat(number_at(weights_at + place * 4), head_size), value, sums)
            for line in range(0, row_bytes, 64):
                prefetch(next_at + place * row_bytes + line)
        store_f32(sums_at, sums)

    @compiled
    def clear(sums_at: int) -> None:
        store_f32(sums_at, splat(np.float32(0), head_size))

    return mix, mix_one, clear


@functools.cache
def _kernel(head_size: int, dtype: torch.dtype) -> Kernel:
    load, store = (load_bf16, store_bf16) if dtype == torch.bfloat16 else (load_f32, store_f32)
    item_bytes = dtype.itemsize
    row_bytes = head_size * item_bytes
    page_bytes = PAGE * row_bytes
    score, score_one = _scoring(head_size, load, row_bytes)
    mix, mix_one, clear = _mixing(head_size, load, row_bytes)

    def attend(args: Any, item: int, space: int) -> None:
        # Arguments from 7 on in the order in which `CompiledPageAttention` passes them.
        num_kv_heads, group_size = args[7], args[8]
        token, head = item // num_kv_heads, item % num_kv_heads
        table_at = args[11] + integer_at(args[9] + token * 8) * args[12] * 8
        length = integer_at(args[10] + token * 8) + 1
        first = max(0, length - args[13])
        first_page, last_page = first // PAGE, (length - 1) // PAGE
        page_stride, head_at = num_kv_heads * page_bytes, head * page_bytes
        if args[23]:
            new = integer_at(table_at + last_page * 8) * page_stride + head_at + (length - 1) % PAGE * row_bytes
            store(args[20] + new, load(args[16] + (token * args[17] + head * head_size) * item_bytes, head_size))
            store(args[21] + new, load(args[18] + (token * args[19] + head * head_size) * item_bytes, head_size))
        count = length - first
        room = (count + CHUNK - 1) // CHUNK * CHUNK
        queries_at = args[14] + (token * args[15] + head * group_size * head_size) * item_bytes
        results_at = args[22] + (token * num_kv_heads + head) * group_size * row_bytes
        member = 0
        while member < group_size:
            together = AT_ONCE if group_size - member >= AT_ONCE else 1
            query_at, result_at = queries_at + member * row_bytes, results_at + member * row_bytes
            for page in range(first_page, last_page + 1):
                start, end = max(first, page * PAGE), min(length, (page + 1) * PAGE)
                offset = integer_at(table_at + page * 8) * page_stride + head_at + (start - page * PAGE) * row_bytes
                keys_at, values_at, scores_at = args[20] + offset, args[21] + offset, space + (start - first) * 4
                if together == AT_ONCE:
                    score(query_at, keys_at, values_at, end - start, scores_at, room)
                else:
                    score_one(query_at, keys_at, values_at, end - start, scores_at)
            sums_at = space + AT_ONCE * room * 4
            for row in range(together):
                clear(sums_at + row * head_size * 4)
                put_number(sums_at + (AT_ONCE * head_size + row) * 4, _soften(space + row * room * 4, count))
            for page in range(first_page, last_page + 1):
                start, end = max(first, page * PAGE), min(length, (page + 1) * PAGE)
                offset = integer_at(table_at + page * 8) * page_stride + head_at + (start - page * PAGE) * row_bytes
                values_at, weights_at = args[21] + offset, space + (start - first) * 4
                # While values are read, the next head's keys are asked for; a prefetch never faults.
                if together == AT_ONCE:
                    mix(weights_at, room, values_at, end - start, sums_at, args[20] + offset + page_bytes)
                else:
                    mix_one(weights_at, values_at, end - start, sums_at, args[20] + offset + page_bytes)
            for row in range(together):
                share = number_at(sums_at + (AT_ONCE * head_size + row) * 4)
                sums = load_f32(sums_at + row * head_size * 4, head_size)
                store(result_at + row * row_bytes, mul(sums, splat(share, head_size)))
            member += together

    return Kernel(attend)
