"""LocalEngine on a tiny random model: sharing, caching, stopping, updates in flight, failures."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from assay.engines import LocalEngine, Sampling
from assay.engines.local import batching
from assay.errors import ConfigError, ContextLengthError, ContractError, DataError, EngineError, ModelError
from assay.policies import DecoderConfig
from assay.policies.folder import read_weights
from assay.policies.tiny import random_weights
from assay.types import Completion

PROMPT = tuple(range(60, 100))
LONG = Sampling(max_new_tokens=24)


class CountingEngine(LocalEngine):
    """Notes how many tokens each pass computes."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.passes: list[int] = []
        forward = self._runner._forward

        def counted(token_T: Tensor, *rest: Any) -> Tensor:
            self.passes.append(len(token_T))
            return forward(token_T, *rest)

        self._runner._forward = counted  # pyright: ignore[reportAttributeAccessIssue]


@pytest.fixture(scope="module")
def config(tiny_model: Path) -> DecoderConfig:
    return DecoderConfig.from_folder(tiny_model)


@pytest.fixture(scope="module")
def weights(tiny_model: Path, config: DecoderConfig) -> dict[str, Tensor]:
    return read_weights(tiny_model, config)


@pytest.fixture
def make_engine(config: DecoderConfig, weights: dict[str, Tensor]) -> Any:
    def make(**options: Any) -> CountingEngine:
        settings = {"stop_token_ids": (), "decode": as_text, "dtype": torch.float32, **options}
        return CountingEngine(config, weights.items(), **settings)

    return make


def as_text(token_ids: Sequence[int]) -> str:
    return "".join(f"[{token}]" for token in token_ids)


async def sample(engine: LocalEngine, prompt_ids: Sequence[int], seed: int, sampling: Sampling = LONG) -> Completion:
    return await engine.generate(prompt_ids, sampling, request_id=f"{len(prompt_ids)}-{seed}", seed=seed)


async def sample_all(engine: LocalEngine, requests: Sequence[tuple[Sequence[int], int]]) -> list[Completion]:
    return await asyncio.gather(*(sample(engine, prompt, seed) for prompt, seed in requests))


def assert_same(left: Completion, right: Completion) -> None:
    assert left.token_ids == right.token_ids
    assert left.logprobs == pytest.approx(right.logprobs, abs=1e-5)


def test_a_group_computes_its_prompt_once_and_samples_what_it_would_alone(make_engine: Any) -> None:
    engine = make_engine()
    together = asyncio.run(sample_all(engine, [(PROMPT, seed) for seed in range(6)]))
    assert engine.passes == [len(PROMPT)] + [6] * 23
    assert len({completion.token_ids for completion in together}) == 6
    for seed, completion in enumerate(together):
        alone = make_engine(prefix_cache_bytes=0)
        assert_same(completion, asyncio.run(sample(alone, PROMPT, seed)))


def test_more_requests_than_slots_wait_in_order(make_engine: Any) -> None:
    engine, roomy = make_engine(num_slots=2), make_engine()

    async def one(number: int) -> Completion:
        return await sample(engine, PROMPT[number:], number, Sampling(max_new_tokens=3 + number % 2))

    async def all_of_them() -> list[Completion]:
        return await asyncio.gather(*map(one, range(7)))

    completions = asyncio.run(all_of_them())
    # Two prompts, then by twos; each slot that becomes free goes to the next prompt, and in the end two did at once.
    assert engine.passes[:4] == [40 + 39, 2, 2, 38]
    assert [size for size in engine.passes if size > 2] == [40 + 39, 38, 37, 36, 35 + 34]
    for number, completion in enumerate(completions):
        fresh = asyncio.run(sample(roomy, PROMPT[number:], number, Sampling(max_new_tokens=3 + number % 2)))
        assert_same(completion, fresh)


def test_a_late_member_starts_from_a_running_one(make_engine: Any) -> None:
    engine = make_engine(prefix_cache_bytes=0)

    async def late() -> list[Completion]:
        first = asyncio.create_task(sample(engine, PROMPT, 0))
        while len(engine.passes) < 5:
            await asyncio.sleep(0)
        return [await sample(engine, PROMPT, 1), await first]

    second, _ = asyncio.run(late())
    assert engine.passes[:6] == [len(PROMPT), 1, 1, 1, 1, 1]
    assert_same(second, asyncio.run(sample(make_engine(), PROMPT, 1)))


def test_a_later_turn_starts_from_the_conversation_so_far(make_engine: Any) -> None:
    engine = make_engine()
    first = asyncio.run(sample(engine, PROMPT, 0))
    conversation = (*PROMPT, *first.token_ids, 7, 8, 9)
    engine.passes.clear()
    second = asyncio.run(sample(engine, conversation, 1))
    # The last sampled token was never read, so four tokens are new.
    assert engine.passes[0] == 4
    assert_same(second, asyncio.run(sample(make_engine(), conversation, 1)))
    engine.passes.clear()
    fork = asyncio.run(sample(engine, (*PROMPT, *first.token_ids[:10], 1), 2))
    assert engine.passes[0] == 1
    assert_same(fork, asyncio.run(sample(make_engine(), (*PROMPT, *first.token_ids[:10], 1), 2)))


def test_forget_makes_the_past_invisible(make_engine: Any) -> None:
    engine = make_engine()
    asyncio.run(sample(engine, PROMPT, 0))
    engine.forget()
    engine.passes.clear()
    again = asyncio.run(sample(engine, PROMPT[:30], 1))
    assert engine.passes[0] == 30
    assert again == asyncio.run(sample(make_engine(), PROMPT[:30], 1)), "to the last bit"


def test_the_same_requests_in_the_same_order_give_the_same_bits(make_engine: Any) -> None:
    requests = [(PROMPT[start:], seed) for start in range(5) for seed in range(3)]
    engine = make_engine(num_slots=4)
    first = asyncio.run(sample_all(engine, requests))
    engine.forget()
    assert asyncio.run(sample_all(engine, requests)) == first
    assert asyncio.run(sample_all(make_engine(num_slots=4), requests)) == first


def test_the_end_token_ends_and_is_kept(make_engine: Any) -> None:
    free = asyncio.run(sample(make_engine(), PROMPT, 0))
    stop = free.token_ids[9]
    assert stop not in free.token_ids[:9]
    stopped = asyncio.run(sample(make_engine(stop_token_ids=(stop,)), PROMPT, 0))
    assert (stopped.token_ids, stopped.finish_reason) == (free.token_ids[:10], "stop")
    assert free.finish_reason == "length"
    # An end token in the place of the last one allowed is still an end.
    exact = asyncio.run(sample(make_engine(stop_token_ids=(stop,)), PROMPT, 0, Sampling(max_new_tokens=10)))
    assert exact.finish_reason == "stop"


def test_a_stop_string_across_tokens_ends_and_is_kept(make_engine: Any) -> None:
    free = asyncio.run(sample(make_engine(), PROMPT, 0))
    across = f"{free.token_ids[5]}][{free.token_ids[6]}"
    stopped = asyncio.run(sample(make_engine(), PROMPT, 0, Sampling(max_new_tokens=24, stop=("never", across))))
    assert (stopped.token_ids, stopped.finish_reason) == (free.token_ids[:7], "stop")


def test_context_limits(make_engine: Any, config: DecoderConfig) -> None:
    engine = make_engine(max_context=45)
    completion = asyncio.run(sample(engine, PROMPT, 0))
    assert (len(completion.token_ids), completion.finish_reason) == (5, "length")
    with pytest.raises(ContextLengthError, match="45 tokens and the context 45"):
        asyncio.run(sample(engine, PROMPT + PROMPT[:5], 0))
    with pytest.raises(ConfigError, match=f"from 2 to {config.max_context}"):
        make_engine(max_context=config.max_context + 1)
    with pytest.raises(ConfigError, match="num_slots"):
        make_engine(num_slots=0)


def test_prompts_that_cannot_be_sampled_from(make_engine: Any) -> None:
    engine = make_engine()
    with pytest.raises(DataError, match="empty"):
        asyncio.run(sample(engine, (), 0))
    with pytest.raises(DataError, match="token id 99999 is outside"):
        asyncio.run(sample(engine, (1, 99999), 0))

    async def twice() -> None:
        await sample_all(engine, [(PROMPT, 0), (PROMPT, 0)])

    with pytest.raises(ContractError, match="40-0"):
        asyncio.run(twice())
    assert len(asyncio.run(sample(engine, PROMPT, 3)).token_ids) == 24


def test_new_weights_between_two_tokens(make_engine: Any, config: DecoderConfig) -> None:
    """The old weights' tokens stay, the new weights go on from their keys and values, and no stale prefix is reused."""
    other = random_weights(config, seed=9)
    engine = make_engine(version=3)

    async def update_in_flight() -> tuple[Completion, Completion]:
        task = asyncio.create_task(sample(engine, PROMPT, 0))
        while len(engine.sampled_so_far("40-0")) < 10:
            await asyncio.sleep(0)
        await engine.load_weights(other.items(), 4)
        engine.passes.clear()
        return await sample(engine, PROMPT, 1), await task

    later, updated = asyncio.run(update_in_flight())
    unchanged = asyncio.run(sample(make_engine(), PROMPT, 0))
    assert updated.version_spans == ((0, 3), (10, 4))
    assert updated.version == 3
    assert updated.token_ids[:10] == unchanged.token_ids[:10]
    assert updated.token_ids[10:] != unchanged.token_ids[10:]
    fresh = make_engine()
    asyncio.run(fresh.load_weights(other.items(), 1))
    assert engine.passes[0] == len(PROMPT), "its prompt was computed with the new weights"
    assert_same(later, asyncio.run(sample(fresh, PROMPT, 1)))
    engine.passes.clear()
    asyncio.run(sample(engine, (*PROMPT, *updated.token_ids, 1), 2))
    assert engine.passes[0] == 25, "only the prompt is reusable, from the other request"


def test_weights_that_are_not_whole_stop_sampling_until_others_come(
    make_engine: Any, weights: dict[str, Tensor]
) -> None:
    engine = make_engine()
    with pytest.raises(ModelError, match="missing"):
        asyncio.run(engine.load_weights(list(weights.items())[1:], 1))
    assert engine.version == 0
    with pytest.raises(EngineError, match="not whole"):
        asyncio.run(sample(engine, PROMPT, 0))
    asyncio.run(engine.load_weights(weights.items(), 1))
    assert asyncio.run(sample(engine, PROMPT, 0)).version_spans == ((0, 1),)


def test_a_failing_pass_fails_all_under_way_and_nothing_after(make_engine: Any, weights: dict[str, Tensor]) -> None:
    engine = make_engine(num_slots=2)
    broken = {name: torch.full_like(tensor, torch.nan) for name, tensor in weights.items()}

    async def fail() -> list[Any]:
        await engine.load_weights(broken.items(), 1)
        tasks = [sample(engine, PROMPT[n:], n) for n in range(4)]
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(asyncio.wait_for(fail(), timeout=30))
    assert all(isinstance(result, EngineError) and "diverged" in str(result) for result in results)
    asyncio.run(engine.load_weights(weights.items(), 2))
    assert_same(asyncio.run(sample(engine, PROMPT, 0)), asyncio.run(sample(make_engine(), PROMPT, 0)))


def test_abort_and_cancel_leave_the_others_alone(make_engine: Any) -> None:
    engine = make_engine(num_slots=3)

    async def play() -> list[Completion]:
        tasks = [asyncio.create_task(sample(engine, PROMPT[n:], n)) for n in range(5)]
        while len(engine.sampled_so_far("40-0")) < 6:
            await asyncio.sleep(0)
        await engine.abort("40-0")
        await engine.abort("36-4")
        await engine.abort("unknown")
        tasks[1].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)  # pyright: ignore[reportReturnType]

    first, cancelled, third, fourth, waiting = asyncio.run(play())
    assert (len(first.token_ids), first.finish_reason) == (6, "abort")
    assert isinstance(cancelled, asyncio.CancelledError)
    assert (waiting.token_ids, waiting.finish_reason, waiting.version_spans) == ((), "abort", ((0, 0),))
    fresh = make_engine()
    assert_same(third, asyncio.run(sample(fresh, PROMPT[2:], 2)))
    assert_same(fourth, asyncio.run(sample(fresh, PROMPT[3:], 3)))
    assert first.token_ids == asyncio.run(sample(fresh, PROMPT, 0)).token_ids[:6]


def test_close_ends_what_is_under_way(make_engine: Any) -> None:
    engine = make_engine()

    async def play() -> Completion:
        task = asyncio.create_task(sample(engine, PROMPT, 0))
        while len(engine.sampled_so_far("40-0")) < 3:
            await asyncio.sleep(0)
        await engine.close()
        return await task

    assert asyncio.run(play()).finish_reason == "abort"
    with pytest.raises(EngineError, match="closed"):
        asyncio.run(sample(engine, PROMPT, 0))


def test_an_event_loop_that_stops_leaves_the_engine_usable(make_engine: Any) -> None:
    engine = make_engine()

    async def give_up() -> None:
        await asyncio.wait_for(sample(engine, PROMPT, 0), timeout=0.0)

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())
    assert_same(asyncio.run(sample(engine, PROMPT, 1)), asyncio.run(sample(make_engine(), PROMPT, 1)))


def test_packs_are_bounded(make_engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.engines.local.engine.MAX_PACKED_TOKENS", 80)
    engine = make_engine()
    completions = asyncio.run(sample_all(engine, [(PROMPT[n:], n) for n in range(4)]))
    assert engine.passes[:2] == [40 + 39, 38 + 37]
    assert_same(completions[3], asyncio.run(sample(make_engine(), PROMPT[3:], 3)))


def test_at_rest_it_holds_no_weights_and_requests_wait_for_new_ones(make_engine: Any, weights: dict[str, Tensor]):
    engine = make_engine()

    async def work() -> tuple[Completion, Completion]:
        first = await sample(engine, PROMPT, 1)
        engine.rest()
        assert engine._view.embedding.numel() == 0
        assert not engine._view.layers
        asked = asyncio.create_task(sample(engine, PROMPT, 1))
        await asyncio.sleep(0.05)
        assert not asked.done()
        await engine.load_weights(weights.items(), 1)
        return first, await asked

    first, second = asyncio.run(work())
    assert (first.token_ids, first.logprobs) == (second.token_ids, second.logprobs)
    assert second.version == 1


def test_it_rests_only_where_nothing_is_under_way(make_engine: Any):
    engine = make_engine()

    async def work() -> Completion:
        asked = asyncio.create_task(sample(engine, PROMPT, 1))
        await asyncio.sleep(0)
        engine.rest()
        return await asked

    assert len(asyncio.run(work()).token_ids) == 24
    assert engine._view.version == 0


def test_after_a_rest_a_load_that_fails_is_an_error_not_a_wait(make_engine: Any):
    engine = make_engine()
    engine.rest()
    with pytest.raises(ModelError, match="are missing"):
        asyncio.run(engine.load_weights([], 1))
    with pytest.raises(EngineError, match="were not whole"):
        asyncio.run(sample(engine, PROMPT, 1))


def test_at_rest_for_good_it_says_so(make_engine: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(batching, "RESTING_SECONDS", 0.05)
    engine = make_engine()
    engine.rest()
    with pytest.raises(EngineError, match=r"gave its weights back for an update, and got none in 0\.05 seconds"):
        asyncio.run(sample(engine, PROMPT, 1))
