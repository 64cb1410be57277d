"""Attention of one new token of each sequence over its row of the cache, in one pass over what the row holds.

Two batched products read whole rows, the part beyond a sequence's end included, and start slowly for three queries
each; their softmax goes through memory. Here each key-value head of each sequence is one item: its new key and value
are written, its scores stay in the processor's cache, and float32 is kept until the result.

Shape letters: n sequences, Q query heads, K key-value heads, G = Q / K, C capacity of a cache row, D head size,
P capacity of a shared prompt's row.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from numba.np.numpy_support import carray
from torch import Tensor

from assay.kernels.simd import (
    add,
    dot,
    exp,
    fma,
    largest,
    load_bf16,
    load_f32,
    maximum,
    mul,
    pointer,
    prefetch,
    splat,
    store_bf16,
    store_f32,
    sub,
    total,
)
from assay.kernels.team import Kernel

CHUNK = 16
"""Scores that go through the softmax at once; rows of scores are a multiple of it."""


class CompiledRowAttention:
    """Attention of one decode pass over rows of a cache; made once, used by every layer.

    Args:
        column_n: [n] int64, where each sequence's new token goes in its row; the row holds all before it.
        num_kv_heads, head_size: K, D.
        capacity: C
        prompt_capacity: P, 0 where no sequence continues a shared prompt; a multiple of CHUNK.
    """

    def __init__(
        self, column_n: Tensor, num_kv_heads: int, head_size: int, capacity: int, prompt_capacity: int = 0
    ) -> None:
        self.column_n, self.num_kv_heads = column_n, num_kv_heads
        self.capacity, self.prompt_capacity = capacity, prompt_capacity
        self.room = -(-capacity // CHUNK) * CHUNK + prompt_capacity
        self.scores = torch.empty((len(column_n) * num_kv_heads, self.room), dtype=torch.float32, device="cpu")
        self.kernel = _kernel(head_size)

    def __call__(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        cached: Tensor,
        window: int | None,
        prompt_scores: Tensor | None = None,
    ) -> Tensor:
        """Writes the new keys and values; what the queries take from their rows.

        Args:
            queries: [n, Q, D] bf16; heads lie side by side, as in all three.
            keys, values: [n, K, D] bf16
            cached: [2, S >= n, K, C, D] bf16, keys, then values.
            window: how many of the last tokens a query sees; None for all.
            prompt_scores: [n K, G, P] bf16 scores with a shared prompt, scaled and masked, contiguous. They are
                replaced by their part of the softmax.

        Returns:
            [n, Q, D] bf16
        """
        attended = torch.empty(queries.shape, dtype=queries.dtype)
        cached_keys, cached_values = cached
        self.kernel(
            len(queries) * self.num_kv_heads,
            4,
            self.num_kv_heads,
            queries.shape[1] // self.num_kv_heads,
            self.capacity,
            self.column_n.data_ptr(),
            window or self.capacity,
            queries.data_ptr(),
            queries.stride(0),
            keys.data_ptr(),
            keys.stride(0),
            values.data_ptr(),
            values.stride(0),
            cached_keys.data_ptr(),
            cached_values.data_ptr(),
            attended.data_ptr(),
            self.scores.data_ptr(),
            self.room,
            0 if prompt_scores is None else self.prompt_capacity,
            0 if prompt_scores is None else prompt_scores.data_ptr(),
        )
        return attended


def attend_once(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attend the first token of each sequence: each query [n, Q, D] sees the one key of its head [n, K, D]."""
    num_sequences, num_kv_heads, head_size = keys.shape
    cached = torch.zeros((2, num_sequences, num_kv_heads, 1, head_size), dtype=keys.dtype)
    first_n = torch.zeros(num_sequences, dtype=torch.int64)
    return CompiledRowAttention(first_n, num_kv_heads, head_size, capacity=1)(queries, keys, values, cached, None)


@functools.cache
def _kernel(head_size: int) -> Kernel:
    row_bytes = head_size * 2
    scale = np.float32(head_size**-0.5)
    none = np.float32(-np.inf)

    def attend(args: Any, item: int, space: int) -> None:
        # Arguments from 7 on in the order in which `CompiledRowAttention` passes them.
        num_kv_heads, group_size, capacity = args[7], args[8], args[9]
        sequence, head = item // num_kv_heads, item % num_kv_heads
        length = carray(pointer(args[10]), sequence + 1, np.int64)[sequence] + 1
        # The window in the sequence's own row; for the shared prompt it is masked in `prompt_scores`.
        first = max(0, length - args[11])
        row_keys = args[18] + item * capacity * row_bytes
        row_values = args[19] + item * capacity * row_bytes
        new = (length - 1) * row_bytes
        store_bf16(row_keys + new, load_bf16(args[14] + (sequence * args[15] + head * head_size) * 2, head_size))
        store_bf16(row_values + new, load_bf16(args[16] + (sequence * args[17] + head * head_size) * 2, head_size))
        scores_at = args[21] + item * args[22] * 4
        scores = carray(pointer(scores_at), args[22], np.float32)
        prompt_length = args[23]
        own_chunks = (length - first + CHUNK - 1) // CHUNK
        chunks = own_chunks + prompt_length // CHUNK
        for member in range(group_size):
            query_head = head * group_size + member
            query = load_bf16(args[12] + (sequence * args[13] + query_head * head_size) * 2, head_size)
            query = mul(query, splat(scale, head_size))
            # Values are asked for while keys are read, and the next row's keys while values are.
            for column in range(first, length):
                scores[column - first] = dot(query, load_bf16(row_keys + column * row_bytes, head_size))
                if member == 0:
                    for line in range(0, row_bytes, 64):
                        prefetch(row_values + column * row_bytes + line)
            # The rest of the last chunk has weight 0.
            for place in range(length - first, own_chunks * CHUNK):
                scores[place] = none
            prompt_at = args[24] + (item * group_size + member) * prompt_length * 2
            for chunk in range(prompt_length // CHUNK):
                store_f32(scores_at + (own_chunks + chunk) * CHUNK * 4, load_bf16(prompt_at + chunk * CHUNK * 2, CHUNK))
            top_lanes = load_f32(scores_at, CHUNK)
            for chunk in range(1, chunks):
                top_lanes = maximum(top_lanes, load_f32(scores_at + chunk * CHUNK * 4, CHUNK))
            top = splat(largest(top_lanes), CHUNK)
            sums = splat(np.float32(0), CHUNK)
            for chunk in range(chunks):
                weights = exp(sub(load_f32(scores_at + chunk * CHUNK * 4, CHUNK), top))
                store_f32(scores_at + chunk * CHUNK * 4, weights)
                sums = add(sums, weights)
            share = np.float32(1) / total(sums)
            # The caller multiplies the prompt's part with its values, for all who share it at once.
            for chunk in range(prompt_length // CHUNK):
                weights = load_f32(scores_at + (own_chunks + chunk) * CHUNK * 4, CHUNK)
                store_bf16(prompt_at + chunk * CHUNK * 2, mul(weights, splat(share, CHUNK)))
            attended = splat(np.float32(0), head_size)
            for column in range(first, length):
                row = load_bf16(row_values + column * row_bytes, head_size)
                attended = fma(splat(scores[column - first], head_size), row, attended)
                # After the last row this asks for memory beyond the cache: a prefetch never faults.
                if member == group_size - 1:
                    for line in range(0, row_bytes, 64):
                        prefetch(row_keys + (capacity + column) * row_bytes + line)
            result = args[20] + ((sequence * num_kv_heads * group_size) + query_head) * row_bytes
            store_bf16(result, mul(attended, splat(share, head_size)))

    return Kernel(attend)
