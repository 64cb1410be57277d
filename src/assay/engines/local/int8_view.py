"""A serving view whose products have 8-bit weights (see `int8.py`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from assay.engines.local.int8 import FULL, HALF, Int8Weight, weight_limit
from assay.engines.local.view import ServingView
from assay.errors import ConfigError, ModelError
from assay.policies.config import DecoderConfig
from assay.policies.decoder import LayerWeights, Product, decoder_layer, linear
from assay.policies.elementwise import rms_norm
from assay.policies.layers import EMBEDDING, FINAL_NORM, head_name, layer_weights
from assay.policies.rope import Rotary

NUM_LOUD = {FULL: 32, HALF: 64}
"""Columns of each input that are multiplied in the compute dtype, by the range of the weights."""
_PRODUCTS = ("qkv", "output", "gate_up", "down")


class Int8View(ServingView):
    """Every load reads a fixed text with the new weights, in fp32, a layer at a time: its loudest columns are left out
    of the quantisation of that layer. What a view holds so depends on the weights alone, and a run that is resumed
    samples as the unbroken one.

    Args:
        calibration: token ids of the text; those beyond the model's context are not read.
        num_loud: loud columns of each input; None for NUM_LOUD.

    Raises:
        ConfigError: sizes or a processor that such products do not fit.
    """

    def __init__(
        self,
        config: DecoderConfig,
        dtype: torch.dtype,
        *,
        calibration: Sequence[int],
        fp32_head: bool = False,
        num_loud: int | None = None,
    ) -> None:
        if dtype not in (torch.float32, torch.bfloat16):
            raise ConfigError(f"int8 sampling beside {dtype} is not made: use model.compute_dtype='bf16' or 'fp32'")
        try:
            self.limit = weight_limit()
            """Largest integer of a weight."""
        except (RuntimeError, AttributeError, NotImplementedError) as error:
            raise ConfigError(f"int8 sampling cannot be had on this machine ({error}): leave the engine out") from None
        num_loud = NUM_LOUD[self.limit] if num_loud is None else num_loud
        smallest = min(config.hidden_size, config.intermediate_size, config.num_query_heads * config.head_size)
        if smallest < 2 * num_loud:
            raise ConfigError(
                f"int8 sampling does not fit this model: an input of its layers has {smallest} columns, of which "
                f"{num_loud} would be left out; set engine.loud_columns to at most {smallest // 2}, or leave out the "
                "engine"
            )
        super().__init__(config, dtype, "cpu", fp32_head=fp32_head)
        self._num_loud = num_loud
        self._calibration = torch.tensor(calibration[: config.max_context])

    @torch.no_grad()
    def load(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """See `ServingView.load`."""
        self.version = None
        held: dict[str, Tensor] = {}
        for name, tensor in weights:
            if self._has_place(name, tensor):
                held[name] = tensor.detach()
        if absent := self._shapes.keys() - held.keys():
            raise ModelError(f"weights: {len(absent)} tensors are missing, among them {min(absent)}")
        config = self.config
        if not self.layers:
            self._make()
        self.embedding.copy_(held[EMBEDDING])
        self.final_norm.copy_(held[FINAL_NORM])
        x = held[EMBEDDING][self._calibration].float()
        rotary = Rotary(config, "cpu")(torch.arange(len(x)))
        for layer in range(config.num_layers):
            plain = layer_weights(config, lambda name: held[name].float(), layer)
            heard = {name: _Listening(getattr(plain, name)) for name in _PRODUCTS}
            x = decoder_layer(
                x,
                _replaced(plain, heard),
                layer,
                config.head_size,
                config.norm_epsilon,
                rotary if config.rope_layers[layer] else None,
                _attend,
            )
            self.layers[layer] = self._quantised(plain, heard)
        if self.fp32_head:
            self._plain_head.copy_(held[head_name(config)])
        else:
            last = _Listening(held[head_name(config)].float())
            linear(rms_norm(x, held[FINAL_NORM].float(), config.norm_epsilon), last)
            self._head = last.quantised(self._num_loud, self.dtype, self.limit)
            self.head = self._head  # pyright: ignore[reportAttributeAccessIssue]
        self.version = version

    def _plain_layer(self, layer: int) -> LayerWeights:
        """Nothing is allocated: a layer is made whole when it is loaded."""
        empty = torch.empty(0)
        return LayerWeights(empty, empty, None, None, None, empty, None, empty, empty, None, empty, None)

    def _quantised(self, plain: LayerWeights, heard: dict[str, _Listening]) -> LayerWeights:
        products = {name: each.quantised(self._num_loud, self.dtype, self.limit) for name, each in heard.items()}
        rest = {
            field.name: value.to(self.dtype)
            for field in dataclasses.fields(plain)
            if field.name not in products and (value := getattr(plain, field.name)) is not None
        }
        return _replaced(dataclasses.replace(plain, **rest), products)


class _Listening(Product):
    """A weight that remembers how loud each column of its input was."""

    def __init__(self, weight: Tensor) -> None:
        self.weight, self.shape = weight, weight.shape
        self.loudest = torch.zeros(weight.shape[1])

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        self.loudest = x.abs().amax(0)
        return F.linear(x, self.weight, bias)

    def quantised(self, num_loud: int, dtype: torch.dtype, limit: int) -> Int8Weight:
        loud = self.loudest.topk(num_loud).indices.sort().values
        return Int8Weight(self.weight, loud, dtype, limit)


def _replaced(weights: LayerWeights, products: dict[str, Any]) -> LayerWeights:
    return dataclasses.replace(weights, **products)


def _attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Each token sees those before it; a window makes no column louder."""
    shared = queries.shape[1] // keys.shape[1]
    keys, values = (x.repeat_interleave(shared, 1) for x in (keys, values))
    q, k, v = (x.transpose(0, 1) for x in (queries, keys, values))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(0, 1)
