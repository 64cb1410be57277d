"""A run that is given `max_memory` keeps within it, by what can be made smaller."""

from __future__ import annotations

import dataclasses
import io
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.unit.training.test_memory import SMOLLM2

import assay
from assay.errors import ConfigError
from assay.launch import build_run as build
from assay.observe.console import Console
from assay.policies import DecoderConfig
from assay.policies.shape import ModelShape
from assay.recipe import RunConfig
from assay.training import MemoryEstimate, memory_estimate
from assay.training.within import GIB, MemoryShares, shares_within

LONGEST = 100
MOST = MemoryShares(tokens_per_microbatch=4096, num_slots=128, prefix_cache_bytes=GIB)


def estimate(shares: MemoryShares, *, keeps_cache: bool = False) -> MemoryEstimate:
    return memory_estimate(
        ModelShape.of_decoder(DecoderConfig.from_dict(SMOLLM2)),
        compute_dtype=torch.float32,
        tokens_per_microbatch=shares.tokens_per_microbatch,
        num_slots=shares.num_slots,
        slot_tokens=LONGEST,
        num_kept=128,
        prefix_cache_bytes=shares.prefix_cache_bytes,
        keeps_cache=keeps_cache,
    )


@pytest.mark.parametrize("limit", [20, 9, 8, 7, 6, 5])
def test_shares_fit_and_no_larger_ones_do(limit: float) -> None:
    shares = shares_within(estimate, MOST, LONGEST, limit)
    assert estimate(shares).total_bytes <= limit * GIB
    assert shares.tokens_per_microbatch >= LONGEST
    larger = dataclasses.replace(shares, tokens_per_microbatch=2 * shares.tokens_per_microbatch)
    assert shares == MOST or estimate(larger).total_bytes > limit * GIB


def test_what_takes_more_is_made_smaller() -> None:
    assert shares_within(estimate, MOST, LONGEST, None) == MOST
    # An update takes more than the cache, and less of that would not lower the peak.
    whole = estimate(MOST).total_bytes / GIB
    assert shares_within(estimate, MOST, LONGEST, whole - 0.1) == dataclasses.replace(MOST, tokens_per_microbatch=2048)
    # Where both stand at once, the cache goes once it is the larger part, what is only kept first.
    few = dataclasses.replace(MOST, tokens_per_microbatch=LONGEST, num_slots=1024)

    def both(shares: MemoryShares) -> MemoryEstimate:
        return estimate(shares, keeps_cache=True)

    whole = both(few).total_bytes / GIB
    first = dataclasses.replace(few, prefix_cache_bytes=0)
    assert shares_within(both, few, LONGEST, whole - 0.1) == first
    assert shares_within(both, few, LONGEST, whole - 0.7) == dataclasses.replace(first, num_slots=512)


def test_less_than_one_sequence_needs_is_an_error_with_the_remedy() -> None:
    least = estimate(MemoryShares(LONGEST, 1, 0)).total_bytes / GIB
    assert shares_within(estimate, MOST, LONGEST, least + 0.001).tokens_per_microbatch == LONGEST
    with pytest.raises(ConfigError, match=rf"one sequence of 100 tokens.*{least:.2f} GiB \(.*model\.lora\.rank"):
        shares_within(estimate, MOST, LONGEST, least - 0.001)


def recipe(model: Path, **settings: object) -> dict[str, object]:
    return {
        "num_steps": 1,
        "groups_per_step": 2,
        "group_size": 4,
        "num_slots": 8,
        "num_threads": 1,
        "model": {"source": model, "device": "cpu", "compute_dtype": "fp32"},
        "sampling": {"max_new_tokens": 8},
        "evaluation": {"every_steps": 0, "test_tasks": 0},
        **settings,
    }


def test_a_run_takes_the_shares_that_fit_and_says_so(tiny_model: Path, tmp_path: Path) -> None:
    def told(**settings: object) -> str:
        stream = io.StringIO()
        assay.train(
            recipe(tiny_model, **settings),
            run_folder=tmp_path / f"run{len(list(tmp_path.iterdir()))}",
            console=Console(stream=stream, live=False),
        )
        return stream.getvalue()

    def needed(text: str) -> float:
        found = re.search(r"memory, .*: about ([\d.]+) GB", text)
        assert found is not None
        return float(found[1]) * 1e9 / GIB

    free = told()
    assert "max_memory" not in free
    # The interpreter alone takes 0.33 GB, so that a tiny model leaves little to choose.
    assert "max_memory" not in told(max_memory=needed(free) + 0.1)
    with pytest.raises(ConfigError, match=r"max_memory=0\.2 GiB is less than"):
        told(max_memory=0.2)


def test_shares_reach_the_engine_and_the_trainer(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = MemoryShares(tokens_per_microbatch=32, num_slots=3, prefix_cache_bytes=0)
    monkeypatch.setattr("assay.run.run.shares_within", lambda *_: small)
    seen: list[tuple[int, int, int]] = []

    class Looks:
        async def step_done(self, done: object) -> None:
            run = runs[0]
            engine = run.engine
            seen.append(
                (run.learner.trainer.tokens_per_microbatch, engine._scheduler.num_slots, engine._prefixes.max_bytes)
            )

    runs: list[Any] = []
    monkeypatch.setattr("assay.public.build_run", lambda *a, **k: runs.append(build(*a, **k)) or runs[0])
    stream = io.StringIO()
    assay.train(
        recipe(tiny_model, max_memory=1.0),
        run_folder=tmp_path / "run",
        console=Console(stream=stream, live=False),
        subscribers=[Looks()],
    )
    assert seen == [(32, 3, 0)]
    assert "to keep within max_memory=1 GiB: 3 slots, none kept, micro-batches of 32 tokens" in stream.getvalue()


def test_a_cluster_has_no_such_limit() -> None:
    with pytest.raises(ValueError, match="max_memory has no effect with cluster"):
        RunConfig.model_validate({"max_memory": 4.0, "cluster": {"learner": 2, "engines": 2}})
