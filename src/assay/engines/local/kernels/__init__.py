"""Compiled forms of what the local engine does beside matrix products, for bf16 on a CPU.

Written with numba, compiled for the processor at hand when first used, run on PyTorch's own threads. Where a machine or
a model does not allow them, the plain forms serve.
"""

from __future__ import annotations

import functools
import importlib
import sys

import torch

from assay.policies.config import DecoderConfig
from assay.policies.decoder import PLAIN, Elementwise


def compiled_elementwise() -> Elementwise:
    """The compiled forms; ask `available` first."""
    kernels = importlib.import_module("assay.engines.local.kernels.elementwise")
    return Elementwise(kernels.rms_norm, kernels.rotate, kernels.swiglu)


def available(config: DecoderConfig, dtype: torch.dtype, device: torch.device | str) -> bool:
    """Whether there are kernels for this model, dtype and device. Compiles them, at the first call in a process."""
    sizes = (config.hidden_size, config.intermediate_size, config.head_size)
    return (
        dtype == torch.bfloat16
        and torch.device(device).type == "cpu"
        and all(size % 32 == 0 for size in sizes)
        and _work(config.head_size)
    )


@functools.cache
def _work(head_size: int) -> bool:
    """Each is tried once, on one token."""
    # Big-endian processors hold pairs of bf16 numbers the other way round.
    if sys.byteorder != "little":
        return False
    try:
        team = importlib.import_module("assay.engines.local.kernels.team")
        if team.find_parallel() is None:
            return False
        attention = importlib.import_module("assay.engines.local.kernels.attention")
        compiled, plain = compiled_elementwise(), PLAIN
        x = torch.linspace(-3, 3, 2 * head_size).view(1, -1)
        low = x.to(torch.bfloat16)
        head = low.view(1, 2, head_size)
        pairs = [
            (compiled.rms_norm(x, low[0], 1e-5), plain.rms_norm(x, low[0], 1e-5)),
            (compiled.swiglu(low), plain.swiglu(low)),
            (compiled.rotate(head, head[:, :1], head[:, 1:]), plain.rotate(head, head[:, :1], head[:, 1:])),
            # The only token of its row takes its own value.
            (attention.attend_once(head[:, :1], head[:, :1], head[:, 1:]), head[:, 1:]),
        ]
        return all(torch.allclose(ours.float(), theirs.float(), rtol=0.02, atol=1e-3) for ours, theirs in pairs)
    except Exception:  # numba refuses in many ways: a processor or a Python that it does not know
        return False
