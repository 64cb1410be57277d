"""What is under way when new weights come goes on under them, or begins again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import torch

from assay.engines import LocalEngine, RestartingEngine, Sampling, check_engine
from assay.errors import EngineError
from assay.models import open_model
from assay.policies import DecoderPolicy
from assay.types import Completion

PROMPTS = [(5, 6, 7), (5, 6, 9), (11, 12)]
SAMPLING = Sampling(max_new_tokens=40)


@pytest.fixture
def policy(tiny_model: Path) -> DecoderPolicy:
    return open_model(tiny_model).policy()


def engine_of(policy: DecoderPolicy) -> LocalEngine:
    return LocalEngine(policy.config, policy.weights(), stop_token_ids=(), decode=str, dtype=torch.float32)


def louder(policy: DecoderPolicy) -> list[tuple[str, torch.Tensor]]:
    return [(name, 1.5 * tensor) for name, tensor in policy.weights()]


async def ask_all(engine: LocalEngine | RestartingEngine) -> list[Completion]:
    asked = [engine.generate(prompt, SAMPLING, request_id=f"{seed}", seed=seed) for seed, prompt in enumerate(PROMPTS)]
    return list(await asyncio.gather(*asked))


async def renewed_halfway(engine: LocalEngine | RestartingEngine, local: LocalEngine, policy: DecoderPolicy):
    asking = asyncio.ensure_future(ask_all(engine))
    while local.num_sampled < 20 * len(PROMPTS):
        await asyncio.sleep(0)
    await engine.load_weights(louder(policy), 1)
    return await asking


def test_it_goes_on_with_its_versions_by_span(policy: DecoderPolicy) -> None:
    local = engine_of(policy)
    for each in asyncio.run(renewed_halfway(local, local, policy)):
        assert each.version_spans == ((0, 0), (20, 1))
        assert len(each.token_ids) == 40


def test_or_begins_again_and_is_what_the_new_weights_sample(policy: DecoderPolicy) -> None:
    local = engine_of(policy)
    engine = RestartingEngine(local)
    found = asyncio.run(renewed_halfway(engine, local, policy))
    assert engine.take_num_restarted() == 3
    assert engine.take_num_restarted() == 0
    assert local.num_sampled <= 3 * (20 + 1) + 3 * 40, "what was taken back is sampled one token further at most"
    fresh = engine_of(policy)

    async def from_the_first() -> list[Completion]:
        await fresh.load_weights(louder(policy), 1)
        return await ask_all(fresh)

    assert found == asyncio.run(from_the_first())
    assert {each.version_spans for each in found} == {((0, 1),)}


def test_what_is_asked_while_weights_are_loaded_waits_for_them(policy: DecoderPolicy) -> None:
    local = engine_of(policy)
    engine = RestartingEngine(local)

    async def work() -> Completion:
        async with engine.renewed():
            asking = asyncio.ensure_future(engine.generate((5,), SAMPLING, request_id="a", seed=0))
            await asyncio.sleep(0.01)
            assert not local.num_sampled
            await local.load_weights(louder(policy), 1)
        return await asking

    assert asyncio.run(work()).version_spans == ((0, 1),)


def test_whoever_gives_up_is_not_asked_for_again(policy: DecoderPolicy) -> None:
    local = engine_of(policy)
    engine = RestartingEngine(local)

    async def work() -> None:
        asking = asyncio.ensure_future(engine.generate((5,), SAMPLING, request_id="a", seed=0))
        await asyncio.sleep(0.001)
        asking.cancel()
        async with engine.renewed():
            pass
        with pytest.raises(asyncio.CancelledError):
            await asking
        sampled = local.num_sampled
        await asyncio.sleep(0.01)
        assert local.num_sampled == sampled
        assert not engine._under_way
        assert not engine._taken_back
        await local.close()
        with pytest.raises(EngineError, match="closed"):
            await engine.generate((5,), SAMPLING, request_id="a", seed=0)

    asyncio.run(work())


def test_the_contract(policy: DecoderPolicy) -> None:
    async def work() -> None:
        engine = RestartingEngine(engine_of(policy))
        await check_engine(engine, PROMPTS, stop_token_ids=(), weights=list(policy.weights()))

    asyncio.run(work())
