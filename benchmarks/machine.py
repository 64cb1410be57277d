"""What this machine can do: the rate of the model's own matrix products and of memory, and whether others use it.

Shape letters: M rows of a product, H hidden size, I intermediate size, V vocabulary.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from assay.engines.local.packing import packed, packs
from assay.policies.config import DecoderConfig
from assay.policies.decoder import linear

MAX_BUSY_SHARE = 0.15
"""Of the processor's time, by others, above which nothing is measured."""


@dataclass(frozen=True)
class Products:
    """Seconds of a model's matrix products over M rows, as the fastest of several passes over real-sized weights."""

    body_seconds: float
    """All layers, once: queries to down, one pass forward."""
    head_seconds: float
    """Logits of all rows."""
    gigaflops: float
    """Operations of both over their seconds."""


class Machine:
    """Measures; each figure once.

    Args:
        dtype: that the sides compute in, and the floor with them.
    """

    def __init__(self, config: DecoderConfig, dtype: torch.dtype = torch.bfloat16) -> None:
        self.config, self.dtype = config, dtype
        self._weights: dict[torch.dtype, list[tuple[torch.Tensor, ...]]] = {}
        """Each plain, and packed where the CPU's kernels take it so."""
        self._heads: dict[torch.dtype, tuple[torch.Tensor, ...]] = {}
        self._forward: dict[tuple[int, torch.dtype], Products] = {}

    def forward(self, rows: int, dtype: torch.dtype | None = None) -> Products:
        """The products of one forward pass over `rows` rows, every layer with weights of its own: none stays in a cache
        that a real pass would not leave it in."""
        rows, dtype = max(1, rows), dtype or self.dtype
        key = (rows, dtype)
        if key not in self._forward:
            weights, head = self._layers(dtype), self._heads[dtype]
            inputs = {size: torch.randn(rows, size).to(dtype) for size in {w.shape[1] for w, *_ in weights}}

            def body(kind: int) -> None:
                for pair in weights:
                    linear(inputs[pair[0].shape[1]], pair[kind])

            # Whichever kernel is faster: a floor must not profit from a slow one.
            body_seconds = min(fastest(functools.partial(body, kind)) for kind in range(len(head)))
            # Logits of many rows are made in chunks, as nobody holds them all.
            chunk = inputs[self.config.hidden_size][: min(rows, 512)]
            head_seconds = min(fastest(functools.partial(linear, chunk, each)) for each in head) * rows / len(chunk)
            operations = 2 * rows * (sum(w.numel() for w, *_ in weights) + head[0].numel())
            self._forward[key] = Products(body_seconds, head_seconds, operations / (body_seconds + head_seconds) / 1e9)
        return self._forward[key]

    def bytes_per_second(self) -> float:
        """Of a large copy: what is read and what is written."""
        source = torch.zeros(1 << 28, dtype=torch.uint8)
        target = torch.empty_like(source)
        return 2 * source.numel() / fastest(lambda: target.copy_(source))

    def describe(self) -> dict[str, float]:
        """Rates of the sides' dtype and, at few rows, of the other one: at many it can take minutes."""
        names = {torch.bfloat16: "bf16", torch.float32: "fp32"}
        own, other = names[self.dtype], next(dtype for dtype in names if dtype != self.dtype)
        return {
            f"{own}_gigaflops_64_rows": self.forward(64).gigaflops,
            f"{own}_gigaflops_2048_rows": self.forward(2048).gigaflops,
            f"{names[other]}_gigaflops_64_rows": self.forward(64, other).gigaflops,
            "memory_gigabytes_per_second": self.bytes_per_second() / 1e9,
        }

    def _layers(self, dtype: torch.dtype) -> list[tuple[torch.Tensor, ...]]:
        if dtype not in self._weights:
            c = self.config
            queries, keys = c.num_query_heads * c.head_size, c.num_kv_heads * c.head_size
            shapes = [
                (queries + 2 * keys, c.hidden_size),
                (c.hidden_size, queries),
                (2 * c.intermediate_size, c.hidden_size),
                (c.hidden_size, c.intermediate_size),
            ]
            self._weights[dtype] = [_weight(shape, dtype) for _ in range(c.num_layers) for shape in shapes]
            self._heads[dtype] = _weight((c.vocab_size, c.hidden_size), dtype)
        return self._weights[dtype]


def _weight(shape: tuple[int, int], dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    plain = torch.randn(shape).to(dtype)
    return (plain, packed(plain)) if packs(dtype, "cpu") else (plain,)


@torch.inference_mode()
def fastest(work: Callable[[], object], budget_seconds: float = 1.5, max_repeats: int = 20) -> float:
    """Seconds of the fastest repeat: what others add is never taken away, so the least is nearest to the machine's."""
    work()
    began, best = time.perf_counter(), float("inf")
    for _ in range(max_repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
        if time.perf_counter() - began > budget_seconds:
            break
    return best


def busy_share(seconds: float = 1.0) -> float:
    """Share of all cores' time that was used while this process slept; 0 where the system does not say."""

    def ticks() -> tuple[int, int]:
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
        # idle and waiting for a disk; guests are counted in user time already.
        return fields[3] + fields[4], sum(fields[:8])

    try:
        idle, total = ticks()
        time.sleep(seconds)
        idle_after, total_after = ticks()
    except (OSError, ValueError, IndexError):
        return 0.0
    return 1 - (idle_after - idle) / max(1, total_after - total)


def refuse_if_busy() -> None:
    """Ends the program where others use the machine: a figure taken then says nothing."""
    share = busy_share()
    if share > MAX_BUSY_SHARE:
        raise SystemExit(
            f"others use {share:.0%} of this machine's {os.cpu_count()} cores (load {os.getloadavg()[0]:.1f}); "
            "stop them, or measure anyway with --busy"
        )
