"""Activations to 8 bits row by row, and integer products back, each in one pass: what stands around an int8 product.

Shape letters: T rows, K inputs, N outputs.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from assay.kernels.simd import (
    absolute,
    add,
    evens_first,
    in_order,
    largest,
    load_bf16,
    load_f32,
    load_i32,
    maximum,
    mul,
    number_at,
    put_number,
    splat,
    store_bf16,
    store_f32,
    store_i8,
)
from assay.kernels.team import Kernel, compiled

LANES = 32
"""Numbers that go through an operation at once: sizes are multiples of it."""


def quantise(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Compute `engines.local.int8.quantise_rows`: x [T, K] bf16 or fp32, mask [K] fp32, both contiguous.

    Returns:
        [T, K] int8, and [T] fp32.
    """
    rows, size = x.shape
    integers = torch.empty((rows, size), dtype=torch.int8)
    scales = torch.empty(rows, dtype=torch.float32)
    places = (each.data_ptr() for each in (x, mask, integers, scales))
    _quantise_kernel(x.dtype)(rows, 8, size, *places)
    return integers, scales


def scale_back(sums: Tensor, row_scales: Tensor, column_scales: Tensor, loud: Tensor) -> Tensor:
    """Compute `engines.local.int8.scale_sums`: sums [T, N] int32, scales [T] and [N] fp32, loud [T, N] in the dtype of
    the result; all contiguous."""
    rows, size = sums.shape
    result = torch.empty_like(loud)
    places = (each.data_ptr() for each in (sums, row_scales, column_scales, loud, result))
    _scale_kernel(loud.dtype)(rows, 8, size, *places)
    return result


def _loader(dtype: torch.dtype) -> Any:
    """Return the function that reads LANES numbers at an address, in their own order."""
    if dtype == torch.bfloat16:
        return compiled(lambda address: in_order(load_bf16(address, LANES)))
    return compiled(lambda address: load_f32(address, LANES))


@functools.cache
def _quantise_kernel(dtype: torch.dtype) -> Kernel:
    load, item_bytes = _loader(dtype), dtype.itemsize

    def row(args: Any, item: int, space: int) -> None:
        # Arguments from 7 on in the order in which `quantise` passes them.
        size = args[7]
        x = args[8] + item * size * item_bytes
        top = splat(np.float32(0), LANES)
        for place in range(0, size, LANES):
            numbers = load(x + place * item_bytes)
            top = maximum(top, absolute(mul(numbers, load_f32(args[9] + place * 4, LANES))))
        loudest = max(largest(top), np.float32(1e-30))
        put_number(args[11] + item * 4, loudest / np.float32(127))
        factor = splat(np.float32(127) / loudest, LANES)
        for place in range(0, size, LANES):
            numbers = load(x + place * item_bytes)
            masked = mul(numbers, load_f32(args[9] + place * 4, LANES))
            store_i8(args[10] + item * size + place, mul(masked, factor))

    return Kernel(row)


@functools.cache
def _scale_kernel(dtype: torch.dtype) -> Kernel:
    load, is_bf16, item_bytes = _loader(dtype), dtype == torch.bfloat16, dtype.itemsize

    def row(args: Any, item: int, space: int) -> None:
        size = args[7]
        sums = args[8] + item * size * 4
        loud, result = args[11] + item * size * item_bytes, args[12] + item * size * item_bytes
        scale = splat(number_at(args[9] + item * 4), LANES)
        for place in range(0, size, LANES):
            numbers = mul(mul(load_i32(sums + place * 4, LANES), scale), load_f32(args[10] + place * 4, LANES))
            both = add(numbers, load(loud + place * item_bytes))
            if is_bf16:
                store_bf16(result + place * 2, evens_first(both))
            else:
                store_f32(result + place * 4, both)

    return Kernel(row)
