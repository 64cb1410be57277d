"""The serving view holds what `layer_weights` gathers, in storage that never moves."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from assay.engines.local.packing import packs
from assay.engines.local.view import ServingView
from assay.errors import ModelError
from assay.policies import DecoderConfig
from assay.policies.decoder import linear
from assay.policies.layers import layer_weights
from assay.policies.tiny import random_weights

SHAPES: dict[str, dict[str, Any]] = {
    "llama": {"tie_word_embeddings": True},
    "llama with biases": {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False},
    "qwen3": {"model_type": "qwen3", "head_dim": 6},
}


def make_config(**overrides: Any) -> DecoderConfig:
    return DecoderConfig.from_dict(
        {
            "model_type": "llama",
            "vocab_size": 11,
            "hidden_size": 8,
            "intermediate_size": 12,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 32,
            **overrides,
        }
    )


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_refilled_in_place(shape: dict[str, Any]) -> None:
    config = make_config(**shape)
    view = ServingView(config, torch.float32)
    places = [tensor.data_ptr() for layer in view.layers for tensor in vars(layer).values() if tensor is not None]
    for seed in (0, 1):
        generator = torch.Generator().manual_seed(seed)
        weights = {n: torch.randn(w.shape, generator=generator) for n, w in random_weights(config, 0).items()}
        # Any order will do.
        view.load(reversed(weights.items()), version=seed)
        assert view.version == seed
        for index, layer in enumerate(view.layers):
            expected = layer_weights(config, weights.__getitem__, index)
            for field in dataclasses.fields(expected):
                left, right = getattr(layer, field.name), getattr(expected, field.name)
                assert (left is None) == (right is None)
                assert left is None or torch.equal(left, right), field.name
        assert torch.equal(
            view.head, weights["model.embed_tokens.weight" if config.tie_embeddings else "lm_head.weight"]
        )
    assert places == [t.data_ptr() for layer in view.layers for t in vars(layer).values() if t is not None]


@pytest.mark.parametrize("packing", [True, False])
def test_bfloat16_rounds_once(packing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not packing:
        monkeypatch.setattr("assay.engines.local.view.packs", lambda dtype, device: False)
    elif not packs(torch.bfloat16, "cpu"):
        pytest.skip("this processor has no kernels for packed bf16 weights")
    config = make_config()
    view = ServingView(config, torch.bfloat16)
    x = torch.randn(5, 12).bfloat16()
    for seed in (0, 1):
        weights = random_weights(config, seed)
        view.load(reversed(weights.items()), seed)
        assert view.layers[1].down.is_mkldnn == view.head.is_mkldnn == packing
        expected = weights["model.layers.1.mlp.down_proj.weight"].bfloat16()
        assert torch.equal(linear(x, view.layers[1].down), F.linear(x, expected))
        head = weights["model.embed_tokens.weight" if config.tie_embeddings else "lm_head.weight"].bfloat16()
        assert torch.equal(linear(x[:, :8], view.head), F.linear(x[:, :8], head))
        assert torch.equal(view.embedding, weights["model.embed_tokens.weight"].bfloat16())


def test_weights_that_do_not_fit() -> None:
    config = make_config(tie_word_embeddings=True)
    weights = random_weights(config, 0)
    view = ServingView(config, torch.float32)
    name = "model.layers.1.self_attn.k_proj.weight"
    with pytest.raises(
        ModelError, match=r"1 tensors are missing, among them model\.layers\.1\.self_attn\.k_proj\.weight"
    ):
        view.load(((n, w) for n, w in weights.items() if n != name), 1)
    assert view.version is None
    with pytest.raises(ModelError, match=r"k_proj.weight has shape \(3, 8\), this model needs \(4, 8\)"):
        view.load({**weights, name: torch.zeros(3, 8)}.items(), 1)
    with pytest.raises(ModelError, match=r"'model\.layers\.9\.x'"):
        view.load({**weights, "model.layers.9.x": torch.zeros(1)}.items(), 1)
    view.load({**weights, "lm_head.weight": weights["model.embed_tokens.weight"]}.items(), 2)
    assert view.version == 2
