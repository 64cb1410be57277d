"""The compiled forms beside the plain ones at the sizes of SmolLM2-135M, in turn, by processor time:
`python benchmarks/kernel_forms.py --dtype fp32`. Processor time, so that others on the same cores count less."""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from assay.policies.attention import PackedAttention
from assay.policies.elementwise import COMPILED, PLAIN

HIDDEN, INNER, HEADS, KV_HEADS, HEAD = 576, 1536, 9, 3, 64
PAIRS = 7
LAYOUTS: dict[str, tuple[list[int], list[int]]] = {
    "an opening of 48, 16 prompts of 20 x 8 answers of 20": (
        [48, *[20] * 144],
        [0, *itertools.chain.from_iterable([0, *[1 + 9 * prompt] * 8] for prompt in range(16))],
    ),
    "32 sequences of 104": ([104] * 32, list(range(32))),
    "2 prompts of 512 x 8 answers of 64": ([512, *[64] * 8] * 2, [*[0] * 9, *[9] * 9]),
}
"""Name to lengths of segments, and the segment that each goes on from."""


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Processor seconds of one call."""
    began = time.process_time()
    for _ in range(repeats):
        work()
    return (time.process_time() - began) / repeats


def compare(name: str, plain: Callable[[], object], compiled: Callable[[], object], repeats: int) -> None:
    """Print how many times as fast the compiled form is."""
    plain(), compiled()
    pairs = [(seconds(plain, repeats), seconds(compiled, repeats)) for _ in range(PAIRS)]
    times = sorted(slow / fast for slow, fast in pairs)
    milliseconds = [1e3 * statistics.median(column) for column in zip(*pairs, strict=True)]
    print(
        f"{name:<72} {milliseconds[0]:8.3f} ms, compiled {milliseconds[1]:8.3f} ms: "
        f"{statistics.median(times):.1f} times ({times[0]:.1f} to {times[-1]:.1f})",
        flush=True,
    )


def elementwise(num_rows: int, dtype: torch.dtype) -> None:
    """Norm, activation and rotation of so many rows."""
    angles = torch.randn(num_rows, 1, HEAD // 2).repeat(1, 1, 2)
    inputs: dict[str, tuple[list[Tensor], tuple[Any, ...]]] = {
        "rms_norm": ([torch.randn(num_rows, HIDDEN), torch.randn(HIDDEN).to(dtype)], (1e-5,)),
        "swiglu": ([torch.randn(num_rows, 2 * INNER).to(dtype)], ()),
        "rotate": ([torch.randn(num_rows, HEADS, HEAD).to(dtype)], (angles.cos().to(dtype), angles.sin().to(dtype))),
    }
    repeats = max(5, 12_800 // num_rows)
    for name, (tensors, fixed) in inputs.items():
        for what, work in (("forward", forward), ("forward and backward", both)):
            plain, compiled = (partial(work, getattr(form, name), tensors, fixed) for form in (PLAIN, COMPILED))
            compare(f"{name}, {num_rows:,} rows, {what}", plain, compiled, repeats)


def forward(function: Callable[..., Tensor], tensors: list[Tensor], fixed: tuple[Any, ...]) -> None:
    """Compute without a gradient."""
    with torch.no_grad():
        function(*tensors, *fixed)


def both(function: Callable[..., Tensor], tensors: list[Tensor], fixed: tuple[Any, ...]) -> None:
    """Compute, and the gradients by the tensors."""
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    result = function(*leaves, *fixed)
    torch.autograd.grad(result, leaves, torch.ones_like(result))


def attention(name: str, dtype: torch.dtype) -> None:
    """Attention of a packed batch."""
    lengths, prefixes = LAYOUTS[name]
    starts: list[int] = []
    for segment, prefix in enumerate(prefixes):
        starts.append(0 if prefix == segment else starts[prefix] + lengths[prefix])
    segments = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    positions = torch.cat([torch.arange(start, start + n) for start, n in zip(starts, lengths, strict=True)])
    forms = [PackedAttention(segments, torch.tensor(prefixes), positions, compiled=each) for each in (False, True)]
    inputs = [torch.randn(len(segments), heads, HEAD).to(dtype) for heads in (HEADS, KV_HEADS, KV_HEADS)]

    for what, work in (("forward", forward), ("forward and backward", both)):
        plain, compiled = (partial(work, form, inputs, (None,)) for form in forms)
        compare(f"attention, {name}, {what}", plain, compiled, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    dtype = torch.float32 if options.dtype == "fp32" else torch.bfloat16
    for num_rows in (64, 2048):
        elementwise(num_rows, dtype)
    for name in LAYOUTS:
        attention(name, dtype)


if __name__ == "__main__":
    main()
