"""Tensors that outlive the pass that they are made in, on pages of their own.

The C library keeps blocks that are freed (`training.keep_freed_memory`), so that the tensors of one pass are where
those of the last one were. Weights, gradients and moments among them would cut that memory into pieces that the next
pass does not fit in, and what is freed of them would not go back to the system.
"""

from __future__ import annotations

import contextlib
import math
import mmap
from collections.abc import Sequence

import torch
from torch import Tensor

SMALLEST_BYTES = 2**18
"""Tensors of fewer bytes are not worth their pages."""


def long_lived_zeros(shape: Sequence[int], dtype: torch.dtype, device: torch.device | str = "cpu") -> Tensor:
    """Return a tensor of zeros. On a CPU the system has its memory back as soon as it is dropped, and none is taken
    before it is written to.

    Args:
        shape: of any number of dimensions; a small tensor is an ordinary one.
    """
    num_bytes = math.prod(shape) * dtype.itemsize
    if torch.device(device).type != "cpu" or num_bytes < SMALLEST_BYTES:
        return torch.zeros(tuple(shape), dtype=dtype, device=device)
    pages = mmap.mmap(-1, num_bytes)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):
            pages.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(pages, dtype=dtype).reshape(tuple(shape))
