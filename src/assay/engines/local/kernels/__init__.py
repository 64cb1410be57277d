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
from assay.policies.decoder import Elementwise, swiglu


def compiled_elementwise() -> Elementwise:
    """The compiled forms; ask `available` first."""
    kernels = importlib.import_module("assay.engines.local.kernels.elementwise")
    return Elementwise(kernels.rms_norm, kernels.rotate, kernels.swiglu)


def available(config: DecoderConfig, dtype: torch.dtype, device: torch.device | str) -> bool:
    """Whether there are kernels for this model, dtype and device."""
    sizes = (config.hidden_size, config.intermediate_size, config.head_size)
    return (
        dtype == torch.bfloat16
        and torch.device(device).type == "cpu"
        and all(size % 32 == 0 for size in sizes)
        and _works()
    )


@functools.cache
def _works() -> bool:
    """Tried once. Big-endian processors hold pairs of bf16 numbers the other way round."""
    try:
        # Imported here: where numba does not load, the plain forms serve.
        team = importlib.import_module("assay.engines.local.kernels.team")
        if sys.byteorder != "little" or team.find_parallel() is None:
            return False
        kernels = importlib.import_module("assay.engines.local.kernels.elementwise")
        x = torch.linspace(-3, 3, 64).to(torch.bfloat16).view(1, 64)
        return torch.allclose(kernels.swiglu(x).float(), swiglu(x).float(), rtol=0.02, atol=1e-3)
    except Exception:  # numba refuses in many ways: a processor or a Python that it does not know
        return False
