"""Memory that a run will need, estimated from the model's shape before anything is loaded.

Symbols: P parameters, T tokens of a micro-batch, H hidden size, I intermediate size, V vocabulary, Q query heads,
K key-value heads, D head size, b bytes of the compute dtype.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from assay.engines.local.prefixes import PREFIX_CACHE_BYTES
from assay.errors import ConfigError
from assay.policies.head import CHUNK_ROWS, MAX_KEPT_ELEMENTS
from assay.policies.shape import ModelShape

MOST_HELD = 1.2
"""Multiple of what a process should need, beyond which freed memory is given back."""

_PROCESS_BYTES, _PROCESS_BYTES_OF_DECODER = 330_000_000, 520_000_000
"""The interpreter and its libraries: for models of transformers, and for our decoder, which compiles kernels."""
_FREED_BYTES = 300_000_000
"""Freed blocks on a CPU that nothing fits in which is asked for next, of our decoder, where they are not given back
before each update. Measured in fp32 on SmolLM2-135M at 500 and 1,000 tokens; for others a part of the share below."""
_HELD_SHARE, _HELD_SHARE_OF_DECODER = 0.83, 0.12
"""Shares of all layers' activations that freed blocks and temporaries come to on a CPU: for models of transformers, and
for our decoder. Taken from peaks of two updates of SmolLM2-135M at 4,000 tokens and, for hf, 1,000."""


def keep_freed_memory() -> bool:
    """Make the C library keep large freed blocks for the next allocation, where it is glibc; return whether it will.

    By default each large tensor is mapped anew and its pages are faulted in one by one.
    """
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of malloc.h
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(mmap_max, 0)) and bool(mallopt(trim_threshold, 2**31 - 1))


def tidy_memory(expected_bytes: int, device: torch.device | str) -> int:
    """Bytes in use; where a process holds more than it should need, freed blocks are given back to the system first.

    Freed blocks of other sizes than are asked for next pile up, since they are kept (`keep_freed_memory`). Giving them
    back costs one fault a page when they are next used.

    Args:
        expected_bytes: what it should need; 0 where that is not known.

    Returns:
        Of a GPU what PyTorch's tensors took at most since the last call; of a CPU what the process holds, before it
        gave any back; 0 where the system does not say.
    """
    if torch.device(device).type == "cuda":
        most = torch.cuda.max_memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        return most
    held = _resident_bytes()
    if expected_bytes and held > MOST_HELD * expected_bytes:
        give_back_freed_memory()
    return held


def give_back_freed_memory() -> None:
    """Give freed blocks back to the system, where the C library is glibc."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class MemoryRow:
    """One line of the estimate."""

    name: str
    num_bytes: int
    how: str
    """Explanation of the number: what it is made of."""
    certain: bool = True
    """True where the memory is needed whatever is sampled: weights and what goes with them, not caches and
    activations."""
    when: Literal["always", "sampling", "updating"] = "always"
    """The part of a step that holds it: what sampling holds is given back before an update begins, and the reverse."""


@dataclass(frozen=True)
class MemoryEstimate:
    """An estimate of the memory a run needs, part by part. How well the allocator uses freed blocks is measured, not
    known."""

    rows: tuple[MemoryRow, ...]

    @property
    def total_bytes(self) -> int:
        """Bytes at the peak: what is always there, and what sampling or an update holds, whichever is more."""
        return self.bytes_when("always") + max(self.bytes_when("sampling"), self.bytes_when("updating"))

    def bytes_when(self, when: str) -> int:
        """Bytes that one part of a step holds, or what is always there."""
        return sum(row.num_bytes for row in self.rows if row.when == when)

    @property
    def certain_bytes(self) -> int:
        """Bytes that are needed even for the smallest micro-batch."""
        always, sampling, updating = (
            sum(row.num_bytes for row in self.rows if row.certain and row.when == when)
            for when in ("always", "sampling", "updating")
        )
        return always + max(sampling, updating)

    def lines(self) -> list[str]:
        """The table as text, one row a line, the total last."""
        rows = [*self.rows, MemoryRow("total", self.total_bytes, "at the peak")]
        width = max(len(row.name) for row in rows)
        return [f"{row.name:<{width}}  {row.num_bytes / 1e6:>9,.1f} MB  {row.how}" for row in rows]

    def summary(self, available_bytes: int) -> str:
        """Return the estimate in one line, its largest parts first."""
        return (
            f"about {_gigabytes(self.total_bytes)} of {_gigabytes(available_bytes)}: {', '.join(self.largest())}, ..."
        )

    def largest(self) -> list[str]:
        """Return its three largest parts in words, the largest first."""
        largest = sorted(self.rows, key=lambda row: -row.num_bytes)[:3]
        return [f"{row.name} {_gigabytes(row.num_bytes)}" for row in largest]


def memory_estimate(
    shape: ModelShape,
    *,
    compute_dtype: torch.dtype,
    tokens_per_microbatch: int,
    num_slots: int,
    slot_tokens: int,
    num_kept: int = 0,
    prefix_cache_bytes: int = PREFIX_CACHE_BYTES,
    keeps_cache: bool = False,
    train: bool = True,
    num_trainable: int | None = None,
    num_frozen_parameters: int = 0,
    samples: bool = True,
    has_logits: bool = True,
    critic: bool = False,
    gradient_checkpointing: bool = False,
    gives_back: bool = False,
    device: torch.device | str = "cpu",
) -> MemoryEstimate:
    """Bytes of a policy in training and of its engine, in one process.

    Args:
        compute_dtype: of products and activations; master weights, gradients and moments are fp32.
        tokens_per_microbatch: T, packed tokens of one forward and backward pass.
        num_slots, slot_tokens: of the engine's key-value cache: sequences at once, and the longest of them.
        num_kept: sequences beside them whose keys and values the engine keeps for their next turns, as far as they fit.
        prefix_cache_bytes: most memory for these.
        keeps_cache: whether keys and values stay during updates, as where groups are under way beyond a step.
        train: False leaves out what only updates need, as in evaluation.
        num_trainable: parameters of an adapter, which alone have gradients and moments; None: all weights are trained.
        num_frozen_parameters: of models that are kept beside it and not trained: a reference, a teacher.
        samples: False where responses are given and there is no engine.
        has_logits: False for a reward model, which predicts no tokens.
        critic: whether a value model of the same shape is trained too, all of it or an adapter of its own.
        gradient_checkpointing: whether only each layer's input is kept for the backward pass.
        gives_back: whether freed blocks go back to the system before each update, as with a limit.
        device: where it is computed; a CPU attends in fp32.
    """
    P, b = shape.num_parameters, compute_dtype.itemsize
    trained = P if num_trainable is None else num_trainable
    when_sampling = "always" if keeps_cache else "sampling"
    # An engine for models of transformers keeps its copy.
    when_serving = when_sampling if shape.kind == "decoder" else "always"
    layers, cached = shape.num_layers, 2 * shape.num_kv_heads * shape.head_size
    rows = [MemoryRow("weights", 4 * P, f"{P:,} parameters in fp32")]
    if samples:
        slots = num_slots * slot_tokens * layers * cached * b
        how = f"{num_slots} slots of {slot_tokens:,} tokens, {layers * cached * b:,} bytes a token"
        rows.append(MemoryRow("serving view", b * P, f"the engine's copy, {b} bytes each", when=when_serving))
        rows.append(MemoryRow("key-value cache", slots, how, certain=False, when=when_sampling))
    if samples and num_kept and prefix_cache_bytes:
        kept = min(prefix_cache_bytes, num_kept * slot_tokens * layers * cached * b)
        how = f"{num_kept} sequences that wait or have ended, at most {_gigabytes(prefix_cache_bytes)}"
        rows.append(MemoryRow("kept prefixes", kept, how, certain=False, when=when_sampling))
    if num_frozen_parameters:
        how = f"{num_frozen_parameters:,} parameters in fp32, not trained"
        rows.append(MemoryRow("frozen models", 4 * num_frozen_parameters, how))
    if num_trainable is not None:
        rows.append(MemoryRow("adapter", 4 * trained, f"{trained:,} parameters in fp32: only they are trained"))
    if critic:
        rows.append(MemoryRow("critic", 16 * trained, "what it trains, its gradients and two moments, in fp32"))
    if train:
        rows += [
            MemoryRow("gradients", 4 * trained, "fp32, during updates", when="updating"),
            MemoryRow("optimizer", 8 * trained, "two fp32 moments a parameter"),
            *_of_an_update(
                shape, b, tokens_per_microbatch, gradient_checkpointing, torch.device(device).type, has_logits
            ),
        ]
        if torch.device(device).type == "cpu":
            freed = 0 if gives_back or shape.kind != "decoder" else _FREED_BYTES
            # The matrix of the vocabulary has a gradient of the embedding in fp32, and one of the logits, summed up
            # in fp32 and in the compute dtype, before they are one.
            matrix = (4 + (4 + b) * has_logits) * shape.vocab_size * shape.hidden_size
            freed += matrix if num_trainable is None else 0
            rows += _held_by_the_process(shape, b, tokens_per_microbatch, freed)
    return MemoryEstimate(tuple(rows))


def check_memory(estimate: MemoryEstimate, device: torch.device | str, limit_bytes: float = math.inf) -> int:
    """Makes sure that a device can hold what is needed in any case; returns its bytes in all, or those of the limit.

    Args:
        limit_bytes: most that the run may take of them.

    Raises:
        ConfigError: it cannot.
    """
    available = int(min(device_memory_bytes(device), limit_bytes))
    if estimate.certain_bytes <= available:
        return available
    parts = ", ".join(f"{row.name} {_gigabytes(row.num_bytes)}" for row in estimate.rows if row.certain)
    limited = " by max_memory" if limit_bytes <= available else ""
    raise ConfigError(
        f"this run needs at least {_gigabytes(estimate.certain_bytes)} ({parts}) and {device} has "
        f"{_gigabytes(available)}{limited}; train adapters (LoRA) in place of all weights, leave out the reference, "
        "critic or teacher, use model.compute_dtype='bf16', a smaller model, or a machine with more memory. What comes "
        "on top is lowered by model.gradient_checkpointing=true, tokens_per_microbatch and num_slots"
    )


def device_memory_bytes(device: torch.device | str, control_groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Memory of a device in all: of a GPU its own, of a CPU what this process may use.

    Args:
        control_groups: where the limits of containers and services are found.
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([installed, *_limits(control_groups)])


def _limits(control_groups: Path) -> Iterator[int]:
    """Limits of this process's control group and of those around it, versions 1 and 2; unlimited ones left out."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    places = {Path(line.split(":", 2)[2].lstrip("/")) for line in lines if line.count(":") >= 2} | {Path()}
    around = [folder for place in places for folder in (place, *place.parents)]
    for folder in dict.fromkeys(control_groups / part / folder for part in ("", "memory") for folder in around):
        for name in ("memory.max", "memory.limit_in_bytes"):
            try:
                yield int((folder / name).read_text())
            except (OSError, ValueError):
                continue  # Not there, or "max": no limit.


def _of_an_update(
    shape: ModelShape, b: int, T: int, gradient_checkpointing: bool, device_type: str, has_logits: bool
) -> list[MemoryRow]:
    """Return what one forward and backward pass over T tokens holds beside weights and gradients."""
    P, H, V, layers = shape.num_parameters, shape.hidden_size, shape.vocab_size, shape.num_layers
    logits = min(T * V, MAX_KEPT_ELEMENTS) * b + 3 * CHUNK_ROWS * V * 4
    per_layer = _activation_bytes(shape, b, device_type)
    per_token = layers * 4 * H + per_layer if gradient_checkpointing else layers * per_layer
    how = "the input of every layer, and one layer whole" if gradient_checkpointing else f"{per_token:,} bytes each"
    # fp32 weights are used as they are, but for those of a decoder that are fused; of bf16 there is a copy of all.
    queries, keys = shape.num_query_heads * shape.head_size, shape.num_kv_heads * shape.head_size
    fused = layers * H * (queries + 2 * keys + 2 * shape.intermediate_size) if shape.kind == "decoder" else 0
    copied = b * (P if b < 4 else fused)
    how_copied = "fused, in the compute dtype, for the backward pass"
    of_logits = f"kept probabilities, and chunks of {CHUNK_ROWS} rows in fp32"
    if gradient_checkpointing:
        copied //= layers
    rows = [
        MemoryRow("cast weights", copied, how_copied, certain=False, when="updating"),
        MemoryRow("activations", T * (per_token + b * H), f"{T:,} tokens, {how}", certain=False, when="updating"),
    ]
    return [*rows, MemoryRow("logits", logits, of_logits, certain=False, when="updating")] if has_logits else rows


def _held_by_the_process(shape: ModelShape, b: int, T: int, freed: int) -> list[MemoryRow]:
    """Return what a process on a CPU holds beside the tensors that are counted."""
    share, process = _HELD_SHARE, _PROCESS_BYTES
    if shape.kind == "decoder":
        share, process = _HELD_SHARE_OF_DECODER, _PROCESS_BYTES_OF_DECODER
    held = int(share * T * shape.num_layers * _activation_bytes(shape, b, "cpu"))
    how = "gradients on their way, and freed blocks: measured"
    return [
        MemoryRow("process", process, "the interpreter and its libraries", certain=False),
        MemoryRow("temporaries", held + freed, how, certain=False, when="updating"),
    ]


def _activation_bytes(shape: ModelShape, b: int, device_type: str) -> int:
    """Return the bytes that one layer keeps of one token for its backward pass; counted by hooks on SmolLM2-135M within
    2 %.

    Two norms: input in fp32, scaled and multiplied result. Attention: queries, keys and values at Q heads, the result
    twice (the kernel's and the product's input); in bf16 on a CPU the kernel's are fp32, keys and values at K heads.
    MLP: gate and up, silu(gate), their product.

    Compiled in fp32: the norms' inputs and results; queries and keys as rotated, the product that values are a part of,
    and the attended values; gate and up, and the MLP's product.

    Modules of transformers: the norms keep input and scaled input in fp32, and autocast a copy for each product.
    """
    queries, keys = shape.num_query_heads * shape.head_size, shape.num_kv_heads * shape.head_size
    sizes = shape.hidden_size, shape.intermediate_size, shape.head_size
    if shape.kind == "decoder" and device_type == "cpu" and b == 4 and all(size % 32 == 0 for size in sizes):
        return 2 * (4 + b) * shape.hidden_size + 3 * b * (queries + keys) + 3 * b * shape.intermediate_size
    norms, attention = 2 * (4 + 2 * b) * shape.hidden_size, 5 * b * queries
    if shape.kind != "decoder":
        norms, attention = (16 + (5 if b < 4 else 2) * b) * shape.hidden_size, 2 * b * (queries + keys)
    elif device_type == "cpu" and b < 4:
        attention = b * queries + 2 * 4 * (queries + keys)
    return norms + attention + 4 * b * shape.intermediate_size


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:,.1f} GB"
