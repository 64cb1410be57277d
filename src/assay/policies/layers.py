"""Hugging Face tensor names of a decoder, and one layer's weights gathered from them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from assay.policies.config import DecoderConfig
from assay.policies.decoder import LayerWeights

EMBEDDING = "model.embed_tokens.weight"
FINAL_NORM = "model.norm.weight"
HEAD = "lm_head.weight"


def weight_shapes(config: DecoderConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor, in the order of the model; `lm_head.weight` is absent when tied."""
    hidden, inner, head = config.hidden_size, config.intermediate_size, config.head_size
    queries, keys = config.num_query_heads * head, config.num_kv_heads * head
    shapes: dict[str, tuple[int, ...]] = {EMBEDDING: (config.vocab_size, hidden)}

    def product(name: str, outputs: int, inputs: int, bias: bool) -> None:
        shapes[f"{name}.weight"] = (outputs, inputs)
        if bias:
            shapes[f"{name}.bias"] = (outputs,)

    for layer in range(config.num_layers):
        prefix = f"model.layers.{layer}"
        shapes[f"{prefix}.input_layernorm.weight"] = (hidden,)
        product(f"{prefix}.self_attn.q_proj", queries, hidden, config.attention_bias)
        product(f"{prefix}.self_attn.k_proj", keys, hidden, config.attention_bias)
        product(f"{prefix}.self_attn.v_proj", keys, hidden, config.attention_bias)
        if config.qk_norm:
            shapes[f"{prefix}.self_attn.q_norm.weight"] = (head,)
            shapes[f"{prefix}.self_attn.k_norm.weight"] = (head,)
        product(f"{prefix}.self_attn.o_proj", hidden, queries, config.output_bias)
        shapes[f"{prefix}.post_attention_layernorm.weight"] = (hidden,)
        product(f"{prefix}.mlp.gate_proj", inner, hidden, config.mlp_bias)
        product(f"{prefix}.mlp.up_proj", inner, hidden, config.mlp_bias)
        product(f"{prefix}.mlp.down_proj", hidden, inner, config.mlp_bias)
    shapes[FINAL_NORM] = (hidden,)
    if not config.tie_embeddings:
        shapes[HEAD] = (config.vocab_size, hidden)
    return shapes


def weight_names(config: DecoderConfig) -> list[str]:
    """Name of every tensor of the model, in its order; `lm_head.weight` is absent when tied."""
    return list(weight_shapes(config))


def head_name(config: DecoderConfig) -> str:
    """Name of the tensor that turns hidden states into logits."""
    return EMBEDDING if config.tie_embeddings else HEAD


def layer_weights(config: DecoderConfig, get: Callable[[str], Tensor], layer: int) -> LayerWeights:
    """One layer's weights, with products that share an input fused. Differentiable.

    Args:
        get: the tensor of a Hugging Face name, in the dtype and on the device to compute with.
    """
    prefix = f"model.layers.{layer}"

    def fuse(*names: str, kind: str) -> Tensor:
        return torch.cat([get(f"{prefix}.{name}.{kind}") for name in names])

    qkv = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
    gate_up = ("mlp.gate_proj", "mlp.up_proj")
    return LayerWeights(
        attention_norm=get(f"{prefix}.input_layernorm.weight"),
        qkv=fuse(*qkv, kind="weight"),
        qkv_bias=fuse(*qkv, kind="bias") if config.attention_bias else None,
        q_norm=get(f"{prefix}.self_attn.q_norm.weight") if config.qk_norm else None,
        k_norm=get(f"{prefix}.self_attn.k_norm.weight") if config.qk_norm else None,
        output=get(f"{prefix}.self_attn.o_proj.weight"),
        output_bias=get(f"{prefix}.self_attn.o_proj.bias") if config.output_bias else None,
        mlp_norm=get(f"{prefix}.post_attention_layernorm.weight"),
        gate_up=fuse(*gate_up, kind="weight"),
        gate_up_bias=fuse(*gate_up, kind="bias") if config.mlp_bias else None,
        down=get(f"{prefix}.mlp.down_proj.weight"),
        down_bias=get(f"{prefix}.mlp.down_proj.bias") if config.mlp_bias else None,
    )
