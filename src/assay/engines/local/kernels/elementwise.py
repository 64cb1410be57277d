"""Norms, rotations and activations of a layer, each in one pass, rounded as the plain forms in `policies.decoder` are.

Shape letters: T tokens, H hidden size, D head size, I inner size.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from assay.engines.local.kernels.simd import (
    add,
    div,
    dot,
    evens_first,
    exp,
    float64_of,
    load_bf16,
    load_f32,
    mul,
    round_bf16,
    splat,
    store_bf16,
    sub,
)
from assay.engines.local.kernels.team import Kernel, compiled

LANES = 32
"""Numbers that go through an operation at once: sizes are multiples of it."""


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """As `policies.decoder.rms_norm`: x [T, H] fp32 contiguous, weight [H] bf16; [T, H] bf16."""
    num_tokens, size = x.shape
    normed = torch.empty((num_tokens, size), dtype=torch.bfloat16)
    bits = int(np.float64(epsilon).view(np.int64))
    _norm_kernel()(num_tokens, 8, size, x.data_ptr(), weight.data_ptr(), normed.data_ptr(), bits)
    return normed


def swiglu(gate_up: Tensor) -> Tensor:
    """silu(gate) up: [T, 2 I] bf16 contiguous, gate, then up; [T, I] bf16."""
    num_tokens, both = gate_up.shape
    inner = torch.empty((num_tokens, both // 2), dtype=torch.bfloat16)
    _swiglu_kernel()(num_tokens, 4, both // 2, gate_up.data_ptr(), inner.data_ptr())
    return inner


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """As `policies.decoder.rotate`: x [T, heads, D] bf16 whose heads lie side by side, cos and sin [T, 1, D] bf16;
    [T, heads, D] bf16 contiguous."""
    num_tokens, num_heads, head_size = x.shape
    turned = torch.empty((num_tokens, num_heads, head_size), dtype=torch.bfloat16)
    _rotate_kernel(head_size)(
        num_tokens, 8, num_heads, x.data_ptr(), x.stride(0), cos.data_ptr(), sin.data_ptr(), turned.data_ptr()
    )
    return turned


@functools.cache
def _norm_kernel() -> Kernel:
    @compiled
    def row(args: Any, item: int) -> None:
        size, epsilon = args[4], float64_of(args[8])
        x, weight, normed = args[5] + item * size * 4, args[6], args[7] + item * size * 2
        squares = np.float32(0)
        for place in range(0, size, LANES):
            numbers = load_f32(x + place * 4, LANES)
            squares += dot(numbers, numbers)
        scale = splat(np.float32(1) / np.sqrt(squares / np.float32(size) + np.float32(epsilon)), LANES)
        for place in range(0, size, LANES):
            scaled = round_bf16(mul(evens_first(load_f32(x + place * 4, LANES)), scale))
            store_bf16(normed + place * 2, mul(scaled, load_bf16(weight + place * 2, LANES)))

    return Kernel(row)


@functools.cache
def _swiglu_kernel() -> Kernel:
    @compiled
    def row(args: Any, item: int) -> None:
        size = args[4]
        gates, inner = args[5] + item * size * 4, args[6] + item * size * 2
        one = splat(np.float32(1), LANES)
        zero = splat(np.float32(0), LANES)
        for place in range(0, size, LANES):
            gate = load_bf16(gates + place * 2, LANES)
            activated = round_bf16(div(gate, add(one, exp(sub(zero, gate)))))
            store_bf16(inner + place * 2, mul(activated, load_bf16(gates + (size + place) * 2, LANES)))

    return Kernel(row)


@functools.cache
def _rotate_kernel(head_size: int) -> Kernel:
    half = head_size // 2
    half_bytes = head_size

    @compiled
    def row(args: Any, item: int) -> None:
        num_heads = args[4]
        angles = item * head_size * 2
        left_cos, right_cos = load_bf16(args[7] + angles, half), load_bf16(args[7] + angles + half_bytes, half)
        left_sin, right_sin = load_bf16(args[8] + angles, half), load_bf16(args[8] + angles + half_bytes, half)
        for head in range(num_heads):
            x = args[5] + (item * args[6] + head * head_size) * 2
            turned = args[9] + (item * num_heads + head) * head_size * 2
            left, right = load_bf16(x, half), load_bf16(x + half_bytes, half)
            store_bf16(turned, sub(round_bf16(mul(left, left_cos)), round_bf16(mul(right, left_sin))))
            store_bf16(turned + half_bytes, add(round_bf16(mul(right, right_cos)), round_bf16(mul(left, right_sin))))

    return Kernel(row)
