"""Memory of tensors on pages of their own: zero at first, an ordinary tensor, and gone when dropped."""

from __future__ import annotations

import gc

import pytest
import torch

from assay.long_lived import SMALLEST_BYTES, long_lived_zeros
from assay.training import keep_freed_memory
from assay.training.memory import _resident_bytes
from assay.training.optimizer import adamw, begin_gradients, begin_moments


@pytest.mark.parametrize("shape", [(), (3,), (0, 4), (SMALLEST_BYTES // 4, 1), (7, 11, 4001)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_zeros_that_can_be_written_to(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    zeros = long_lived_zeros(shape, dtype)
    assert (tuple(zeros.shape), zeros.dtype, bool(zeros.any()), zeros.is_contiguous()) == (shape, dtype, False, True)
    zeros += 1
    assert bool((zeros == 1).all())


def test_the_system_has_the_memory_back_at_once() -> None:
    keep_freed_memory()
    before = _resident_bytes()
    held = long_lived_zeros((1 << 24,), torch.float32)
    assert _resident_bytes() - before < 16 << 20, "nothing is taken before it is written to"
    held.fill_(1.0)
    assert _resident_bytes() - before > 60 << 20
    part = held[5:9]
    del held
    gc.collect()
    assert part.tolist() == [1.0] * 4, "a view keeps it"
    del part
    assert _resident_bytes() - before < 16 << 20


def test_adamw_steps_as_with_moments_and_gradients_of_its_own() -> None:
    ours, plain = ([torch.nn.Parameter(torch.linspace(-1, 1, 300_000).reshape(600, 500).clone())] for _ in range(2))
    for parameters in (ours, plain):
        optimizer = adamw(parameters, betas=(0.9, 0.999), epsilon=1e-8, weight_decay=0.1)
        optimizer.param_groups[0]["lr"] = 1e-2
        for number in range(2):
            if parameters is ours:
                begin_gradients(parameters)
                begin_moments(optimizer, parameters)
            (parameters[0] * torch.sin(torch.arange(500) + number)).sum().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    assert torch.equal(ours[0], plain[0])
