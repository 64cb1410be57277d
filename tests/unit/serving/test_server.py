"""The gateway over real sockets: who may ask, what bad requests get, streams, clients that go away, rewards."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import httpx2
import pytest

from assay.errors import ConfigError
from assay.serving import ConversationLimits, ending_of
from assay.serving.server import MAX_BODY_BYTES, Gateway, is_loopback
from assay.types import Ending, EndingKind, Verdict
from gateway_service import TOKEN, Service, said

CHAT, REWARD = "/sessions/a/v1/chat/completions", "/sessions/a/reward"


def events(text: str) -> list[Any]:
    """The JSON of each event of a stream; the last must say that it is done."""
    *data, done = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert done == "[DONE]"
    return [json.loads(each) for each in data]


async def until(true: Any) -> None:
    while not true():
        await asyncio.sleep(0.005)


def test_a_chat_completion_has_what_clients_read(service: Service) -> None:
    async def talk(client: httpx2.AsyncClient) -> Any:
        body = {"model": "gpt-x", "messages": said("2+5?"), "logprobs": True, "return_token_ids": True}
        return (await client.post(CHAT, json=body)).json()

    answer = service.run(talk)
    (choice,) = answer["choices"]
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "gpt-x"
    assert choice["message"] == {"role": "assistant", "content": "seven", "refusal": None}
    assert choice["finish_reason"] == "stop"
    assert [each["token"] for each in choice["logprobs"]["content"]] == [*"seven", "<|im_end|>"]
    turn = service.opened["a"].conversation.turns[0]
    assert choice["token_ids"] == list(turn.completion.token_ids)
    assert choice["prompt_token_ids"] == list(turn.new_token_ids)
    assert answer["usage"] == {
        "prompt_tokens": len(turn.new_token_ids),
        "completion_tokens": 6,
        "total_tokens": len(turn.new_token_ids) + 6,
    }


@pytest.mark.parametrize("path", ["chat/completions", "completions"])
def test_a_stream_says_the_same_in_parts(service: Service, path: str) -> None:
    service.answer = lambda prompt: "sévén, and more of it"

    async def talk(client: httpx2.AsyncClient) -> Any:
        body = {
            "stream": True,
            "stream_options": {"include_usage": True},
            "logprobs": 1 if path == "completions" else True,
        }
        body |= {"prompt": "2+5?"} if path == "completions" else {"messages": said("2+5?")}
        answer = await client.post(f"/sessions/a/v1/{path}", json=body)
        assert answer.headers["content-type"].startswith("text/event-stream")
        return events(answer.text)

    *chunks, usage = service.run(talk)
    choices = [chunk["choices"][0] for chunk in chunks]
    texts = [choice.get("text") or choice.get("delta", {}).get("content") or "" for choice in choices]
    assert "".join(texts) == "sévén, and more of it"
    assert [choice["finish_reason"] for choice in choices] == [None] * (len(choices) - 1) + ["stop"]
    assert choices[-1]["logprobs"]
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 24


def test_a_stream_comes_as_it_is_sampled(tiny_model: Any) -> None:
    import torch

    from assay.models import open_model

    opened = open_model(str(tiny_model))
    renderer = opened.renderer()
    service = Service(renderer)
    service.engine = opened.engine(  # pyright: ignore[reportAttributeAccessIssue]
        stop_token_ids=renderer.stop_token_ids, decode=renderer.decode, dtype=torch.float32
    )

    async def talk(client: httpx2.AsyncClient) -> Any:
        body = {"messages": said("hello"), "stream": True, "max_tokens": 40}
        return events((await client.post(CHAT, json=body)).text)

    chunks = service.run(talk)
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert text == service.opened["a"].conversation.turns[0].message.content


def test_every_path_wants_the_token(service: Service) -> None:
    async def talk(client: httpx2.AsyncClient) -> None:
        assert (await client.get("/health", headers={"Authorization": ""})).json() == {"status": "ok"}
        for method, path in (("POST", CHAT), ("POST", REWARD), ("GET", "/sessions/a"), ("GET", "/v1/models")):
            for wrong in ("", "Bearer", "Bearer wrong", f"Bearer {TOKEN}x", "Bearer t\u00f6ken"):
                answer = await client.request(method, path, headers={b"Authorization": wrong.encode()}, content=b"{}")
                assert answer.status_code == 401, (path, wrong)
                assert answer.json()["error"]["code"] == "invalid_api_key"
        assert (await client.get("/v1/models")).json()["data"][0]["id"] == "assay"

    service.run(talk)
    assert service.opened == {}


def test_bad_requests_are_refused_counted_and_the_session_goes_on(service: Service) -> None:
    async def talk(client: httpx2.AsyncClient) -> None:
        for content, code in (
            (b"{", "invalid_json"),
            (json.dumps({"messages": [{"role": "critic", "content": ""}]}).encode(), "invalid_value"),
            (json.dumps({"messages": said("a"), "n": 4}).encode(), "unsupported_value"),
            (json.dumps({"messages": said("x" * 5000)}).encode(), "context_length_exceeded"),
        ):
            answer = await client.post(CHAT, content=content)
            assert answer.status_code == 400
            assert answer.json()["error"]["code"] == code
        answer = await client.post(CHAT, content=b" " * (MAX_BODY_BYTES + 1))
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_long")
        answer = await client.post(CHAT, json={"messages": said("x" * 5000), "stream": True})
        assert answer.status_code == 400, "before the first byte of a stream, a refusal is an HTTP error"
        assert (await client.post(CHAT, json={"messages": said("a")})).status_code == 200
        assert (await client.post("/nowhere")).json()["error"]["code"] == "no_such_path"
        assert (await client.get(CHAT)).status_code == 404
        answer = await client.post("/v1/chat/completions", json={"messages": said("a")})
        assert answer.json()["error"]["code"] == "session_needed"

    service.run(talk)
    session = service.opened["a"]
    assert session.refusals["context_length_exceeded"] == 2
    assert session.refusals.total() == 6
    assert "refused: body_too_long x1" in session.notes
    assert len(session.conversation.turns) == 1


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{}", b'{"reward": NaN}', b'{"reward": Infinity}', b'{"reward": 1e999}', b'{"reward": "1"}'),
        *(b'{"reward": true}', b'{"reward": null}', b'{"reward": 1, "parts": {"a": NaN}}'),
        *(b'{"reward": 1, "solved": 1}', b'{"reward": 1, "parts": {"a b": 1}}', b'{"reward": 1, "more": 1}'),
        b'{"reward": 1' + b"0" * 400 + b"}",
    ],
)
def test_a_report_that_is_no_number_is_refused_and_a_good_one_may_follow(service: Service, content: bytes) -> None:
    async def talk(client: httpx2.AsyncClient) -> None:
        await client.post(CHAT, json={"messages": said("a")})
        assert (await client.post(REWARD, content=content)).status_code == 400
        assert service.opened["a"].report is None
        good = {"reward": 0.25, "reason": "half of a half", "parts": {"speed": 0.5}}
        assert (await client.post(REWARD, json=good)).status_code == 200

    service.run(talk)
    session = service.opened["a"]
    assert session.refusals.total() == 1
    assert (session.score.verdict, session.score.value) == (Verdict.FAILED, 0.25)
    assert session.score.parts == {"speed": 0.5}
    assert session.score.reason == "half of a half"
    assert "refused" in session.score.evidence


def test_a_reward_is_reported_once_and_ends_the_session(service: Service) -> None:
    async def talk(client: httpx2.AsyncClient) -> None:
        assert (await client.post(REWARD, json={"reward": 1})).status_code == 404, "nobody has asked with this key"
        await client.post(CHAT, json={"messages": said("a")})
        assert (await client.post(REWARD, json={"reward": 1.0})).json()["solved"] is True
        again = await client.post(REWARD, json={"reward": 0.0})
        assert (again.status_code, again.json()["error"]["code"]) == (409, "already_reported")
        late = await client.post(CHAT, json={"messages": said("a")})
        assert (late.status_code, late.json()["error"]["code"]) == (410, "session_over")
        assert (await client.get("/sessions/a")).json()["reward"] == 1.0
        service.gateway.remove(service.opened["a"])
        assert (await client.post(CHAT, json={"messages": said("a")})).status_code == 410
        assert (await client.get("/sessions/a")).status_code == 410
        assert (await client.get("/sessions/never")).status_code == 404

    service.run(talk)
    session = service.opened["a"]
    assert session.score.value == 1.0
    assert ending_of(session) == Ending(EndingKind.FINISHED)


def test_keys_are_short_words(service: Service) -> None:
    async def talk(client: httpx2.AsyncClient) -> None:
        for key in ("a%2Fb", "x" * 129, "%00", "ü"):
            answer = await client.post(f"/sessions/{key}/v1/chat/completions", json={"messages": said("a")})
            assert answer.status_code in (400, 404), key

    service.run(talk)
    assert service.opened == {}


def test_text_that_is_no_unicode_is_answered(service: Service) -> None:
    half = "\\ud800"

    async def talk(client: httpx2.AsyncClient) -> None:
        for path, asked in (
            ("chat/completions", '"messages": [{"role": "user", "content": "H"}]'),
            ("completions", '"prompt": "H"'),
        ):
            content = f'{{"model": "H", {asked}}}'.replace("H", half)
            assert (await client.post(f"/sessions/a/v1/{path}", content=content.encode())).status_code == 200
        assert (await client.post(CHAT, content=f'{{"{half}": 1}}'.encode())).status_code == 400
        assert (await client.get("/sessions/a")).status_code == 200

    service.run(talk)


def test_a_client_that_goes_away_takes_its_request_back(service: Service) -> None:
    async def talk(client: httpx2.AsyncClient) -> None:
        gate = service.engine.gate = asyncio.Event()
        for stream in (False, True):
            asked = len(service.engine.requests)
            waiting = asyncio.create_task(client.post(CHAT, json={"messages": said("a"), "stream": stream}))
            await until(lambda asked=asked: len(service.engine.requests) > asked)
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
            await until(lambda: service.opened["a"].num_open == 0)
        gate.set()
        assert (await client.post(CHAT, json={"messages": said("a")})).status_code == 200

    service.run(talk)
    session = service.opened["a"]
    assert session.counts["aborted"] == 2
    assert len(session.conversation.turns) == 1
    assert service.engine._under_way == {}


def test_a_client_that_goes_away_in_the_middle_of_a_stream_takes_its_request_back(tiny_model: Any) -> None:
    import torch

    from assay.models import open_model

    opened = open_model(str(tiny_model))
    renderer = opened.renderer()
    service = Service(renderer)
    service.sampling = service.sampling.model_copy(update={"max_new_tokens": 100_000})
    engine = service.engine = opened.engine(  # pyright: ignore[reportAttributeAccessIssue]
        stop_token_ids=(), decode=renderer.decode, dtype=torch.float32
    )
    engine.max_context = 10**6  # no end of its own in sight

    async def talk(client: httpx2.AsyncClient) -> None:
        async with client.stream("POST", CHAT, json={"messages": said("a"), "stream": True}) as answer:
            seen = 0
            async for line in answer.aiter_lines():
                seen += line.startswith("data:")
                if seen == 2:
                    break
        await until(lambda: service.opened["a"].num_open == 0)

    service.run(talk)
    assert service.opened["a"].counts == {"aborted": 1}
    assert service.opened["a"].conversation.turns == []


def test_requests_of_one_session_are_answered_one_after_the_other(service: Service) -> None:
    async def talk(client: httpx2.AsyncClient) -> None:
        gate = service.engine.gate = asyncio.Event()
        asking = [asyncio.create_task(client.post(CHAT, json={"messages": said(f"q{i}")})) for i in range(5)]
        await until(lambda: "a" in service.opened and service.opened["a"].num_open == 5)
        assert len(service.engine.requests) == 1
        gate.set()
        answers = await asyncio.gather(*asking)
        assert [answer.status_code for answer in answers] == [200] * 5

    service.run(talk)
    assert len(service.opened["a"].conversation.turns) == 5


def test_more_waiting_requests_than_are_taken_are_told_to_come_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.serving.session.MAX_WAITING", 1)

    async def talk(client: httpx2.AsyncClient) -> None:
        gate = service.engine.gate = asyncio.Event()
        asking = [asyncio.create_task(client.post(CHAT, json={"messages": said("a")})) for _ in range(4)]
        await until(lambda: sum(each.done() for each in asking) == 2)
        gate.set()
        assert sorted(answer.status_code for answer in await asyncio.gather(*asking)) == [200, 200, 429, 429]

    service.run(talk)


def test_a_limit_is_told_and_the_reward_may_still_come(service: Service) -> None:
    service.limits = ConversationLimits(max_turns=1)

    async def talk(client: httpx2.AsyncClient) -> None:
        await client.post(CHAT, json={"messages": said("a")})
        for _ in range(2):
            answer = await client.post(CHAT, json={"messages": said("a")})
            assert (answer.status_code, answer.json()["error"]["code"]) == (410, "session_over")
            assert "the limit of its turns is reached; report its reward now" in answer.json()["error"]["message"]
        assert (await client.post(REWARD, json={"reward": 0.5})).status_code == 200

    service.run(talk)
    assert ending_of(service.opened["a"]) == Ending(EndingKind.TRUNCATED, "turns")
    assert service.opened["a"].score.value == 0.5


def test_an_engine_that_fails_is_a_server_error_and_ends_the_session(service: Service) -> None:
    service.engine.failures = 2

    async def talk(client: httpx2.AsyncClient) -> None:
        answer = await client.post(CHAT, json={"messages": said("a")})
        assert (answer.status_code, answer.json()["error"]["type"]) == (500, "server_error")
        assert (await client.post(CHAT, json={"messages": said("a")})).status_code == 410

    service.run(talk)
    with pytest.raises(Exception, match="a failure that the test asked for"):
        ending_of(service.opened["a"])


def test_without_sessions_requests_are_answered_and_not_kept(service: Service) -> None:
    service.gateway = Gateway(TOKEN, plain=lambda: service.conversation(fixed=False))

    async def talk(client: httpx2.AsyncClient) -> None:
        for path, body in (("chat/completions", {"messages": said("a")}), ("completions", {"prompt": "a"})):
            answer = await client.post(f"/v1/{path}", json={**body, "temperature": 0.0})
            assert answer.status_code == 200
        assert (await client.post(CHAT, json={"messages": said("a")})).status_code == 404

    service.run(talk)


def test_an_address_that_is_taken_says_so(service: Service) -> None:
    async def both() -> None:
        async with service.gateway:
            with pytest.raises(ConfigError, match=f"port {service.gateway.port} cannot be listened at"):
                await Gateway(TOKEN, port=service.gateway.port).start()

    asyncio.run(both())
    assert is_loopback("127.0.0.1")
    assert is_loopback("::1")
    assert is_loopback("localhost")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("example.org")
