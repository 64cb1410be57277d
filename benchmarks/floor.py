"""The floor of each work: the operations and bytes that it cannot do without, over the measured rates of this machine.

Left out, so a floor is a little lower than any program can come: norms, rotations, activations, softmax, sampling.

Symbols: B rows sampled at once, T tokens, K key-value heads, D head size, P parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

from assay.policies.config import DecoderConfig
from machine import Machine


def rollouts(machine: Machine, prompt_lengths: Sequence[int], group_size: int, new_tokens: int) -> float:
    """Seconds: each distinct prompt once, then one token of every row at a time.

    A decode step multiplies with all weights and reads all keys and values; a prompt's are read once for its group.
    """
    rows = len(prompt_lengths) * group_size
    prompts = machine.forward(sum(prompt_lengths)).body_seconds + machine.forward(len(prompt_lengths)).head_seconds
    step = machine.forward(rows)
    per_token = _cached_bytes(machine.config, machine.dtype.itemsize)
    cached = sum(
        (sum(prompt_lengths) + rows * position) * per_token / machine.bytes_per_second()
        for position in range(new_tokens)
    )
    # The first new token comes with its prompt.
    return prompts + (new_tokens - 1) * (step.body_seconds + step.head_seconds) + cached


def update(machine: Machine, packed_tokens: int, predicted_tokens: int, num_parameters: int) -> float:
    """Seconds: three products of each weight (forward, and backward to inputs and to weights), four of the head, whose
    logits are not kept but computed again, and one pass of AdamW over weights, gradients and two moments."""
    body = 3 * machine.forward(packed_tokens).body_seconds
    head = 4 * machine.forward(predicted_tokens).head_seconds
    # Reads four, writes three fp32 numbers a parameter.
    optimizer = 7 * 4 * num_parameters / machine.bytes_per_second()
    return body + head + optimizer


def step(
    machine: Machine, prompt_lengths: Sequence[int], group_size: int, new_tokens: int, num_parameters: int
) -> float:
    """Seconds of rollouts and of an update on all of them; prompts stand once a group in both."""
    rows = len(prompt_lengths) * group_size
    # A last token is predicted and never read.
    packed_tokens = sum(prompt_lengths) + rows * (new_tokens - 1)
    return rollouts(machine, prompt_lengths, group_size, new_tokens) + update(
        machine, packed_tokens, rows * new_tokens, num_parameters
    )


def _cached_bytes(config: DecoderConfig, itemsize: int) -> int:
    """Of the keys and values of one token."""
    return config.num_layers * 2 * config.num_kv_heads * config.head_size * itemsize
