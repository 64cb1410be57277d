"""The compute dtype, chosen by measuring. Master weights are fp32 either way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from assay.errors import ConfigError

Precision = Literal["auto", "bf16", "fp16", "fp32"]

MIN_SPEEDUP = 1.2
"""Smallest speedup of bf16 over fp32 on a CPU that is worth its rounding."""

_TOKENS, _HIDDEN, _INTERMEDIATE = 256, 576, 1536
"""The products that are timed: those of a small model's MLP over one micro-batch."""


@dataclass(frozen=True)
class PrecisionChoice:
    """The dtype to compute in, and why."""

    dtype: torch.dtype
    reason: str
    """Reason for the choice, one line for the console."""
    fp32_seconds: float | None = None
    """Fastest measured time of one block of products; None where nothing was measured."""
    bf16_seconds: float | None = None

    @property
    def speedup(self) -> float | None:
        """Speedup of bf16: fp32's seconds over bf16's; None where they were not measured."""
        if self.fp32_seconds is None or self.bf16_seconds is None:
            return None
        return self.fp32_seconds / self.bf16_seconds


def choose_dtype(device: torch.device | str, requested: Precision = "auto") -> PrecisionChoice:
    """Choose the compute dtype. "auto": on CUDA bf16 where the device has it; on a CPU whichever measures faster, in <
    1 s.

    CPUs without bf16 instructions compute bf16 products many times slower than fp32 ones, and nothing but a measurement
    tells them apart reliably.

    Raises:
        ConfigError: `requested` is something else.
    """
    device = torch.device(device)
    if requested == "fp32":
        return PrecisionChoice(torch.float32, "fp32 as asked for")
    if requested == "bf16":
        return PrecisionChoice(torch.bfloat16, "bf16 as asked for")
    if requested == "fp16":
        return PrecisionChoice(torch.float16, "fp16 as asked for")
    if requested != "auto":
        raise ConfigError(f"precision {requested!r} is unknown; use 'auto', 'bf16', 'fp16' or 'fp32'")
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return PrecisionChoice(torch.bfloat16, "bf16: this GPU computes it natively")
        return PrecisionChoice(torch.float32, "fp32: this GPU does not compute bf16 natively")
    fp32_seconds = _measure(_products(device, torch.float32))
    bf16_seconds = _measure(_products(device, torch.bfloat16))
    return _faster(fp32_seconds, bf16_seconds)


def _faster(fp32_seconds: float, bf16_seconds: float) -> PrecisionChoice:
    speedup = fp32_seconds / bf16_seconds
    dtype, name = (torch.bfloat16, "bf16") if speedup >= MIN_SPEEDUP else (torch.float32, "fp32")
    reason = f"{name}: bf16 products measured {speedup:.1f} times as fast as fp32 ones, {MIN_SPEEDUP} is asked for"
    return PrecisionChoice(dtype, reason, fp32_seconds, bf16_seconds)


def _products(device: torch.device, dtype: torch.dtype) -> Callable[[], object]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(_TOKENS, _HIDDEN, generator=generator).to(device, dtype)
    up = torch.randn(_INTERMEDIATE, _HIDDEN, generator=generator).to(device, dtype)
    down = torch.randn(_HIDDEN, _INTERMEDIATE, generator=generator).to(device, dtype)

    def block() -> object:
        with torch.no_grad():
            return torch.nn.functional.linear(torch.nn.functional.linear(x, up), down)

    return block


def _measure(block: Callable[[], object], budget_seconds: float = 0.2, max_repeats: int = 10) -> float:
    """Return the seconds of the fastest repeat: what other work on the machine adds is never subtracted, so the least
    is best."""
    began = time.perf_counter()
    block()  # Warms up: threads, kernels, pages.
    fastest = float("inf")
    for _ in range(max_repeats):
        start = time.perf_counter()
        block()
        fastest = min(fastest, time.perf_counter() - start)
        if time.perf_counter() - began > budget_seconds:
            break
    return fastest
