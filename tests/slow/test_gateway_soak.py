"""Two thousand sessions at a gateway, many of them led badly: each is kept once, with what it did; nothing stays."""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
from collections import Counter
from pathlib import Path

import httpx2
import pytest

from assay.observe.store import RunStore
from assay.render import load_renderer
from assay.serving.capture import Captures
from assay.serving.server import Gateway
from gateway_service import TOKEN, Service, said

NUM_SESSIONS, NUM_AT_ONCE, IDLE_SECONDS = 2000, 50, 3.0
WAYS = ("good", "twice", "nan", "silent", "gone", "nonsense", "unknown")


async def lead(client: httpx2.AsyncClient, key: str, way: str, num_turns: int) -> None:
    """Lead a session in one of the ways."""
    chat, reward = f"/sessions/{key}/v1/chat/completions", f"/sessions/{key}/reward"
    texts = ["q0"]
    for turn in range(num_turns):
        answer = await client.post(chat, json={"messages": said(*texts), "stream": turn % 2 == 1})
        assert answer.status_code == 200
        texts += ["seven", f"q{turn + 1}"]
    if way == "gone":
        with contextlib.suppress(httpx2.TimeoutException):
            await client.post(chat, json={"messages": said("slow")}, timeout=0.05)
    if way == "nonsense":
        assert (await client.post(chat, content=b"[" * 1000)).status_code == 400
    if way == "unknown":
        assert (await client.post("/sessions/nobody/reward", json={"reward": 1.0})).status_code == 404
    if way == "nan":
        assert (await client.post(reward, content=b'{"reward": NaN}')).status_code == 400
    if way != "silent":
        assert (await client.post(reward, json={"reward": 1.0})).status_code == 200
    if way == "twice":
        assert (await client.post(reward, json={"reward": 0.0})).status_code in (409, 410)


@pytest.mark.slow
def test_two_thousand_sessions_are_each_kept_once(tiny_model: Path, tmp_path: Path) -> None:
    service = Service(load_renderer(tiny_model))
    slow = service.renderer._encode("slow")
    answer = service.engine.script

    def script(prompt_ids: tuple[int, ...], seed: int, sampled: tuple[int, ...]):
        # A prompt that says so is answered at length, so that its client goes away in the middle.
        length = len(slow)
        if any(prompt_ids[i : i + length] == slow for i in range(len(prompt_ids))):
            return {0: 1.0}
        return answer(prompt_ids, seed, sampled)

    service.engine.script = script
    service.sampling = service.sampling.model_copy(update={"max_new_tokens": 1_000_000})
    service.engine.max_context = 10_000_000
    ended: list[str] = []
    captures = Captures(
        *(service.engine, service.renderer, service.sampling),
        seed=0,
        idle_seconds=IDLE_SECONDS,
        folder=tmp_path / "kept",
        model_folder=tiny_model,
        on_end=lambda session, ending: ended.append(session.key),
    )
    gateway = service.gateway = Gateway(TOKEN, open_session=captures.open)
    rng = random.Random(0)
    led = [(f"s{i}", rng.choice(WAYS), rng.randint(1, 4)) for i in range(NUM_SESSIONS)]
    grown: list[int] = []

    async def talk(client: httpx2.AsyncClient) -> None:
        writing = asyncio.create_task(captures.write_ended(lambda: gateway.sessions, gateway.remove))
        places = asyncio.Semaphore(NUM_AT_ONCE)

        async def one(number: int, key: str, way: str, num_turns: int) -> None:
            async with places:
                await lead(client, key, way, num_turns)
            if number in (NUM_SESSIONS // 2, NUM_SESSIONS - 1):
                grown.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

        await asyncio.gather(*(one(number, *each) for number, each in enumerate(led)))
        while gateway.sessions:
            await asyncio.sleep(0.1)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)

    service.run(talk)
    assert sorted(ended) == sorted(key for key, _, _ in led)
    assert service.engine._under_way == {}
    ways = Counter(way for _, way, _ in led)
    with RunStore.open_readonly(tmp_path / "kept") as store:
        outcomes = {(each.ending, each.ending_reason, each.verdict): each.count for each in store.outcomes()}
        assert outcomes == {
            ("finished", "", "solved"): NUM_SESSIONS - ways["silent"],
            ("truncated", "time", "not_measured"): ways["silent"],
        }
        records = store.rollouts()
        assert sum(record.num_turns for record in records) == sum(num_turns for _, _, num_turns in led)
        assert sum("aborted x1" in record.evidence for record in records) == ways["gone"]
        assert sum("invalid_reward x1" in record.evidence for record in records) == ways["nan"]
        assert sum("invalid_json x1" in record.evidence for record in records) == ways["nonsense"]
    first, last = grown
    assert last < first * 1.1, "the second thousand needs no more memory than the first"
