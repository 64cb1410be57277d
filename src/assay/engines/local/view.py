"""The serving view: a policy's weights in the dtype to sample in, fused, and packed where that is faster."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from assay.engines.local.packing import packed, packed_layer, packs
from assay.errors import ModelError
from assay.long_lived import long_lived_zeros
from assay.policies.config import DecoderConfig
from assay.policies.decoder import LayerWeights
from assay.policies.layers import EMBEDDING, FINAL_NORM, HEAD, layer_weights, weight_shapes

_LAYER = re.compile(r"model\.layers\.(\d+)\.")
_OUTSIDE = -1
"""Stand-in for a layer's number for the tensors that belong to no layer."""


class ServingView:
    """Every weight of a decoder, ready for `decoder_layer`.

    Plain tensors are allocated at the first load after `drop`, and new weights are copied into them. Packed ones are
    made anew at each load, a layer at a time, from a plain copy that is then dropped.
    """

    def __init__(
        self,
        config: DecoderConfig,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
        *,
        fp32_head: bool = False,
    ) -> None:
        """
        Args:
            fp32_head: whether the output matrix is held in fp32 whatever the dtype, beside a tied embedding.
        """
        self.config = config
        self.dtype = dtype
        self.fp32_head = fp32_head and dtype != torch.float32
        self.version: int | None = None
        """Version of the weights in the view; None while a load is incomplete."""
        self._device = device
        self._packs = packs(dtype, device)
        self._shapes = weight_shapes(config)
        self._make()

    def _make(self) -> None:
        self.embedding = self._allocate(EMBEDDING)
        """[V, H]"""
        self.final_norm = self._allocate(FINAL_NORM)
        """[H]"""
        self._plain_head = self.embedding
        if self.fp32_head:
            shape = self._shapes[EMBEDDING if self.config.tie_embeddings else HEAD]
            self._plain_head = long_lived_zeros(shape, torch.float32, self._device)
        elif not self.config.tie_embeddings:
            self._plain_head = self._allocate(HEAD)
        self.head = self._plain_head
        """[V, H], for `linear`."""
        self.layers: list[LayerWeights] = [self._plain_layer(layer) for layer in range(self.config.num_layers)]

    def drop(self) -> None:
        """Gives the memory of the weights back. The view then holds no version, until the next load."""
        self.version = None
        self.embedding = self.final_norm = self._plain_head = self.head = torch.empty(0)
        self.layers = []

    def load(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Copies weights under Hugging Face names, in any order, each as it comes.

        Raises:
            ModelError: a tensor is missing, unknown, or of another shape. The view then holds no version, and must be
                loaded again before it can sample.
        """
        # A load that raises halfway leaves a mixture of two versions, which nobody may sample from.
        self.version = None
        if not self.layers:
            self._make()
        missing: dict[int, set[str]] = {}
        for name in self._shapes:
            missing.setdefault(_layer_of(name), set()).add(name)
        places: dict[int, dict[str, Tensor]] = {}
        plain: dict[int, LayerWeights] = {}
        for name, tensor in weights:
            if not self._has_place(name, tensor):
                continue
            layer = _layer_of(name)
            if layer not in places:
                if layer == _OUTSIDE:
                    places[layer] = self._outside()
                else:
                    plain[layer] = self._plain_layer(layer) if self._packs else self.layers[layer]
                    places[layer] = _parts(self.config, layer, plain[layer])
            # The parts are views of the fused storage: copying into a part fills the fused weight.
            places[layer][name].copy_(tensor.detach())
            if self.fp32_head and name == EMBEDDING and self.config.tie_embeddings:
                self._plain_head.copy_(tensor.detach())
            missing[layer].discard(name)
            # Weights come in any order: a layer is packed as soon as it is whole, and its plain copy dropped.
            if self._packs and not missing[layer]:
                self._pack(layer, plain.pop(layer, None))
        absent = [name for names in missing.values() for name in names]
        if absent:
            raise ModelError(f"weights: {len(absent)} tensors are missing, among them {min(absent)}")
        self.version = version

    def _has_place(self, name: str, tensor: Tensor) -> bool:
        """Return whether a tensor has a place here: checkpoints of tied models may repeat the embedding under the name
        of the output matrix.

        Raises:
            ModelError: it is unknown, or of another shape.
        """
        if name == HEAD and self.config.tie_embeddings:
            return False
        if name not in self._shapes:
            raise ModelError(f"weights: {name!r} is no tensor of a {self.config.model_type} model of this shape")
        if tensor.shape != torch.Size(self._shapes[name]):
            raise ModelError(f"weights: {name} has shape {tuple(tensor.shape)}, this model needs {self._shapes[name]}")
        return True

    def _pack(self, layer: int, weights: LayerWeights | None) -> None:
        if weights is None:
            # A tied embedding stays plain beside this packed copy, because tokens index its rows.
            self.head = self._plain_head if self.fp32_head else packed(self._plain_head)
        else:
            self.layers[layer] = packed_layer(weights)

    def _allocate(self, name: str) -> Tensor:
        return long_lived_zeros(self._shapes[name], self.dtype, self._device)

    def _plain_layer(self, layer: int) -> LayerWeights:
        # Fusing tensors that hold nothing says how large the fused ones are.
        sizes = layer_weights(self.config, lambda name: torch.empty(self._shapes[name], device="meta"), layer)
        fused: dict[str, Any] = {
            name: None if size is None else long_lived_zeros(size.shape, self.dtype, self._device)
            for name, size in vars(sizes).items()
        }
        return LayerWeights(**fused)

    def _outside(self) -> dict[str, Tensor]:
        """Return the storage, by name, of the tensors that belong to no layer."""
        places = {EMBEDDING: self.embedding, FINAL_NORM: self.final_norm}
        return places if self.config.tie_embeddings else {**places, HEAD: self._plain_head}


def _layer_of(name: str) -> int:
    found = _LAYER.match(name)
    return int(found[1]) if found else _OUTSIDE


def _parts(config: DecoderConfig, layer: int, weights: LayerWeights) -> dict[str, Tensor]:
    """Return the parts of a layer's fused storage by the Hugging Face name of the tensor that each holds."""
    queries, keys = config.num_query_heads * config.head_size, config.num_kv_heads * config.head_size
    parts: dict[str, Tensor | None] = {
        "input_layernorm.weight": weights.attention_norm,
        "post_attention_layernorm.weight": weights.mlp_norm,
        "self_attn.q_norm.weight": weights.q_norm,
        "self_attn.k_norm.weight": weights.k_norm,
        "self_attn.o_proj.weight": weights.output,
        "self_attn.o_proj.bias": weights.output_bias,
        "mlp.down_proj.weight": weights.down,
        "mlp.down_proj.bias": weights.down_bias,
    }
    for kind, qkv in (("weight", weights.qkv), ("bias", weights.qkv_bias)):
        if qkv is not None:
            split = zip("qkv", qkv.split((queries, keys, keys)), strict=True)
            parts |= {f"self_attn.{name}_proj.{kind}": part for name, part in split}
    for kind, gate_up in (("weight", weights.gate_up), ("bias", weights.gate_up_bias)):
        if gate_up is not None:
            halves = zip(("gate", "up"), gate_up.chunk(2), strict=True)
            parts |= {f"mlp.{name}_proj.{kind}": part for name, part in halves}
    prefix = f"model.layers.{layer}"
    return {f"{prefix}.{name}": part for name, part in parts.items() if part is not None}
