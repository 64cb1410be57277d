"""Compiled forms of what a decoder does beside matrix products, for bf16 and fp32 on a CPU.

Written with numba, compiled for the processor at hand when first used, run on PyTorch's own threads. Where a machine or
a model does not allow them, plain forms serve. See docs/decisions/0006-kernels.md.
"""

from __future__ import annotations

import functools
import importlib
import sys

import torch
import torch.nn.functional as F  # noqa: N812

from assay.observe.activity import doing

COMPILING = "compiling kernels for this processor, once a process"
"""What is told while it takes long."""


def available(
    *, hidden_size: int, intermediate_size: int, head_size: int, dtype: torch.dtype, device: torch.device | str
) -> bool:
    """Return whether there are kernels for a decoder of these sizes. Compiles them, at the first call in a process."""
    return (
        dtype in (torch.bfloat16, torch.float32)
        and torch.device(device).type == "cpu"
        and all(size % 32 == 0 for size in (hidden_size, intermediate_size, head_size))
        and _work(head_size, dtype)
    )


@functools.cache
@doing(COMPILING)
def _work(head_size: int, dtype: torch.dtype) -> bool:
    """Return whether the kernels work; each is tried once, on one token."""
    # Big-endian processors hold pairs of bf16 numbers the other way round.
    if sys.byteorder != "little":
        return False
    try:
        team, elementwise = (importlib.import_module(f"assay.kernels.{name}") for name in ("team", "elementwise"))
        if team.find_parallel() is None:
            return False
        x = torch.linspace(-3, 3, 2 * head_size).view(1, -1)
        low = x.to(dtype)
        gate, up = low.float().chunk(2, dim=-1)
        head = low.view(1, 2, head_size)
        one, zero = torch.ones_like(head[:, :1]), torch.zeros_like(head[:, :1])
        ones = torch.ones_like(low)
        pairs = [
            (elementwise.rms_norm(x, ones[0], 0.0), F.normalize(x) * x.shape[1] ** 0.5),
            (elementwise.rms_norm_backward(x, ones[0], torch.zeros_like(low), 0.0)[0], torch.zeros_like(x)),
            (elementwise.swiglu(low), F.silu(gate) * up),
            (elementwise.swiglu_backward(low, torch.zeros_like(low[:, :head_size])), torch.zeros_like(low)),
            (elementwise.rotate(head, one, zero), head),
        ]
        return all(torch.allclose(ours.float(), right.float(), rtol=0.02, atol=0.01) for ours, right in pairs)
    except Exception:  # numba refuses in many ways: a processor or a Python that it does not know
        return False


def attends_pages(head_size: int, dtype: torch.dtype, device: torch.device | str) -> bool:
    """Return whether there is attention over pages for heads of this size, in bf16 or fp32 on a CPU. Compiles it, at
    the first call in a process, and tries it on one token."""
    return (
        dtype in (torch.bfloat16, torch.float32)
        and torch.device(device).type == "cpu"
        and head_size % 16 == 0
        and _attends_pages(head_size, dtype)
    )


@functools.cache
@doing(COMPILING)
def _attends_pages(head_size: int, dtype: torch.dtype) -> bool:
    if sys.byteorder != "little":  # as in `_work`
        return False
    try:
        attention = importlib.import_module("assay.kernels.attention")
        head = torch.linspace(-3, 3, 2 * head_size).view(1, 2, head_size).to(dtype)
        # The only token of its sequence takes its own value.
        attended = attention.attend_once(head[:, :1], head[:, :1], head[:, 1:])
        return torch.allclose(attended.float(), head[:, 1:].float(), rtol=0.02, atol=0.01)
    except Exception:  # as in `_work`
        return False


def quantises(outputs: int, inputs: int) -> bool:
    """Return whether rows for and sums of an int8 product of these sizes are compiled. Compiles them, at the first call
    in a process, and tries them on one row."""
    return outputs % 32 == 0 and inputs % 32 == 0 and _quantises()


@functools.cache
@doing(COMPILING)
def _quantises() -> bool:
    if sys.byteorder != "little":  # as in `_work`
        return False
    try:
        if importlib.import_module("assay.kernels.team").find_parallel() is None:
            return False
        int8 = importlib.import_module("assay.kernels.int8")
        x = torch.linspace(-3, 3, 32).view(1, 32)
        for low in (x, x.to(torch.bfloat16)):
            integers, scales = int8.quantise(low, torch.ones(32))
            right = low.float() / low.float().abs().max() * 127
            back = int8.scale_back(integers.int(), scales, torch.ones(32), torch.zeros_like(low))
            if not torch.allclose(integers.float(), right, atol=0.51) or not torch.allclose(
                back.float(), low.float(), atol=0.03
            ):
                return False
        return True
    except Exception:  # as in `_work`
        return False


@functools.cache
@doing(COMPILING)
def attention_works(head_size: int, dtype: torch.dtype) -> bool:
    """Return whether there is attention of packed batches for heads of this size, given that kernels are `available`.
    Compiles it, at the first call in a process, and tries it on a few tokens."""
    try:
        packed = importlib.import_module("assay.kernels.packed_attention").CompiledPackedAttention([(0, 3)], [0])
        qkv = torch.linspace(-2, 2, 9 * head_size).view(3, 3, head_size).sin().to(dtype)
        with torch.enable_grad():
            leaf = qkv.float().requires_grad_()
            q, k, v = leaf.transpose(0, 1).split(1)
            right = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            (by_qkv,) = torch.autograd.grad(right.sum(), leaf)
        q, k, v = qkv.split(1, dim=1)
        attended, sums = packed.forward(q, k, v)
        gradients = packed.backward(q, k, v, sums, torch.ones_like(attended))
        pairs = [(attended, right.transpose(0, 1)), (torch.cat(gradients, 1), by_qkv)]
        return all(torch.allclose(ours.float(), right.float(), rtol=0.02, atol=0.02) for ours, right in pairs)
    except Exception:  # as in `_work`
        return False
