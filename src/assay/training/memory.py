"""What a run will need in memory, reckoned from the model's shape before anything is loaded.

Symbols: P parameters, T tokens of a micro-batch, H hidden size, I intermediate size, V vocabulary, Q query heads,
K key-value heads, D head size, b bytes of the compute dtype.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass

import torch

from assay.policies.config import DecoderConfig
from assay.policies.head import CHUNK_ROWS, MAX_KEPT_ELEMENTS
from assay.policies.layers import weight_shapes


def keep_freed_memory() -> bool:
    """Has the C library keep large freed blocks for the next allocation, where it is glibc; says whether it will.

    By default each large tensor is mapped anew and its pages are faulted in one by one.
    """
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of malloc.h
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(mmap_max, 0)) and bool(mallopt(trim_threshold, 2**31 - 1))


@dataclass(frozen=True)
class MemoryRow:
    """One line of the estimate."""

    name: str
    num_bytes: int
    how: str
    """What it is made of."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Where the memory goes. An estimate: allocators, kernels and the interpreter add to it."""

    rows: tuple[MemoryRow, ...]

    @property
    def total_bytes(self) -> int:
        """Everything at once; gradients and activations are gone while sampling, so the peak is no higher."""
        return sum(row.num_bytes for row in self.rows)

    def lines(self) -> list[str]:
        """The table as text, one row a line, the total last."""
        rows = [*self.rows, MemoryRow("total", self.total_bytes, "beside the interpreter and its libraries")]
        width = max(len(row.name) for row in rows)
        return [f"{row.name:<{width}}  {row.num_bytes / 1e6:>9,.1f} MB  {row.how}" for row in rows]


def memory_estimate(
    config: DecoderConfig,
    *,
    compute_dtype: torch.dtype,
    tokens_per_microbatch: int,
    num_slots: int,
    slot_tokens: int,
    train: bool = True,
    num_frozen_parameters: int = 0,
    critic: bool = False,
    num_trained: int | None = None,
) -> MemoryEstimate:
    """Bytes of a policy in training and of its engine, in one process.

    Args:
        compute_dtype: of products and activations; master weights, gradients and moments are fp32.
        tokens_per_microbatch: T, packed tokens of one forward and backward pass.
        num_slots, slot_tokens: of the engine's key-value cache: sequences at once, and the longest of them.
        train: False leaves out what only updates need, as in evaluation.
        num_frozen_parameters: of models that are kept beside it and not trained: a reference, a teacher.
        critic: whether a value model of the same shape is trained too.
        num_trained: parameters of the adapter that is trained, where not all weights are; a critic has as many.
    """
    P = num_parameters(config)
    trained = P if num_trained is None else num_trained
    b = compute_dtype.itemsize
    T, H, V = tokens_per_microbatch, config.hidden_size, config.vocab_size
    layers, cached = config.num_layers, 2 * config.num_kv_heads * config.head_size
    rows = [
        MemoryRow("weights", 4 * P, f"{P:,} parameters in fp32"),
        MemoryRow("serving view", b * P, f"the engine's copy, {b} bytes each"),
        MemoryRow(
            "key-value cache",
            num_slots * slot_tokens * layers * cached * b,
            f"{num_slots} slots of {slot_tokens:,} tokens, {layers * cached * b:,} bytes a token",
        ),
    ]
    if num_frozen_parameters:
        how = f"{num_frozen_parameters:,} parameters in fp32, not trained"
        rows.append(MemoryRow("frozen models", 4 * num_frozen_parameters, how))
    if num_trained is not None:
        rows.append(MemoryRow("adapter", 4 * trained, f"{trained:,} parameters in fp32: only they are trained"))
    if critic:
        rows.append(MemoryRow("critic", 16 * trained, "what it trains, its gradients and two moments, in fp32"))
    if train:
        per_token = layers * _activation_bytes(config, b)
        logits = min(T * V, MAX_KEPT_ELEMENTS) * b + 3 * CHUNK_ROWS * V * 4
        rows += [
            MemoryRow("gradients", 4 * trained, "fp32, during updates"),
            MemoryRow("optimizer", 8 * trained, "two fp32 moments a parameter"),
            MemoryRow("cast weights", b * P, "fused, in the compute dtype, for the backward pass"),
            MemoryRow(
                "activations", T * (per_token + b * H), f"{T:,} tokens, {per_token:,} bytes each, during updates"
            ),
            MemoryRow("logits", logits, f"kept probabilities, and chunks of {CHUNK_ROWS} rows in fp32"),
        ]
    return MemoryEstimate(tuple(rows))


def num_parameters(config: DecoderConfig) -> int:
    """Of a model of this shape."""
    return sum(math.prod(shape) for shape in weight_shapes(config).values())


def _activation_bytes(config: DecoderConfig, b: int) -> int:
    """What one layer keeps of one token for its backward pass, following `decoder_layer` line by line.

    Two norms: input in fp32, scaled and multiplied result. Attention: queries, keys and values at Q heads, the result
    twice (the kernel's and the product's input). MLP: gate and up, silu(gate), their product.
    """
    norms = 2 * (4 + 2 * b) * config.hidden_size
    attention = 5 * b * config.num_query_heads * config.head_size
    mlp = 4 * b * config.intermediate_size
    return norms + attention + mlp
