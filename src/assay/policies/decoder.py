"""The decoder-only transformer of the Llama family, in one function a layer.

The same `decoder_layer` serves training (packed micro-batches) and sampling (cached keys and values). The caller
decides how queries find their keys (`attend`) and in what precision the weights come (`LayerWeights`).

Shape letters: T tokens of this call, H hidden size, Q query heads, K key-value heads, D head size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from assay.policies.elementwise import PLAIN, Elementwise, rms_norm

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""(layer, queries [T, Q, D], keys [T, K, D], values [T, K, D]) -> [T, Q, D]; keys and queries are already rotated."""


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """One layer's weights in the compute dtype, with products that share an input fused into one."""

    attention_norm: Tensor
    """[H]"""
    qkv: Tensor
    """[(Q + 2 K) D, H]: queries, then keys, then values."""
    qkv_bias: Tensor | None
    q_norm: Tensor | None
    """[D], Qwen3's norm of each query head."""
    k_norm: Tensor | None
    output: Tensor
    """[H, Q D]"""
    output_bias: Tensor | None
    mlp_norm: Tensor
    """[H]"""
    gate_up: Tensor
    """[2 I, H]: gate, then up."""
    gate_up_bias: Tensor | None
    down: Tensor
    """[H, I]"""
    down_bias: Tensor | None


class Product(ABC):
    """A weight [N, K] that multiplies in its own way, in place of a tensor in `LayerWeights`."""

    shape: torch.Size

    @abstractmethod
    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """x W^T + b, [T, K] to [T, N]."""


def linear(x: Tensor, weight: Tensor | Product, bias: Tensor | None = None) -> Tensor:
    """x W^T + b. The weight may be packed (see `engines.local.packing`): the same bits, sooner."""
    if isinstance(weight, Product):
        return weight(x, bias)
    if weight.is_mkldnn:
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return F.linear(x, weight, bias)


def decoder_layer(
    x: Tensor,
    weights: LayerWeights,
    layer: int,
    head_size: int,
    epsilon: float,
    rotary: tuple[Tensor, Tensor] | None,
    attend: Attend,
    elementwise: Elementwise = PLAIN,
) -> Tensor:
    """One transformer layer: [T, H] -> [T, H]. `rotary` is None in layers without positional embedding (SmolLM3)."""
    num_tokens = x.shape[0]
    normed = elementwise.rms_norm(x, weights.attention_norm, epsilon)
    qkv = linear(normed, weights.qkv, weights.qkv_bias).view(num_tokens, -1, head_size)
    num_query_heads = weights.output.shape[1] // head_size
    num_kv_heads = (qkv.shape[1] - num_query_heads) // 2
    turned, v = qkv.split((num_query_heads + num_kv_heads, num_kv_heads), dim=1)
    if weights.q_norm is not None and weights.k_norm is not None:
        q, k = turned.split((num_query_heads, num_kv_heads), dim=1)
        turned = torch.cat((rms_norm(q, weights.q_norm, epsilon), rms_norm(k, weights.k_norm, epsilon)), dim=1)
    if rotary is not None:
        turned = elementwise.rotate(turned, *rotary)
    q, k = turned.split((num_query_heads, num_kv_heads), dim=1)
    attended = attend(layer, q, k, v).reshape(num_tokens, -1)
    x = x + linear(attended, weights.output, weights.output_bias)
    normed = elementwise.rms_norm(x, weights.mlp_norm, epsilon)
    inner = elementwise.swiglu(linear(normed, weights.gate_up, weights.gate_up_bias))
    return x + linear(inner, weights.down, weights.down_bias)
