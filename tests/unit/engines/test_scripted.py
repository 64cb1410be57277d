"""ScriptedEngine: what it says, and how it fails, waits and is stopped."""

from __future__ import annotations

import asyncio
import math

import pytest

from assay import seeds
from assay.engines import Sampling, ScriptedEngine
from assay.engines.scripted import draw
from assay.errors import ContextLengthError, ContractError, EngineError
from assay.types import Completion


def even_odds(prompt_ids: tuple[int, ...], seed: int, sampled: tuple[int, ...]) -> dict[int, float]:
    return {65: 0.5, 66: 0.5}


def ask(engine: ScriptedEngine, request_id: str = "a", **sampling: object) -> Completion:
    async def go() -> Completion:
        options = Sampling.model_validate({"max_new_tokens": 5, **sampling})
        return await engine.generate((1, 2), options, request_id=request_id, seed=3)

    return asyncio.run(go())


def test_tokens_and_logprobs_follow_the_seed_rule() -> None:
    completion = ask(ScriptedEngine(even_odds))
    assert completion.token_ids == tuple(65 + (seeds.uniform(3, t) >= 0.5) for t in range(5))
    assert completion.logprobs == pytest.approx([math.log(0.5)] * 5)
    assert completion.finish_reason == "length"
    assert completion.version_spans == ((0, 0),)


def test_saying_gives_a_fixed_answer_and_the_end_token() -> None:
    engine = ScriptedEngine.saying(lambda prompt_ids, seed: [*prompt_ids, seed], stop_token_ids=(9,), version=4)
    assert ask(engine) == Completion((1, 2, 3, 9), (0.0,) * 4, "stop", ((0, 4),))
    assert ask(engine, max_new_tokens=2).finish_reason == "length"
    assert engine.requests == [("a", (1, 2), 3)] * 2


def test_draw_by_hand() -> None:
    table = {0: 0.1, 1: 0.4, 2: 0.2, 3: 0.3}
    assert draw(table, Sampling(), 0.05) == (0, pytest.approx(math.log(0.1)))
    assert draw(table, Sampling(), 0.1) == (1, pytest.approx(math.log(0.4)))
    assert draw(table, Sampling(temperature=0.0), 0.99) == (1, pytest.approx(math.log(0.4)))
    assert draw(table, Sampling(top_k=2), 0.99) == (3, pytest.approx(math.log(3 / 7)))
    assert draw(table, Sampling(top_p=0.65), 0.0) == (1, pytest.approx(math.log(4 / 7)))
    # Squares, as 1/temperature is 2: 1, 16, 4, 9 thirtieths.
    assert draw(table, Sampling(temperature=0.5), 0.6) == (2, pytest.approx(math.log(4 / 30)))
    with pytest.raises(ValueError, match=r"sum to 0\.5"):
        draw({0: 0.5}, Sampling(), 0.0)


def test_stop_strings_end_and_are_kept() -> None:
    engine = ScriptedEngine.saying(lambda prompt_ids, seed: [ord(letter) for letter in "abcde"], stop_token_ids=(9,))
    completion = ask(engine, stop=("bc",))
    assert (completion.token_ids, completion.finish_reason) == ((97, 98, 99), "stop")


def test_failures_then_success() -> None:
    engine = ScriptedEngine(even_odds, failures=1)
    with pytest.raises(EngineError):
        ask(engine)
    assert len(ask(engine).token_ids) == 5


def test_refused_requests() -> None:
    with pytest.raises(ContextLengthError, match="2 tokens and the context 2"):
        ask(ScriptedEngine(even_odds, max_context=2))
    assert len(ask(ScriptedEngine(even_odds, max_context=4)).token_ids) == 2

    async def twice() -> None:
        engine = ScriptedEngine(even_odds)
        await asyncio.gather(*(engine.generate((1,), Sampling(), request_id="same", seed=0) for _ in range(2)))

    with pytest.raises(ContractError, match="'same'"):
        asyncio.run(twice())


def test_gate_delay_abort_versions_and_close() -> None:
    async def play() -> list[Completion]:
        gate = asyncio.Event()
        engine = ScriptedEngine(even_odds, gate=gate, delay_seconds=0.001)
        sampling = Sampling(max_new_tokens=6)
        ids = ["aborted at the gate", "updated", "closed"]
        tasks = [asyncio.create_task(engine.generate((1,), sampling, request_id=name, seed=0)) for name in ids]
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in tasks)
        await engine.abort("aborted at the gate")
        await engine.abort("nobody")
        aborted = await tasks[0]
        engine.gate = None
        gate.set()
        await asyncio.sleep(0)
        while not any(task.done() for task in tasks[1:]):
            if engine.version == 0 and engine.requests:
                await asyncio.sleep(0)
                await engine.load_weights([], 1)
            await asyncio.sleep(0)
        engine.gate = asyncio.Event()
        last = asyncio.create_task(engine.generate((1,), sampling, request_id="last", seed=0))
        await asyncio.sleep(0)
        await engine.close()
        return [aborted, await tasks[1], await last]

    aborted, updated, last = asyncio.run(play())
    assert (aborted.token_ids, aborted.finish_reason, aborted.version_spans) == ((), "abort", ((0, 0),))
    assert updated.version_spans[-1][1] == 1
    assert last.finish_reason == "abort"
    closed = ScriptedEngine(even_odds)
    asyncio.run(closed.close())
    with pytest.raises(EngineError, match="closed"):
        ask(closed)
