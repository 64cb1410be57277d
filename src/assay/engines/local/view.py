"""The serving view: a policy's weights in the dtype to sample in, fused, allocated once and refilled in place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from assay.errors import ModelError
from assay.policies.config import DecoderConfig
from assay.policies.decoder import LayerWeights
from assay.policies.layers import EMBEDDING, FINAL_NORM, HEAD, layer_weights, weight_shapes


class ServingView:
    """Every weight of a decoder, ready for `decoder_layer`. Its tensors stay; new weights are copied into them."""

    def __init__(self, config: DecoderConfig, dtype: torch.dtype, device: torch.device | str = "cpu") -> None:
        self.config = config
        self.dtype = dtype
        self.version: int | None = None
        """Which weights it holds; None while it holds none that are whole."""
        shapes = weight_shapes(config)

        def allocate(name: str) -> Tensor:
            return torch.empty(shapes[name], dtype=dtype, device=device)

        # Fusing empty tensors gives the fused storage; one layer at a time, so that what is fused is soon freed.
        self.layers: list[LayerWeights] = [layer_weights(config, allocate, layer) for layer in range(config.num_layers)]
        self.embedding = allocate(EMBEDDING)
        """[V, H]"""
        self.final_norm = allocate(FINAL_NORM)
        """[H]"""
        self.head = self.embedding if config.tie_embeddings else allocate(HEAD)
        """[V, H]"""
        self._destinations = dict(self._name_slices())

    def load(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Copies weights under Hugging Face names, in any order, each as it comes.

        Raises:
            ModelError: a tensor is missing, unknown, or of another shape. The view then holds no version, and must be
                loaded again before it can sample.
        """
        self.version = None
        missing = set(self._destinations)
        for name, tensor in weights:
            if name == HEAD and self.config.tie_embeddings:
                continue
            destination = self._destinations.get(name)
            if destination is None:
                raise ModelError(f"weights: {name!r} is no tensor of a {self.config.model_type} model of this shape")
            if destination.shape != tensor.shape:
                raise ModelError(
                    f"weights: {name} has shape {tuple(tensor.shape)}, this model needs {tuple(destination.shape)}"
                )
            destination.copy_(tensor.detach())
            missing.discard(name)
        if missing:
            raise ModelError(f"weights: {len(missing)} tensors are missing, among them {min(missing)}")
        self.version = version

    def _name_slices(self) -> Iterator[tuple[str, Tensor]]:
        """(Hugging Face name, the part of the view that holds it)."""
        config = self.config
        queries, keys = config.num_query_heads * config.head_size, config.num_kv_heads * config.head_size
        yield EMBEDDING, self.embedding
        yield FINAL_NORM, self.final_norm
        if not config.tie_embeddings:
            yield HEAD, self.head
        for layer, weights in enumerate(self.layers):
            prefix = f"model.layers.{layer}"
            yield f"{prefix}.input_layernorm.weight", weights.attention_norm
            yield f"{prefix}.post_attention_layernorm.weight", weights.mlp_norm
            for kind, qkv in (("weight", weights.qkv), ("bias", weights.qkv_bias)):
                if qkv is not None:
                    for name, part in zip("qkv", qkv.split((queries, keys, keys)), strict=True):
                        yield f"{prefix}.self_attn.{name}_proj.{kind}", part
            for kind, gate_up in (("weight", weights.gate_up), ("bias", weights.gate_up_bias)):
                if gate_up is not None:
                    for name, part in zip(("gate", "up"), gate_up.chunk(2), strict=True):
                        yield f"{prefix}.mlp.{name}_proj.{kind}", part
            single = {
                "self_attn.q_norm.weight": weights.q_norm,
                "self_attn.k_norm.weight": weights.k_norm,
                "self_attn.o_proj.weight": weights.output,
                "self_attn.o_proj.bias": weights.output_bias,
                "mlp.down_proj.weight": weights.down,
                "mlp.down_proj.bias": weights.down_bias,
            }
            yield from ((f"{prefix}.{name}", tensor) for name, tensor in single.items() if tensor is not None)
