"""Recorded decode passes, with computing again in place of a CUDA graph."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from assay.engines import LocalEngine, Sampling
from assay.engines.local.graphs import ROWS, DecodeGraphs, records
from assay.policies import DecoderConfig
from assay.policies.folder import read_weights
from assay.types import Completion

NUM_REQUESTS = 21


class Recorder:
    """Computes again at each replay; notes what was recorded, and lets a recording run the pass, as CUDA's does."""

    def __init__(self) -> None:
        self.num_recorded = self.num_replayed = 0

    def __call__(self, compute: Callable[[], Tensor]) -> Callable[[], Tensor]:
        self.num_recorded += 1
        compute()

        def replay() -> Tensor:
            self.num_replayed += 1
            return compute()

        return replay


@pytest.fixture
def config(tiny_model: Path) -> DecoderConfig:
    return DecoderConfig.from_folder(tiny_model)


def complete(
    config: DecoderConfig,
    weights: dict[str, Tensor],
    recorder: Recorder | None,
    num_slots: int = 32,
    padded: bool = True,
) -> list[Completion]:
    """Of requests that end at different times, so that rows go empty and move; then of others with new weights."""
    engine = LocalEngine(
        config, weights.items(), stop_token_ids=(), decode=str, dtype=torch.float32, num_slots=num_slots
    )
    assert not engine._records
    if recorder is not None:
        # Rows are padded as on CUDA; prompts stay shared, so that both engines compute the same.
        engine._records = padded
        engine._runner.graphs = DecodeGraphs(engine._runner._decode, engine._cache, recorder)

    async def ask() -> list[Completion]:
        found: list[Completion] = []
        for version in range(2):
            found += await asyncio.gather(
                *(
                    engine.generate(
                        range(10 + number, 30 + 2 * number),
                        Sampling(max_new_tokens=5 + 3 * number),
                        request_id=f"{version} {number}",
                        seed=number,
                    )
                    for number in range(NUM_REQUESTS)
                )
            )
            scaled = {name: weight * 1.5 for name, weight in weights.items()}
            await engine.load_weights(scaled.items(), version + 1)
        return found

    return asyncio.run(ask())


def test_the_same_tokens_as_without(config: DecoderConfig, tiny_model: Path) -> None:
    weights, recorder = read_weights(tiny_model, config), Recorder()
    plain, replayed = complete(config, weights, None), complete(config, weights, recorder)
    assert [completion.token_ids for completion in replayed] == [completion.token_ids for completion in plain]
    for ours, theirs in zip(replayed, plain, strict=True):
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-5)
    # 21 to 17 rows, then 16 and fewer; again where the cache was laid out anew as sequences grew.
    assert recorder.num_recorded < recorder.num_replayed / 5


def test_more_rows_than_the_cache_has_are_computed_plainly(config: DecoderConfig, tiny_model: Path) -> None:
    weights, recorder = read_weights(tiny_model, config), Recorder()
    plain, few = complete(config, weights, None, num_slots=5), complete(config, weights, recorder, 5, padded=False)
    assert plain == few
    assert ROWS > 5
    assert recorder.num_recorded == 0


def test_only_where_they_can_be_recorded(config: DecoderConfig) -> None:
    assert records(config, "cuda")
    assert not records(config, "cpu")
