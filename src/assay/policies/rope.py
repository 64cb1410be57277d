"""Rotary position embedding and its context-extending scalings.

Su et al. 2021, "RoFormer", arXiv 2104.09864; for the scalings see each function. The formulas follow transformers'
modeling_rope_utils.py, which is what checkpoints are made with.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from assay.policies.config import DecoderConfig, RopeConfig


class Rotary:
    """cos and sin of every token's angles, in fp32: the angle of position 8000 needs more digits than bf16 has."""

    def __init__(self, config: DecoderConfig, device: torch.device | str = "cpu") -> None:
        self.rope = config.rope
        self.head_size = config.head_size
        self.unscaled_context = config.rope.original_context
        self.scale = _attention_scale(self.rope)
        self.frequencies = _frequencies(self.rope, self.head_size).to(device)

    def __call__(self, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin for `rotate`.

        With rope type "dynamic" the frequencies depend on the longest position of the call once that passes the
        original context, as in transformers. Sequences of different lengths then belong in different calls.

        Args:
            position_ids: [T] int64.

        Returns:
            Two [T, 1, D] float32.
        """
        frequencies = self.frequencies
        if self.rope.rope_type == "dynamic" and len(position_ids):
            length = int(position_ids.max()) + 1
            if length > self.unscaled_context:
                frequencies = _dynamic(self.rope, self.head_size, length).to(frequencies.device)
        angles = position_ids[:, None].float() * frequencies
        angles = torch.cat((angles, angles), dim=-1).unsqueeze(1)
        return angles.cos() * self.scale, angles.sin() * self.scale


def _frequencies(rope: RopeConfig, head_size: int) -> Tensor:
    """[D / 2] float32, radians a position of each pair of dimensions."""
    plain = 1.0 / rope.theta ** (torch.arange(0, head_size, 2).float() / head_size)
    if rope.rope_type == "linear":
        return plain / rope.factor
    if rope.rope_type == "llama3":
        return _llama3(rope, plain)
    if rope.rope_type == "yarn":
        return _yarn(rope, plain, head_size)
    return plain


def _dynamic(rope: RopeConfig, head_size: int, length: int) -> Tensor:
    """NTK-aware scaling that grows with the sequence: the base is stretched by how far `length` exceeds the context."""
    stretch = rope.factor * length / rope.original_context - (rope.factor - 1)
    theta = rope.theta * stretch ** (head_size / (head_size - 2))
    return 1.0 / theta ** (torch.arange(0, head_size, 2).float() / head_size)


def _llama3(rope: RopeConfig, plain: Tensor) -> Tensor:
    """Llama 3.1: long wavelengths divided by `factor`, short ones kept, a smooth ramp between."""
    turns = rope.original_context * plain / (2 * math.pi)
    ramp = (turns - rope.low_frequency_factor) / (rope.high_frequency_factor - rope.low_frequency_factor)
    keep = ramp.clamp(0, 1)
    return (1 - keep) * plain / rope.factor + keep * plain


def _yarn(rope: RopeConfig, plain: Tensor, head_size: int) -> Tensor:
    """YaRN: interpolation for dimensions that turn seldom, none for those that turn often. Peng et al. 2023,
    "YaRN: Efficient Context Window Extension of Large Language Models", arXiv 2309.00071."""

    def dimension(turns: float) -> float:
        """Index of the dimension that turns this often within the original context."""
        return head_size * math.log(rope.original_context / (turns * 2 * math.pi)) / (2 * math.log(rope.theta))

    low, high = dimension(rope.beta_fast), dimension(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_size - 1)
    width = high - low or 0.001
    interpolate = ((torch.arange(head_size // 2).float() - low) / width).clamp(0, 1)
    return plain / rope.factor * interpolate + plain * (1 - interpolate)


def _attention_scale(rope: RopeConfig) -> float:
    """Return the factor that cos and sin are multiplied by: 1, but for YaRN's attention factor."""
    if rope.rope_type != "yarn":
        return 1.0
    if rope.attention_factor is not None:
        return rope.attention_factor

    def magnitude(mscale: float) -> float:
        return 1.0 if rope.factor <= 1 else 0.1 * mscale * math.log(rope.factor) + 1.0

    if rope.mscale and rope.mscale_all_dim:
        return magnitude(rope.mscale) / magnitude(rope.mscale_all_dim)
    return magnitude(1.0)
