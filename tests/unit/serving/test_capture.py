"""Sessions that are kept: a rollout each in a store that `assay show` reads, those that never end cut off."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2

from assay.observe.store import RunStore
from assay.serving.capture import Captures
from assay.serving.server import Gateway
from assay.serving.session import AgentSession
from assay.types import Ending
from gateway_service import TOKEN, Service, said


def captured(
    service: Service,
    folder: Path,
    talk: Callable[[httpx2.AsyncClient, Gateway], Awaitable[Any]],
    *,
    idle_seconds: float = 600.0,
) -> list[tuple[str, Ending]]:
    """What ended, in order, while `talk` went on and when the server was closed."""
    ended: list[tuple[str, Ending]] = []
    captures = Captures(
        *(service.engine, service.renderer, service.sampling),
        seed=0,
        idle_seconds=idle_seconds,
        folder=folder,
        model_folder=folder,
        on_end=lambda session, ending: ended.append((session.key, ending)),
    )
    gateway = service.gateway = Gateway(TOKEN, open_session=captures.open)

    async def talking(client: httpx2.AsyncClient) -> None:
        writing = asyncio.create_task(captures.write_ended(lambda: gateway.sessions, gateway.remove))
        await talk(client, gateway)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)

    service.run(talking)
    return ended


async def until_closed(gateway: Gateway) -> None:
    while gateway.sessions:
        await asyncio.sleep(0.01)


async def ask(client: httpx2.AsyncClient, key: str, *texts: str, **options: Any) -> int:
    body = {"messages": said(*texts), **options}
    return (await client.post(f"/sessions/{key}/v1/chat/completions", json=body)).status_code


def test_an_ended_session_is_a_rollout_in_the_store(service: Service, tmp_path: Path) -> None:
    async def talk(client: httpx2.AsyncClient, gateway: Gateway) -> None:
        await ask(client, "mine", "2+5?")
        await ask(client, "mine", "2+5?", "seven", "sure?", temperature=0.5)
        await ask(client, "mine", "2+5?", "seven", "sure?", n=2)
        await client.post("/sessions/mine/reward", json={"reward": 1.0, "reason": "right"})
        await until_closed(gateway)
        assert await ask(client, "mine", "again") == 410

    ended = captured(service, tmp_path / "kept", talk)
    assert [(key, ending.kind.value) for key, ending in ended] == [("mine", "finished")]
    with RunStore.open_readonly(tmp_path / "kept") as store:
        (record,) = store.rollouts()
        assert (record.verdict, record.value, record.reason, record.num_turns) == ("solved", 1.0, "right", 2)
        assert record.evidence == "overruled sampling x1, refused: unsupported_value x1"
        assert "2+5?" in record.prompt
        sampled = [token for token, mask in zip(record.token_ids, record.loss_mask, strict=True) if mask]
        assert service.renderer.decode(sampled) == "seven<|im_end|>seven<|im_end|>"
        assert list(record.token_logprobs) == [0.0] * len(sampled)
        turns = store.turns(0, record.group_id, 0)
        assert [turn.extends_previous for turn in turns] == [False, True]
        assert [message.content for message in turns[0].env_messages] == ["sure?"]


def test_sessions_that_never_end_are_cut_off_and_counted(service: Service, tmp_path: Path) -> None:
    async def silent(client: httpx2.AsyncClient, gateway: Gateway) -> None:
        await ask(client, "silent", "a")
        await until_closed(gateway)

    async def open_at_the_end(client: httpx2.AsyncClient, gateway: Gateway) -> None:
        await ask(client, "open", "a")

    (cut,) = captured(service, tmp_path / "kept", silent, idle_seconds=0.2)
    assert (cut[1].kind.value, cut[1].reason) == ("truncated", "time")
    (closed,) = captured(service, tmp_path / "kept", open_at_the_end)
    assert (closed[1].kind.value, closed[1].reason) == ("truncated", "closed")
    with RunStore.open_readonly(tmp_path / "kept") as store:
        assert [record.group_id for record in store.rollouts()] == [0, 1], "a folder that is there is added to"
        counted = Counter({(each.ending_reason, each.reason): each.count for each in store.outcomes()})
        assert counted == {("time", "no reward was reported"): 1, ("closed", "no reward was reported"): 1}


def test_a_failed_engine_is_a_broken_rollout(service: Service, tmp_path: Path) -> None:
    service.engine.failures = 2

    async def talk(client: httpx2.AsyncClient, gateway: Gateway) -> None:
        assert await ask(client, "a", "x") == 500
        await until_closed(gateway)

    ((_, ending),) = captured(service, tmp_path, talk)
    assert (ending.kind.value, ending.boundary) == ("broken", "engine")


def test_a_session_is_idle_only_while_nothing_is_asked(service: Service) -> None:
    clock = [0.0]
    session = AgentSession("a", service.conversation(), lambda: clock[0])
    clock[0] = 5.0
    assert session.idle_seconds == 5.0
