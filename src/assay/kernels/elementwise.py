"""Norms, rotations and activations of a layer, each in one pass, rounded as `policies.elementwise` does it plainly.

Shape letters: T tokens, H hidden size, D head size, I inner size.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from assay.kernels.simd import (
    add,
    div,
    dot,
    evens_first,
    exp,
    float64_of,
    fma,
    in_order,
    load_bf16,
    load_f32,
    mul,
    round_bf16,
    splat,
    store_bf16,
    store_f32,
    sub,
)
from assay.kernels.team import Kernel

LANES = 32
"""Numbers that go through an operation at once: sizes are multiples of it."""

NUM_BLOCKS = 32
"""Blocks of rows whose gradients of a weight are summed apart."""


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Compute `policies.elementwise.rms_norm`: x [T, H] fp32 contiguous, weight [H] bf16; [T, H] bf16."""
    num_tokens, size = x.shape
    normed = torch.empty((num_tokens, size), dtype=torch.bfloat16)
    bits = int(np.float64(epsilon).view(np.int64))
    _norm_kernel()(num_tokens, 8, size, x.data_ptr(), weight.data_ptr(), normed.data_ptr(), bits)
    return normed


def rms_norm_backward(x: Tensor, weight: Tensor, gradient: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Gradients of `rms_norm` by x [T, H] fp32 and by the weight [H] bf16, from that of its result [T, H] bf16."""
    num_tokens, size = x.shape
    by_x = torch.empty_like(x)
    # Each block of rows sums for itself, so that the order of sums does not depend on the threads.
    by_weight = torch.zeros((NUM_BLOCKS, size), dtype=torch.float32)
    bits = int(np.float64(epsilon).view(np.int64))
    _norm_backward_kernel()(
        NUM_BLOCKS,
        1,
        num_tokens,
        size,
        x.data_ptr(),
        weight.data_ptr(),
        gradient.data_ptr(),
        by_x.data_ptr(),
        by_weight.data_ptr(),
        bits,
    )
    return by_x, by_weight.sum(0).to(weight.dtype)


def swiglu(gate_up: Tensor) -> Tensor:
    """silu(gate) up: [T, 2 I] bf16 contiguous, gate, then up; [T, I] bf16."""
    num_tokens, both = gate_up.shape
    inner = torch.empty((num_tokens, both // 2), dtype=torch.bfloat16)
    _swiglu_kernel()(num_tokens, 4, both // 2, gate_up.data_ptr(), inner.data_ptr())
    return inner


def swiglu_backward(gate_up: Tensor, gradient: Tensor) -> Tensor:
    """Gradient of `swiglu` by its input [T, 2 I] bf16, from that of its result [T, I] bf16; both contiguous."""
    num_tokens, both = gate_up.shape
    by_input = torch.empty_like(gate_up)
    _swiglu_backward_kernel()(num_tokens, 4, both // 2, gate_up.data_ptr(), gradient.data_ptr(), by_input.data_ptr())
    return by_input


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Compute `policies.elementwise.rotate`: x [T, heads, D] bf16 whose heads lie side by side, cos and sin [T, 1, D]
    bf16; [T, heads, D] bf16 contiguous."""
    num_tokens, num_heads, head_size = x.shape
    turned = torch.empty((num_tokens, num_heads, head_size), dtype=torch.bfloat16)
    _rotate_kernel(head_size)(
        num_tokens, 8, num_heads, x.data_ptr(), x.stride(0), cos.data_ptr(), sin.data_ptr(), turned.data_ptr()
    )
    return turned


@functools.cache
def _norm_kernel() -> Kernel:
    def row(args: Any, item: int, space: int) -> None:
        size, epsilon = args[7], float64_of(args[11])
        x, weight, normed = args[8] + item * size * 4, args[9], args[10] + item * size * 2
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
def _norm_backward_kernel() -> Kernel:
    def block(args: Any, item: int, space: int) -> None:
        num_tokens, size, epsilon = args[7], args[8], float64_of(args[14])
        by_weight = args[13] + item * size * 4
        for token in range(item * num_tokens // NUM_BLOCKS, (item + 1) * num_tokens // NUM_BLOCKS):
            x, gradient, by_x = args[9] + token * size * 4, args[11] + token * size * 2, args[12] + token * size * 4
            squares = np.float32(0)
            products = np.float32(0)
            for place in range(0, size, LANES):
                numbers = evens_first(load_f32(x + place * 4, LANES))
                given = load_bf16(gradient + place * 2, LANES)
                weighted = round_bf16(mul(given, load_bf16(args[10] + place * 2, LANES)))
                squares += dot(numbers, numbers)
                products += dot(numbers, weighted)
            inverse = np.float32(1) / np.sqrt(squares / np.float32(size) + np.float32(epsilon))
            along = splat(-inverse * inverse * inverse * products / np.float32(size), LANES)
            scale = splat(inverse, LANES)
            for place in range(0, size, LANES):
                numbers = evens_first(load_f32(x + place * 4, LANES))
                given = load_bf16(gradient + place * 2, LANES)
                weighted = round_bf16(mul(given, load_bf16(args[10] + place * 2, LANES)))
                store_f32(by_x + place * 4, in_order(fma(along, numbers, mul(scale, weighted))))
                sums = evens_first(load_f32(by_weight + place * 4, LANES))
                sums = fma(given, round_bf16(mul(numbers, scale)), sums)
                store_f32(by_weight + place * 4, in_order(sums))

    return Kernel(block)


@functools.cache
def _swiglu_backward_kernel() -> Kernel:
    def row(args: Any, item: int, space: int) -> None:
        size = args[7]
        gates, gradients = args[8] + item * size * 4, args[9] + item * size * 2
        by_gates = args[10] + item * size * 4
        one = splat(np.float32(1), LANES)
        zero = splat(np.float32(0), LANES)
        for place in range(0, size, LANES):
            gate, up = load_bf16(gates + place * 2, LANES), load_bf16(gates + (size + place) * 2, LANES)
            gradient = load_bf16(gradients + place * 2, LANES)
            below = add(one, exp(sub(zero, gate)))
            share = div(one, below)
            store_bf16(by_gates + (size + place) * 2, mul(gradient, round_bf16(div(gate, below))))
            slope = mul(share, fma(gate, sub(one, share), one))
            store_bf16(by_gates + place * 2, mul(round_bf16(mul(gradient, up)), slope))

    return Kernel(row)


@functools.cache
def _swiglu_kernel() -> Kernel:
    def row(args: Any, item: int, space: int) -> None:
        size = args[7]
        gates, inner = args[8] + item * size * 4, args[9] + item * size * 2
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

    def row(args: Any, item: int, space: int) -> None:
        num_heads = args[7]
        angles = item * head_size * 2
        left_cos, right_cos = load_bf16(args[10] + angles, half), load_bf16(args[10] + angles + half_bytes, half)
        left_sin, right_sin = load_bf16(args[11] + angles, half), load_bf16(args[11] + angles + half_bytes, half)
        for head in range(num_heads):
            x = args[8] + (item * args[9] + head * head_size) * 2
            turned = args[12] + (item * num_heads + head) * head_size * 2
            left, right = load_bf16(x, half), load_bf16(x + half_bytes, half)
            store_bf16(turned, sub(round_bf16(mul(left, left_cos)), round_bf16(mul(right, left_sin))))
            store_bf16(turned + half_bytes, add(round_bf16(mul(right, right_cos)), round_bf16(mul(left, right_sin))))

    return Kernel(row)
