"""Rows of keys and values: growth keeps them, copies copy, capacity follows the sequences."""

from __future__ import annotations

import pytest
import torch

from assay.engines.local.cache import GRANULE, KeyValueCache
from assay.engines.local.prefixes import BLOCK, PrefixCache, shared_length
from assay.policies import DecoderConfig


@pytest.fixture
def cache() -> KeyValueCache:
    config = DecoderConfig.from_dict(
        {
            "model_type": "llama",
            "vocab_size": 11,
            "hidden_size": 8,
            "intermediate_size": 12,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 512,
        }
    )
    return KeyValueCache(config, 8, torch.float32, "cpu")


def test_growing_and_shrinking_keep_what_is_there(cache: KeyValueCache) -> None:
    cache.reserve(2, 5)
    assert cache.capacity == GRANULE
    content = torch.randn(2, 2, 2, 5, 2)
    for layer, tokens in zip(cache.layers, content, strict=True):
        layer[:, 1, :, :5] = tokens
    cache.reserve(3, GRANULE + 1)
    assert cache.capacity == 2 * GRANULE
    cache.reserve(3, 4 * GRANULE)
    cache.reserve(3, 3 * GRANULE)
    assert cache.capacity == 4 * GRANULE, "a little less is not worth a copy"
    cache.reserve(1, 10)
    assert cache.capacity == GRANULE
    assert torch.equal(cache.save(1, 5), content)


def test_slots_grow_up_to_their_number(cache: KeyValueCache) -> None:
    sizes = []
    for num_slots in (1, 2, 3, 5, 8):
        cache.reserve(num_slots, 1)
        sizes.append(cache.layers[0].shape[1])
    assert sizes == [1, 2, 4, 8, 8]
    cache.clear()
    assert sum(layer.numel() for layer in cache.layers) == 0


def test_rows_are_views_of_one_block(cache: KeyValueCache) -> None:
    cache.reserve(4, GRANULE)
    keys, values = cache.rows(1, 3)
    assert keys.shape == (6, GRANULE, 2)
    assert keys.is_contiguous()
    keys[2], values[2] = 1.0, 2.0
    assert cache.layers[1][0, 1, 0].eq(1).all()
    assert cache.layers[1][1, 1, 0].eq(2).all()


def test_copy_and_restore(cache: KeyValueCache) -> None:
    cache.reserve(4, 10)
    for layer in cache.layers:
        layer[:, 0] = torch.randn_like(layer[:, 0])
    saved = cache.save(0, 7)
    cache.copy(0, [1, 3], 6)
    cache.restore(2, saved, 4)
    for slot, length in ((1, 6), (3, 6), (2, 4)):
        assert torch.equal(cache.save(slot, length), saved[:, :, :, :length])
        assert cache.layers[0][:, slot, :, length:].eq(0).all()


def prefix(*token_ids: int) -> tuple[tuple[int, ...], torch.Tensor]:
    return token_ids, torch.zeros(1, 2, 1, len(token_ids), 1)


def test_the_longest_prefix_is_found_to_the_token() -> None:
    prefixes = PrefixCache(10**6)
    first, second = tuple(range(40)), (*range(20), *range(100, 130))
    for tokens in (first, second):
        prefixes.put(*prefix(*tokens))
    found, length = prefixes.longest((*range(37), 7, 7))
    assert found is not None
    assert (found.token_ids, length) == (first, 37)
    found, length = prefixes.longest((*second, 5))
    assert found is not None
    assert (found.token_ids, length) == (second, 50)
    assert prefixes.longest((5, *first)) == (None, 0)
    assert prefixes.longest(first[: BLOCK - 1]) == (None, 0)


def test_the_least_recently_used_goes_first() -> None:
    prefixes = PrefixCache(max_bytes=2 * 2 * BLOCK * 4)
    one, two, three = ((seed,) * BLOCK for seed in (1, 2, 3))
    prefixes.put(*prefix(*one))
    prefixes.put(*prefix(*two))
    assert prefixes.longest(one)[1] == BLOCK
    prefixes.put(*prefix(*three))
    assert [prefixes.longest(tokens)[1] for tokens in (one, two, three)] == [BLOCK, 0, BLOCK]
    assert len(prefixes) == 2
    prefixes.put(*prefix(*((4,) * 3 * BLOCK)))
    assert prefixes.longest((4,) * BLOCK) == (None, 0), "larger than the whole cache"
    prefixes.put(*prefix(*one))
    assert prefixes.num_bytes == prefixes.max_bytes, "the same sequence is kept once"
    prefixes.clear()
    assert prefixes.longest(one) == (None, 0)
    assert prefixes.num_bytes == 0


def test_shared_length() -> None:
    assert shared_length((1, 2, 3), (1, 2, 4, 5)) == 2
    assert shared_length((1, 2), (1, 2, 4)) == 2
    assert shared_length((), (1,)) == 0
