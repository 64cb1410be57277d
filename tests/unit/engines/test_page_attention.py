"""Attention over pages beside a plain one, a sequence at a time, in both forms."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from assay import kernels
from assay.engines.local import attention
from assay.engines.local.attention import NewTokens, PageAttention, Pass
from assay.engines.local.pages import PAGE, PagePool
from assay.policies import DecoderConfig


@pytest.fixture(params=["plain", "compiled"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "plain":
        monkeypatch.setattr(kernels, "attends_pages", lambda *_: False)
    elif not kernels.attends_pages(16, torch.float32, "cpu"):
        pytest.skip("no compiled form on this machine")
    return request.param


@pytest.mark.parametrize("window", [None, 7, 40])
@pytest.mark.parametrize("limits", [{}, {"MAX_QUERIES": 32}, {"MAX_SCORES": 1}], ids=["whole", "pieces", "one by one"])
def test_like_one_sequence_at_a_time(
    tiny_model: Path, form: str, window: int | None, limits: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in limits.items():
        monkeypatch.setattr(attention, name, value)
    config = DecoderConfig.from_folder(tiny_model)
    config = dataclasses.replace(config, head_size=16, windows=(window,) * config.num_layers)
    pool = PagePool(config, torch.float32, "cpu")
    generator = torch.Generator().manual_seed(0)
    # Of one length and of several, at the start of a sequence and further on; the last two share a page, and the last
    # goes on from what the one before it computes.
    spans = [(0, 20), (0, 20), (3, 20), (40, 19), (9, 1), (2, 77), (30, 34), (64, 5)]
    pages = [[pool.allocate() for _ in range(-(-(start + count) // PAGE))] for start, count in spans]
    pages[-1][:2] = pages[-2]
    for layer in pool.layers:
        layer.copy_(torch.randn(layer.shape, generator=generator))
    work = Pass([NewTokens(range(n), start, own) for (start, n), own in zip(spans, pages, strict=True)])
    num_tokens = sum(count for _, count in spans)
    positions = [(own, start + i) for (start, count), own in zip(spans, pages, strict=True) for i in range(count)]
    work.writes.extend((token, own[at // PAGE], at % PAGE) for token, (own, at) in enumerate(positions))
    queries = torch.randn(num_tokens, config.num_query_heads, config.head_size, generator=generator)
    keys, values = torch.randn(2, num_tokens, config.num_kv_heads, config.head_size, generator=generator)
    attend = PageAttention(work, pool, config)
    assert (attend.compiled is not None) == (form == "compiled")
    for layer in range(config.num_layers):
        attended = attend(layer, queries, keys, values)
        for token, (own, at) in enumerate(positions):
            assert torch.equal(pool.layers[layer][0, own[at // PAGE], :, at % PAGE], keys[token])
            assert torch.equal(pool.layers[layer][1, own[at // PAGE], :, at % PAGE], values[token])
            expected = attend_plainly(pool.layers[layer], own, at, queries[token], window)
            assert torch.allclose(attended[token].double(), expected, atol=1e-5)


def attend_plainly(pool: Tensor, pages: list[int], at: int, query: Tensor, window: int | None) -> Tensor:
    """[Q, D] what the token at a position takes from its pages, in float64."""
    keys, values = pool[:, pages].transpose(1, 2).flatten(2, 3).double()
    seen = slice(0 if window is None else max(0, at + 1 - window), at + 1)
    grouped = query.double().unflatten(0, (keys.shape[0], -1))
    scores = torch.einsum("kgd,kcd->kgc", grouped, keys[:, seen]) * query.shape[-1] ** -0.5
    return torch.einsum("kgc,kcd->kgd", scores.softmax(dim=-1), values[:, seen]).flatten(0, 1)
