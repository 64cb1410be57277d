"""Norms, rotations and activations of a layer, each in one pass, rounded as `policies.elementwise` does it plainly; for
bf16 and fp32.

Shape letters: T tokens, H hidden size, D head size, I inner size.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from assay.kernels.simd import FORMS, add, div, dot, exp, float64_of, fma, load_f32, mul, splat, store_f32, sub
from assay.kernels.team import Kernel

LANES = 32
"""Numbers that go through an operation at once: sizes are multiples of it."""

NUM_BLOCKS = 32
"""Blocks of rows whose gradients of a weight are summed apart."""


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Compute `policies.elementwise.rms_norm`: x [T, H] fp32 contiguous, weight [H]; [T, H] in the weight's dtype."""
    num_tokens, size = x.shape
    normed = torch.empty((num_tokens, size), dtype=weight.dtype)
    bits = int(np.float64(epsilon).view(np.int64))
    _norm_kernel(weight.dtype)(num_tokens, 8, size, x.data_ptr(), weight.data_ptr(), normed.data_ptr(), bits)
    return normed


def rms_norm_backward(x: Tensor, weight: Tensor, gradient: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Gradients of `rms_norm` by x [T, H] fp32 and by the weight [H], from that of its result [T, H]."""
    num_tokens, size = x.shape
    by_x = torch.empty_like(x)
    # Each block of rows sums for itself, so that the order of sums does not depend on the threads.
    by_weight = torch.zeros((NUM_BLOCKS, size), dtype=torch.float32)
    bits = int(np.float64(epsilon).view(np.int64))
    _norm_backward_kernel(weight.dtype)(
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
    """silu(gate) up: [T, 2 I] contiguous, gate, then up; [T, I]."""
    num_tokens, both = gate_up.shape
    inner = torch.empty((num_tokens, both // 2), dtype=gate_up.dtype)
    _swiglu_kernel(gate_up.dtype)(num_tokens, 4, both // 2, gate_up.data_ptr(), inner.data_ptr())
    return inner


def swiglu_backward(gate_up: Tensor, gradient: Tensor) -> Tensor:
    """Gradient of `swiglu` by its input [T, 2 I], from that of its result [T, I]; both contiguous."""
    num_tokens, both = gate_up.shape
    by_input = torch.empty_like(gate_up)
    kernel = _swiglu_backward_kernel(gate_up.dtype)
    kernel(num_tokens, 4, both // 2, gate_up.data_ptr(), gradient.data_ptr(), by_input.data_ptr())
    return by_input


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Compute `policies.elementwise.rotate`: x [T, heads, D] whose heads lie side by side, cos and sin [T, 1, D] of
    its dtype; [T, heads, D] contiguous."""
    num_tokens, num_heads, head_size = x.shape
    turned = torch.empty((num_tokens, num_heads, head_size), dtype=x.dtype)
    _rotate_kernel(head_size, x.dtype)(
        num_tokens, 8, num_heads, x.data_ptr(), x.stride(0), cos.data_ptr(), sin.data_ptr(), turned.data_ptr()
    )
    return turned


@functools.cache
def _norm_kernel(dtype: torch.dtype) -> Kernel:
    load, store, rounded, as_loaded, _, bytes_each = FORMS[dtype]

    def row(args: Any, item: int, space: int) -> None:
        size, epsilon = args[7], float64_of(args[11])
        x, weight, normed = args[8] + item * size * 4, args[9], args[10] + item * size * bytes_each
        squares = np.float32(0)
        for place in range(0, size, LANES):
            numbers = load_f32(x + place * 4, LANES)
            squares += dot(numbers, numbers)
        scale = splat(np.float32(1) / np.sqrt(squares / np.float32(size) + np.float32(epsilon)), LANES)
        for place in range(0, size, LANES):
            scaled = rounded(mul(as_loaded(load_f32(x + place * 4, LANES)), scale))
            store(normed + place * bytes_each, mul(scaled, load(weight + place * bytes_each, LANES)))

    return Kernel(row)


@functools.cache
def _norm_backward_kernel(dtype: torch.dtype) -> Kernel:
    load, _, rounded, as_loaded, in_own_order, bytes_each = FORMS[dtype]

    def block(args: Any, item: int, space: int) -> None:
        num_tokens, size, epsilon = args[7], args[8], float64_of(args[14])
        by_weight = args[13] + item * size * 4
        for token in range(item * num_tokens // NUM_BLOCKS, (item + 1) * num_tokens // NUM_BLOCKS):
            x, by_x = args[9] + token * size * 4, args[12] + token * size * 4
            gradient = args[11] + token * size * bytes_each
            squares = np.float32(0)
            products = np.float32(0)
            for place in range(0, size, LANES):
                numbers = as_loaded(load_f32(x + place * 4, LANES))
                given = load(gradient + place * bytes_each, LANES)
                weighted = rounded(mul(given, load(args[10] + place * bytes_each, LANES)))
                squares += dot(numbers, numbers)
                products += dot(numbers, weighted)
            inverse = np.float32(1) / np.sqrt(squares / np.float32(size) + np.float32(epsilon))
            along = splat(-inverse * inverse * inverse * products / np.float32(size), LANES)
            scale = splat(inverse, LANES)
            for place in range(0, size, LANES):
                numbers = as_loaded(load_f32(x + place * 4, LANES))
                given = load(gradient + place * bytes_each, LANES)
                weighted = rounded(mul(given, load(args[10] + place * bytes_each, LANES)))
                store_f32(by_x + place * 4, in_own_order(fma(along, numbers, mul(scale, weighted))))
                sums = as_loaded(load_f32(by_weight + place * 4, LANES))
                sums = fma(given, rounded(mul(numbers, scale)), sums)
                store_f32(by_weight + place * 4, in_own_order(sums))

    return Kernel(block)


@functools.cache
def _swiglu_backward_kernel(dtype: torch.dtype) -> Kernel:
    load, store, rounded, _, _, bytes_each = FORMS[dtype]

    def row(args: Any, item: int, space: int) -> None:
        size = args[7]
        gates, gradients = args[8] + item * 2 * size * bytes_each, args[9] + item * size * bytes_each
        by_gates = args[10] + item * 2 * size * bytes_each
        one = splat(np.float32(1), LANES)
        zero = splat(np.float32(0), LANES)
        for place in range(0, size, LANES):
            gate, up = load(gates + place * bytes_each, LANES), load(gates + (size + place) * bytes_each, LANES)
            gradient = load(gradients + place * bytes_each, LANES)
            below = add(one, exp(sub(zero, gate)))
            share = div(one, below)
            store(by_gates + (size + place) * bytes_each, mul(gradient, rounded(div(gate, below))))
            slope = mul(share, fma(gate, sub(one, share), one))
            store(by_gates + place * bytes_each, mul(rounded(mul(gradient, up)), slope))

    return Kernel(row)


@functools.cache
def _swiglu_kernel(dtype: torch.dtype) -> Kernel:
    load, store, rounded, _, _, bytes_each = FORMS[dtype]

    def row(args: Any, item: int, space: int) -> None:
        size = args[7]
        gates, inner = args[8] + item * 2 * size * bytes_each, args[9] + item * size * bytes_each
        one = splat(np.float32(1), LANES)
        zero = splat(np.float32(0), LANES)
        for place in range(0, size, LANES):
            gate = load(gates + place * bytes_each, LANES)
            activated = rounded(div(gate, add(one, exp(sub(zero, gate)))))
            store(inner + place * bytes_each, mul(activated, load(gates + (size + place) * bytes_each, LANES)))

    return Kernel(row)


@functools.cache
def _rotate_kernel(head_size: int, dtype: torch.dtype) -> Kernel:
    load, store, rounded, _, _, bytes_each = FORMS[dtype]
    half = head_size // 2
    half_bytes = half * bytes_each

    def row(args: Any, item: int, space: int) -> None:
        num_heads = args[7]
        angles = item * head_size * bytes_each
        left_cos, right_cos = load(args[10] + angles, half), load(args[10] + angles + half_bytes, half)
        left_sin, right_sin = load(args[11] + angles, half), load(args[11] + angles + half_bytes, half)
        for head in range(num_heads):
            x = args[8] + (item * args[9] + head * head_size) * bytes_each
            turned = args[12] + (item * num_heads + head) * head_size * bytes_each
            left, right = load(x, half), load(x + half_bytes, half)
            store(turned, sub(rounded(mul(left, left_cos)), rounded(mul(right, left_sin))))
            store(turned + half_bytes, add(rounded(mul(right, right_cos)), rounded(mul(left, right_sin))))

    return Kernel(row)
