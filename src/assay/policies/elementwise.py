"""The operations of a layer beside products and attention: plain, and compiled for bf16 and fp32 on a CPU.

The compiled forms (`assay.kernels`) go through memory once where the plain ones go several times, round where those do,
and keep less for the backward pass.

Shape letters: T tokens, H hidden size, I inner size, D head size.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.autograd.function import once_differentiable

from assay import kernels
from assay.policies.config import DecoderConfig


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """x / rms(x) * weight over the last dimension, in fp32 inside. Zhang and Sennrich 2019, arXiv 1910.07467.

    The result has the dtype of `weight`, so that an fp32 residual stream feeds products in bf16.
    """
    wide = x.float()
    scaled = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
    return weight * scaled.to(weight.dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding, half-split form as in Hugging Face checkpoints. Su et al. 2021, arXiv 2104.09864.

    Args:
        x: [T, heads, D]
        cos, sin: [T, 1, D], of the tokens' positions.
    """
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-right, left), dim=-1) * sin


def swiglu(gate_up: Tensor) -> Tensor:
    """silu(gate) * up of [T, 2 I], gate, then up. Shazeer 2020, "GLU Variants Improve Transformer", arXiv
    2002.05202."""
    gate, up = gate_up.chunk(2, dim=-1)
    return F.silu(gate) * up


class Elementwise(NamedTuple):
    """The operations of a layer beside products and attention; the compiled forms give the same numbers, sooner."""

    rms_norm: Callable[[Tensor, Tensor, float], Tensor] = rms_norm
    rotate: Callable[[Tensor, Tensor, Tensor], Tensor] = rotate
    swiglu: Callable[[Tensor], Tensor] = swiglu


PLAIN = Elementwise()


def compiles(config: DecoderConfig, dtype: torch.dtype, device: torch.device | str) -> bool:
    """Return whether there are kernels for this model, dtype and device."""
    return kernels.available(
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        head_size=config.head_size,
        dtype=dtype,
        device=device,
    )


# ---- compiled ----


@functools.cache
def _kernels() -> ModuleType:
    """Return the kernels' module, imported when it is first used: only who can use numba has to have it."""
    from assay.kernels import elementwise

    return elementwise


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.epsilon = epsilon
        return _kernels().rms_norm(x, weight, epsilon)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight = ctx.saved_tensors
        by_x, by_weight = _kernels().rms_norm_backward(x, weight, gradients[0].contiguous(), ctx.epsilon)
        return by_x, by_weight, None


class _Swiglu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        ctx.save_for_backward(gate_up)
        return _kernels().swiglu(gate_up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _kernels().swiglu_backward(ctx.saved_tensors[0], gradients[0].contiguous())


class _Rotate(torch.autograd.Function):
    """The rotation of queries and keys; its gradient is rotated back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _kernels().rotate(x, cos, sin)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        cos, sin = ctx.saved_tensors
        return _kernels().rotate(gradients[0].contiguous(), cos, -sin), None, None


# Where no gradient is wanted, nothing stands between: in a pass of a few rows every call counts.


def _rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    if x.dtype != torch.float32:
        return rms_norm(x, weight, epsilon)
    if not torch.is_grad_enabled():
        return _kernels().rms_norm(x.contiguous(), weight.contiguous(), epsilon)
    return _RmsNorm.apply(x.contiguous(), weight.contiguous(), epsilon)  # pyright: ignore[reportReturnType]


def _swiglu(gate_up: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return _kernels().swiglu(gate_up.contiguous())
    return _Swiglu.apply(gate_up.contiguous())  # pyright: ignore[reportReturnType]


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    heads_lie_side_by_side = x.stride(2) == 1 and x.stride(1) == x.shape[2]
    x = x if heads_lie_side_by_side else x.contiguous()
    if not torch.is_grad_enabled():
        return _kernels().rotate(x, cos, sin)
    return _Rotate.apply(x, cos, sin)  # pyright: ignore[reportReturnType]


COMPILED = Elementwise(_rms_norm, _rotate, _swiglu)
