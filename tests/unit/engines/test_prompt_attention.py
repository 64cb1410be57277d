"""Attention of prompts beside a plain one, a sequence at a time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from assay.engines.local import prompt_attention
from assay.engines.local.cache import KeyValueCache
from assay.engines.local.prompt_attention import PromptAttention, PromptExtension
from assay.policies import DecoderConfig


@pytest.fixture
def config(tiny_model: Path) -> DecoderConfig:
    return DecoderConfig.from_folder(tiny_model)


def make_cache(config: DecoderConfig, num_slots: int, length: int, seed: int) -> KeyValueCache:
    cache = KeyValueCache(config, num_slots, torch.float32, "cpu")
    cache.reserve(num_slots, length)
    generator = torch.Generator().manual_seed(seed)
    for layer in cache.layers:
        layer.copy_(torch.randn(layer.shape, generator=generator))
    return cache


def attend_plainly(
    config: DecoderConfig, extensions: list[PromptExtension], queries: Tensor, keys: Tensor, values: Tensor, layer: int
) -> Tensor:
    attended = []
    first = 0
    for extension in extensions:
        own = slice(first, first + len(extension.token_ids))
        first = own.stop
        cached_keys, cached_values = extension.cache.layers[layer][:, extension.slot, :, : extension.start].double()
        all_keys = torch.cat((cached_keys, keys[own].double().transpose(0, 1)), dim=1)
        all_values = torch.cat((cached_values, values[own].double().transpose(0, 1)), dim=1)
        grouped = queries[own].double().unflatten(1, (config.num_kv_heads, -1))
        scores = torch.einsum("tkgd,kcd->tkgc", grouped, all_keys) * config.head_size**-0.5
        position = torch.arange(extension.start, extension.start + len(extension.token_ids))[:, None]
        column = torch.arange(all_keys.shape[1])
        unseen = column > position
        window = config.windows[layer]
        if window is not None:
            unseen |= column <= position - window
        weights = scores.masked_fill(unseen[:, None, None], -torch.inf).softmax(dim=-1)
        attended.append(torch.einsum("tkgc,kcd->tkgd", weights, all_values).flatten(1, 2))
    return torch.cat(attended)


@pytest.mark.parametrize("window", [None, 7])
@pytest.mark.parametrize("limits", [{}, {"MAX_QUERIES": 32}, {"MAX_SCORES": 1}], ids=["whole", "pieces", "one by one"])
def test_like_one_sequence_at_a_time(
    config: DecoderConfig, window: int | None, limits: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in limits.items():
        monkeypatch.setattr(prompt_attention, name, value)
    config = dataclasses.replace(config, windows=(window,) * config.num_layers)
    main, other = make_cache(config, 7, 100, seed=0), make_cache(config, 2, 60, seed=1)
    # Neighbours and others, of one length and of several, at the start of a row and further on, in two caches.
    extensions = [
        PromptExtension(main, 0, 0, range(20)),
        PromptExtension(main, 1, 0, range(20)),
        PromptExtension(other, 1, 3, range(20)),
        PromptExtension(main, 5, 40, range(19)),
        PromptExtension(main, 3, 9, range(1)),
        PromptExtension(main, 6, 2, range(77)),
    ]
    num_tokens = sum(len(extension.token_ids) for extension in extensions)
    generator = torch.Generator().manual_seed(2)
    queries = torch.randn(num_tokens, config.num_query_heads, config.head_size, generator=generator)
    keys, values = torch.randn(2, num_tokens, config.num_kv_heads, config.head_size, generator=generator)
    attend = PromptAttention(extensions, config, torch.float32, "cpu")
    for layer in range(config.num_layers):
        expected = attend_plainly(config, extensions, queries, keys, values, layer)
        assert torch.allclose(attend(layer, queries, keys, values).double(), expected, atol=1e-5)
        first = 0
        for extension in extensions:
            own = slice(first, first + len(extension.token_ids))
            first = own.stop
            written = extension.cache.layers[layer][:, extension.slot, :, extension.start :][
                :, :, : own.stop - own.start
            ]
            assert torch.equal(written[0], keys[own].transpose(0, 1))
            assert torch.equal(written[1], values[own].transpose(0, 1))


@pytest.mark.parametrize("capacity", [64, 500])
def test_neighbours_and_their_length_change_no_bit(config: DecoderConfig, capacity: int) -> None:
    cache = make_cache(config, 6, 48, seed=0)
    wide = KeyValueCache(config, 6, torch.float32, "cpu")
    wide.reserve(6, capacity)
    lengths = (33, 40, 48, 17, 41, 36)
    extensions = [PromptExtension(wide, slot, 0, range(length)) for slot, length in enumerate(lengths)]
    generator = torch.Generator().manual_seed(2)
    num_tokens = sum(len(extension.token_ids) for extension in extensions)
    queries = torch.randn(num_tokens, config.num_query_heads, config.head_size, generator=generator)
    keys, values = torch.randn(2, num_tokens, config.num_kv_heads, config.head_size, generator=generator)
    together = PromptAttention(extensions, config, torch.float32, "cpu")(0, queries, keys, values)
    first = 0
    for slot, length in enumerate(lengths):
        own = slice(first, first + length)
        first = own.stop
        extension = PromptExtension(cache, slot, 0, range(length))
        alone = PromptAttention([extension], config, torch.float32, "cpu")(0, queries[own], keys[own], values[own])
        assert torch.equal(alone, together[own])
