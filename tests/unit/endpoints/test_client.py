"""The client against a real server that misbehaves in every way one can."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from assay.config import validate
from assay.endpoints import Endpoint, Replies, Reply, Tally
from assay.endpoints.client import MAX_BODY_BYTES, EndpointClient
from assay.engines.engine import Sampling
from assay.errors import ConfigError, ContextLengthError, EndpointError, EngineError, UnansweredError
from assay.types import Message
from chat_server import Answer, ChatServer, completion, failure

HELLO = (Message("user", "2 + 5?"),)
SAMPLING = Sampling(temperature=0.0, max_new_tokens=20)
KEY = "sk-abcdefghijklmnop0123456789"


def endpoint(server: ChatServer, **options: Any) -> Endpoint:
    return validate(Endpoint, {"model": "m", "base_url": server.url, "backoff_seconds": 0.001, **options})


def ask(
    server: ChatServer,
    work: Callable[[EndpointClient], Awaitable[Any]] | None = None,
    path: Path | None = None,
    before: tuple[int, int] = (0, 0),
    **options: Any,
) -> tuple[Any, EndpointClient]:
    """What one request, or `work`, returns, and the closed client."""

    async def run() -> tuple[Any, EndpointClient]:
        settings = endpoint(server, **options)
        client = EndpointClient(settings, Replies(path), tally=Tally(settings, before))
        try:
            return await (one(client) if work is None else work(client)), client
        finally:
            await client.close()

    return asyncio.run(run())


def one(client: EndpointClient, seed: int = 0, text: str = "2 + 5?") -> Awaitable[Reply]:
    return client.respond((Message("user", text),), SAMPLING, request_id=str(seed), seed=seed)


async def outcomes(client: EndpointClient, count: int) -> list[Any]:
    return await asyncio.gather(*(one(client, seed) for seed in range(count)), return_exceptions=True)


# ---- what is sent ----


def test_sends_the_basics_and_nothing_more(chat_server: ChatServer):
    reply, client = ask(chat_server)
    assert reply == Reply("7", input_tokens=10, output_tokens=5)
    assert chat_server.bodies == [
        {"model": "m", "messages": [{"role": "user", "content": "2 + 5?"}], "temperature": 0.0, "max_tokens": 20}
    ]
    assert "Authorization" not in chat_server.headers[0]
    assert client.tally.to_dict() == {
        "sent": 1,
        "replies": 1,
        "from_file": 0,
        "retries": 0,
        "failed": 0,
        "without_usage": 0,
        "input_tokens": 10,
        "output_tokens": 5,
        "cost": None,
        "outcomes": {"stop": 1},
        "causes": {},
    }


def test_sends_what_it_is_told_to(chat_server: ChatServer):
    sampling = Sampling(temperature=0.5, top_p=0.9, top_k=3, max_new_tokens=7, stop=("\n",))

    def work(client: EndpointClient) -> Awaitable[Any]:
        return client.respond([Message("user", "a \ud800 b")], sampling, request_id="x", seed=2**40 + 5)

    ask(chat_server, work, token_limit_field="max_completion_tokens", send_seed=True, body={"reasoning_effort": "low"})
    assert chat_server.bodies == [
        {
            "model": "m",
            "messages": [{"role": "user", "content": "a \ufffd b"}],
            "temperature": 0.5,
            "max_completion_tokens": 7,
            "top_p": 0.9,
            "top_k": 3,
            "stop": ["\n"],
            "seed": 5,
            "reasoning_effort": "low",
        }
    ]


def test_a_key_goes_into_one_header_and_nowhere_else(
    chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    chat_server.answer = lambda body, number: (
        completion(f"your key is {KEY}") if number == 0 else failure(400, f"bad key {KEY}")
    )

    async def work(client: EndpointClient) -> list[Any]:
        return [await one(client, 0), *await asyncio.gather(one(client, 1), return_exceptions=True)]

    (reply, error), client = ask(chat_server, work, tmp_path / "replies.sqlite", api_key_env="MY_KEY")
    assert chat_server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert reply.text == "your key is [key]"
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert KEY.encode() not in kept
    assert KEY not in f"{error}{client.endpoint!r}{client.tally!r}"


def test_a_missing_key_is_named(chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ConfigError, match="set the environment variable MY_KEY"):
        ask(chat_server, api_key_env="MY_KEY")
    with pytest.raises(ConfigError, match=r"no key for https://api.openai.com/v1: set .* OPENAI_API_KEY"):
        ask(chat_server, base_url="")
    monkeypatch.setenv("MY_KEY", "two\nlines")
    with pytest.raises(ConfigError, match="holds no key"):
        ask(chat_server, api_key_env="MY_KEY")


# ---- what comes back ----


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (completion("7", finish_reason="length"), Reply("7", "length", "", 10, 5)),
        (completion("7", finish_reason=None), Reply("7", "stop", "", 10, 5)),
        (completion("7", finish_reason=None, usage={"completion_tokens": 20}), Reply("7", "length", "", None, 20)),
        (completion("7", usage=None), Reply("7")),
        (completion("7", usage={"prompt_tokens": -1, "completion_tokens": True}), Reply("7")),
        (completion(None), Reply("", "stop", "empty", 10, 5)),
        (completion(None, finish_reason="length"), Reply("", "length", "empty", 10, 5)),
        (completion("half", finish_reason="content_filter"), Reply("half", "length", "content_filter", 10, 5)),
        (completion("", message={"content": None, "refusal": "No"}), Reply("No", "stop", "refusal", 10, 5)),
        (completion("", message={"content": None, "tool_calls": []}), Reply("", "stop", "empty", 10, 5)),
        (completion("", message={"content": None, "tool_calls": [{}]}),
         Reply("", "stop", "tool_calls", 10, 5, ({"id": "", "name": "", "arguments": ""},))),
        (completion("", message={"content": [{"type": "text", "text": "7"}]}), Reply("7", "stop", "", 10, 5)),
        (completion("", message={"content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": "7"}]}),
         Reply("7", "stop", "", 10, 5)),
        (completion("", message={"content": [{"type": "thinking", "text": "8"}]}), Reply("", "stop", "empty", 10, 5)),
    ],
)  # fmt: skip
def test_every_outcome_is_read_and_counted(chat_server: ChatServer, answer: Answer, expected: Reply):
    chat_server.answer = lambda body, number: answer
    reply, client = ask(chat_server)
    assert reply == expected
    assert client.tally.outcomes == {expected.remark or expected.finish_reason: 1}
    assert len(chat_server.bodies) == 1, "an odd answer is an answer: it is paid for, and not asked for again"


GOOD = completion("7").content


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(b""), "an empty body"),
        (Answer(b"<html>hello</html>", headers={"Content-Type": "text/html"}), "no JSON: <html>hello"),
        (Answer(b"[" * 100_000), "no JSON"),
        (Answer(b"\xff\x00\x1b[31m"), r"no JSON: \ufffd\x00\x1b[31m".replace(r"\ufffd", "\ufffd")),
        (Answer(b"[1]"), "list, not an object"),
        (Answer(b"{}"), "without choices"),
        (Answer(b'{"choices": []}'), "without choices"),
        (Answer(b'{"choices": [{"text": "7"}]}'), "without a message"),
        (Answer(b'{"choices": [{"message": {"content": {"a": 1}}}]}'), "content is no text"),
        (Answer(b'{"choices": [{"message": {"content": ["7"]}}]}'), "content is no text"),
        (Answer(b'{"choices": [{"message": {"content": [{"type": "text"}]}}]}'), "content is no text"),
        (Answer(b'{"error": {"message": "overloaded"}}'), "with an error: overloaded"),
        (completion("half", finish_reason="abort"), "finish_reason 'abort'"),
        (completion("half", finish_reason="error"), "finish_reason 'error'"),
        (Answer(b'{"choices": [{"message": {"content": "7"}, "error": {"message": "died"}}]}'), "an error: died"),
        (Answer(GOOD, headers={"Content-Encoding": "gzip"}), "compressed its answer"),
    ],
)
def test_nonsense_is_tried_again_a_few_times(chat_server: ChatServer, answer: Answer, says: str):
    chat_server.answer = lambda body, number: answer
    with pytest.raises(EngineError) as error:
        ask(chat_server)
    assert says in str(error.value)
    assert len(str(error.value)) < 500
    assert len(chat_server.bodies) == 3
    chat_server.answer = lambda body, number: answer if number == 3 else completion("7")
    assert ask(chat_server)[0].text == "7"


def test_good_json_of_the_wrong_type_is_good(chat_server: ChatServer):
    chat_server.answer = lambda body, number: Answer(GOOD, headers={"Content-Type": "text/plain"})
    assert ask(chat_server)[0].text == "7"


def test_a_body_without_end_is_not_read_to_its_end(chat_server: ChatServer):
    chat_server.answer = lambda body, number: completion("x" * (MAX_BODY_BYTES + 1))
    with pytest.raises(EngineError, match="more than 8,388,608 bytes"):
        ask(chat_server)
    assert len(chat_server.bodies) == 1, "it may have been paid for"


# ---- trying again ----


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 529])
def test_busy_and_failing_servers_are_tried_again(chat_server: ChatServer, status: int):
    chat_server.answer = lambda body, number: failure(status) if number < 3 else completion("7")
    reply, client = ask(chat_server)
    assert reply.text == "7"
    assert client.tally.num_retries == 3
    assert client.tally.causes == {str(status): 3}


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (Answer(closes=True), "broken off"),
        (Answer(GOOD, cut_at=20), "broken off"),
        (Answer(GOOD, seconds=2.5), "timeout"),
    ],
)
def test_broken_connections_and_silence_are_tried_again(chat_server: ChatServer, answer: Answer, cause: str):
    chat_server.answer = lambda body, number: answer if number < 2 else completion("7")
    reply, client = ask(chat_server, timeout_seconds=1.0 if cause == "timeout" else 60.0)
    assert reply.text == "7"
    assert client.tally.causes == {cause: 2}


def test_a_server_that_is_not_there(chat_server: ChatServer):
    began = time.monotonic()
    with pytest.raises(EndpointError, match="is the server running, and the base URL right"):
        ask(chat_server, base_url="http://127.0.0.1:9/v1")
    assert time.monotonic() - began < 5


def test_a_machine_that_takes_no_call_is_no_slow_answer(chat_server: ChatServer):
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for waiting in (first, second):  # the queue is full: further calls are not taken
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        with pytest.raises(EndpointError, match="nobody took the call"):
            ask(chat_server, base_url=url, timeout_seconds=0.4, max_retries=1)


def test_gives_up_after_the_last_retry_and_names_the_cause(chat_server: ChatServer):
    chat_server.answer = lambda body, number: failure(503, "down\x1b[2J for maintenance " + "x" * 5000)
    with pytest.raises(EngineError, match=r"503: down\\x1b\[2J for maintenance") as error:
        ask(chat_server, max_retries=2)
    assert len(chat_server.bodies) == 3
    assert len(str(error.value)) < 400


def test_waits_as_long_as_it_is_asked_to_and_so_do_the_others(chat_server: ChatServer):
    chat_server.answer = lambda body, number: failure(429, **{"Retry-After": "0.4"}) if number == 0 else completion("7")

    async def work(client: EndpointClient) -> None:
        first = asyncio.ensure_future(one(client, 0))
        while not client.tally.num_retries:
            await asyncio.sleep(0.001)
        await asyncio.gather(first, one(client, 1))

    ask(chat_server, work)
    assert [later - chat_server.times[0] > 0.35 for later in chat_server.times] == [False, True, True]


def test_does_not_wait_for_ever(chat_server: ChatServer):
    chat_server.answer = lambda body, number: failure(429, "daily limit", **{"Retry-After": "40000"})
    with pytest.raises(EndpointError, match="daily limit; it asks to wait 40000 seconds"):
        ask(chat_server)
    assert len(chat_server.bodies) == 1


def test_heeds_a_limit_that_is_used_up(chat_server: ChatServer):
    def answer(body: dict[str, Any], number: int) -> Answer:
        good = completion("7")
        good.headers |= {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "400ms"}
        return good

    chat_server.answer = answer

    async def work(client: EndpointClient) -> None:
        await one(client, 0)
        await one(client, 1)

    ask(chat_server, work)
    assert chat_server.times[1] - chat_server.times[0] > 0.35


def test_keeps_to_its_own_rates(chat_server: ChatServer):
    began = time.monotonic()
    ask(chat_server, lambda client: outcomes(client, 5), requests_per_minute=1200)
    assert all(at - began > 0.049 * before for before, at in enumerate(sorted(chat_server.times)))
    began = time.monotonic()
    # 15 tokens each at 6,000 a minute: 0.15 seconds each, once the first has been reckoned with.
    ask(chat_server, lambda client: outcomes(client, 4), tokens_per_minute=6000)
    assert max(chat_server.times) - began > 0.4


def test_never_more_in_flight_than_allowed(chat_server: ChatServer):
    three = threading.Barrier(3, timeout=60)

    def answer(body: dict[str, Any], number: int) -> Answer:
        if number < 3:
            three.wait()
        return completion("7", seconds=0.02)

    chat_server.answer = answer
    ask(chat_server, lambda client: outcomes(client, 20), max_concurrent=3)
    assert chat_server.most_at_once == 3


# ---- refusals ----


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 422, 301])
def test_a_refusal_of_the_first_request_stops_everything(chat_server: ChatServer, status: int):
    chat_server.answer = lambda body, number: failure(status, "no such model", Location="http://elsewhere/")
    with pytest.raises(EndpointError, match=str(status)):
        ask(chat_server)
    assert len(chat_server.bodies) == 1, "what a person must mend is not tried again"


def test_a_refusal_after_answers_is_about_that_request(chat_server: ChatServer):
    chat_server.answer = lambda body, number: failure(400, "flagged") if number == 1 else completion("7")

    async def work(client: EndpointClient) -> list[Any]:
        return [*await asyncio.gather(one(client, 0), return_exceptions=True), *await outcomes(client, 2)]

    found, client = ask(chat_server, work)
    assert [type(each) for each in found] == [Reply, Reply, UnansweredError]
    assert client.tally.num_failed == 1


def test_a_key_that_is_taken_back_stops_everything(chat_server: ChatServer):
    chat_server.answer = lambda body, number: failure(401, "revoked") if number else completion("7")

    async def work(client: EndpointClient) -> None:
        await one(client, 0)
        await one(client, 1)

    with pytest.raises(EndpointError, match="401: revoked; check the key"):
        ask(chat_server, work)


def test_an_empty_account_is_not_waited_for(chat_server: ChatServer):
    chat_server.answer = lambda body, number: failure(429, "You exceeded your quota", code="insufficient_quota")
    with pytest.raises(EndpointError, match="add money"):
        ask(chat_server)
    assert len(chat_server.bodies) == 1


@pytest.mark.parametrize(
    "answer",
    [
        failure(400, "This model's maximum context length is 10 tokens."),
        failure(400, "too long", code="context_length_exceeded"),
    ],
)
def test_a_prompt_beyond_the_context(chat_server: ChatServer, answer: Answer):
    chat_server.answer = lambda body, number: answer
    with pytest.raises(ContextLengthError):
        ask(chat_server)


def test_failures_in_a_row_stop_everything(chat_server: ChatServer):
    chat_server.answer = lambda body, number: completion("7") if number in (0, 3) else failure(500)

    async def work(client: EndpointClient) -> list[Any]:
        return [(await asyncio.gather(one(client, seed), return_exceptions=True))[0] for seed in range(7)]

    found, _ = ask(chat_server, work, max_retries=0, max_failures=3)
    kinds = [Reply, UnansweredError, UnansweredError, Reply, UnansweredError, UnansweredError, EndpointError]
    assert [type(each) for each in found] == kinds, "an answer in between begins the count anew"


def test_refusals_of_single_requests_stop_nothing(chat_server: ChatServer):
    chat_server.answer = lambda body, number: completion("7") if number == 0 else failure(400, "flagged")

    async def work(client: EndpointClient) -> list[Any]:
        await one(client, 99)
        return await outcomes(client, 5)

    found, _ = ask(chat_server, work, max_failures=3)
    assert {type(each) for each in found} == {UnansweredError}


# ---- paid once ----


def test_a_kept_reply_is_not_asked_for_again(chat_server: ChatServer, tmp_path: Path):
    chat_server.answer = lambda body, number: completion(f"answer {number} \ud800")
    first, _ = ask(chat_server, lambda client: outcomes(client, 3), tmp_path / "replies.sqlite")
    again, client = ask(chat_server, lambda client: outcomes(client, 4), tmp_path / "replies.sqlite")
    assert again[:3] == first
    assert len(chat_server.bodies) == 4
    assert client.tally.num_from_file == 3


@pytest.mark.parametrize(
    "options", [{"model": "other"}, {"body": {"a": 1}}, {"token_limit_field": "max_completion_tokens"}]
)
def test_another_request_is_asked_for(chat_server: ChatServer, tmp_path: Path, options: dict[str, Any]):
    ask(chat_server, path=tmp_path / "replies.sqlite")
    ask(chat_server, path=tmp_path / "replies.sqlite", **options)
    assert len(chat_server.bodies) == 2


def test_the_same_request_twice_at_once_is_sent_once(chat_server: ChatServer):
    async def work(client: EndpointClient) -> list[Reply]:
        return await asyncio.gather(one(client, 0), one(client, 0))

    ask(chat_server, work)
    assert len(chat_server.bodies) == 1


def test_a_cancelled_caller_leaves_a_reply_that_is_kept(chat_server: ChatServer, tmp_path: Path):
    cancelled = threading.Event()

    def answer(body: dict[str, Any], number: int) -> Answer:
        cancelled.wait(60)
        return completion("7")

    chat_server.answer = answer

    async def work(client: EndpointClient) -> None:
        waiting = [asyncio.ensure_future(one(client, seed)) for seed in range(5)]
        while len(chat_server.bodies) < 2:
            await asyncio.sleep(0.01)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        cancelled.set()

    ask(chat_server, work, tmp_path / "replies.sqlite", max_concurrent=2)
    assert len(chat_server.bodies) == 2, "those that were not sent are not sent any more"
    assert len(Replies(tmp_path / "replies.sqlite")) == 2


def test_a_client_is_closed_after_its_event_loop_too(chat_server: ChatServer):
    """As at the end of a program that has asked in an event loop of its own."""
    settings = endpoint(chat_server)
    client = EndpointClient(settings, Replies(None), tally=Tally(settings))
    assert asyncio.run(one(client)).text == "7"
    asyncio.run(client.close())


# ---- what it costs ----


def test_cost_worked_by_hand(chat_server: ChatServer):
    # 3 x (10 x 2 + 5 x 8) / 1e6, and 100 x 2 + 50 x 8 from before.
    _, client = ask(
        chat_server, lambda client: outcomes(client, 3), before=(100, 50), input_price=2.0, output_price=8.0
    )
    assert client.tally.cost == pytest.approx((3 * 60 + 600) / 1e6)


def test_an_unreported_cost_is_a_lower_bound(chat_server: ChatServer):
    chat_server.answer = lambda body, number: completion("7", usage=None)
    _, client = ask(chat_server, input_price=2.0, output_price=8.0)
    assert client.tally.cost_text == "at least 0.0000"
    assert client.tally.num_without_usage == 1


def test_stops_before_the_limit_is_exceeded(chat_server: ChatServer):
    chat_server.answer = lambda body, number: completion(
        "7", seconds=0.01, usage={"prompt_tokens": 22, "completion_tokens": 20}
    )
    # A prompt of 6 bytes and 16 for its form, and 20 tokens: at most 22 + 20 = 42 a request, and exactly that is used.
    prices = {"input_price": 1e6, "output_price": 1e6}
    found, client = ask(chat_server, lambda client: outcomes(client, 9), max_cost=42 * 5 + 41, **prices)
    assert [type(each) for each in found].count(Reply) == 5
    assert {type(each) for each in found} == {Reply, EndpointError}
    assert client.tally.cost == 42 * 5
    with pytest.raises(EndpointError, match="stopped at a cost of 210"):
        ask(chat_server, before=(210, 0), max_cost=251, **prices)


def test_replies_without_usage_count_as_dear_as_they_may_have_been(chat_server: ChatServer):
    chat_server.answer = lambda body, number: completion("7", usage=None)
    found, _ = ask(chat_server, lambda client: outcomes(client, 9), max_cost=42 * 3, input_price=1e6, output_price=1e6)
    assert [type(each) for each in found].count(Reply) == 3


@pytest.mark.parametrize(
    "broken",
    [
        Answer(b"nonsense"),
        Answer(closes=True),
        Answer(GOOD, cut_at=20),
        Answer(GOOD, seconds=3.0),
        completion("half", finish_reason="abort"),
    ],
)
def test_tries_that_may_have_been_paid_for_count_as_dear_as_they_may_have_been(
    chat_server: ChatServer, tmp_path: Path, broken: Answer
):
    chat_server.answer = lambda body, number: broken
    options = {"input_price": 1e6, "output_price": 1e6, "timeout_seconds": 1.0 if broken.seconds else 60.0}
    with pytest.raises(EndpointError, match="stopped at a cost of 84"):
        ask(chat_server, path=tmp_path / "r", max_cost=42 * 2 + 41, **options)
    assert len(chat_server.bodies) == 2, "a third try, at 42, could cost too much"


def test_an_error_in_the_servers_own_words_costs_nothing(chat_server: ChatServer):
    chat_server.answer = lambda body, number: failure(500) if number < 3 else completion("7")
    reply, client = ask(chat_server, max_cost=42, input_price=1e6, output_price=1e6)
    assert (reply.text, client.tally.cost_text) == ("7", "15.0000")
