from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.chat_server import ChatServer, completion

from assay.endpoints import Endpoint, Replies, Reply
from assay.endpoints.chat import InvalidReplyError, parse_reply, request_body
from assay.endpoints.client import EndpointClient
from assay.endpoints.finish import read_finish_reason
from assay.engines import Sampling
from assay.environments.episode import SingleTurn
from assay.rollout.runner import run_rollout
from assay.types import EndingKind, Message, Task

WORDS = {
    "stop": [
        "stop", "STOP", "Stop", "FINISH_REASON_STOP", "FinishReason.STOP", "REASON_STOP", "eos", "eos_token",
        "eosFound", "end_turn", "END_TURN", "stop_sequence", "STOP_SEQUENCE", "COMPLETE", "tool_calls",
        "tool-calls", "TOOL_CALL", "tool_use", "function_call", "MALFORMED_FUNCTION_CALL", "refusal",
        "endoftext", "stopStringFound", " stop ",
    ],
    "length": [
        "length", "LENGTH", "MAX_TOKENS", "max_tokens", "maxTokens", "FinishReason.MAX_TOKENS",
        "FINISH_REASON_MAX_TOKENS", "REASON_MAX_LEN", "REASON_MAX_CONTEXT", "model_length",
        "model_context_window_exceeded", "ERROR_LIMIT", "token_limit", "maxPredictedTokensReached",
        "contextLengthReached", "max_output_tokens", "repetition",
    ],
    "filter": [
        "content_filter", "content-filter", "CONTENT_FILTER", "contentFilter", "SAFETY", "RECITATION",
        "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "LANGUAGE", "sensitive",
        "guardrail_intervened", "ERROR_TOXIC", "content_filtered",
    ],
    "broken": [
        "abort", "aborted", "cancelled", "canceled", "error", "ERROR", "network_error", "engine_overloaded",
        "overloaded", "insufficient_system_resource", "timeout", "TIMEOUT", "time_limit", "USER_CANCEL",
        "internal_server_error", "service_unavailable", "rate_limited", "userStopped",
    ],
    "unknown": [
        "OTHER", "FINISH_REASON_UNSPECIFIED", "load", "pause_turn", "done?", "x" * 5000, "sto", "нет",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("meaning", "word"), [(meaning, word) for meaning, words in WORDS.items() for word in words])
def test_finish_reasons_of_many_servers(meaning: str, word: str) -> None:
    assert read_finish_reason(word) == meaning


@pytest.mark.parametrize("word", [None, "", "null", "NULL", " "])
def test_a_server_that_does_not_say(word: str | None) -> None:
    assert read_finish_reason(word) is None


@pytest.mark.parametrize("word", [3, True, ["stop"], {"reason": "stop"}])
def test_what_is_no_text_is_not_known(word: Any) -> None:
    assert read_finish_reason(word) == "unknown"
    assert parse(word).finish_reason == "unknown"


def parse(reason: Any, text: str | None = "half") -> Reply:
    return parse_reply(completion(text, finish_reason=reason).content, 20)


def test_what_a_reply_is_by_its_finish_reason() -> None:
    assert parse("END_TURN") == Reply("half", "stop", "", 10, 5)
    assert parse("MAX_TOKENS") == Reply("half", "length", "", 10, 5)
    assert parse("SAFETY") == Reply("half", "length", "content_filter", 10, 5)
    assert parse("TOOL_CALLS", "") == Reply("", "stop", "tool_calls", 10, 5)
    assert parse("refusal") == Reply("half", "stop", "refusal", 10, 5)
    assert parse("RETIRED") == Reply("half", "unknown", "RETIRED", 10, 5)
    assert parse("\x1b[31m" + "x" * 900).remark.isprintable()
    assert len(parse("x" * 900).remark) <= 300
    for word in WORDS["broken"]:
        with pytest.raises(InvalidReplyError, match=f"finish_reason '{word}'"):
            parse(word)


def test_an_answer_that_ended_for_an_unknown_reason_is_not_measured_and_paid_for_once(
    chat_server: ChatServer,
) -> None:
    chat_server.answer = lambda body, number: completion("7", finish_reason="RETIRED")
    task = Task("d", (Message("user", "2 + 5?"),), "7")
    replies = Replies(None)

    def ending(**options: Any) -> Any:
        async def play() -> Any:
            client = EndpointClient(Endpoint(model="m", base_url=chat_server.url, **options), replies)
            try:
                return await run_rollout(
                    task, SingleTurn, client, None, Sampling(max_new_tokens=20), run_seed=0, group_id=0, member=0
                )
            finally:
                await client.close()

        return asyncio.run(play()).ending

    unknown = ending()
    assert unknown.kind is EndingKind.BROKEN
    assert "'RETIRED' is not known" in unknown.reason
    assert "finish_reasons" in unknown.reason
    assert ending(finish_reasons={"RETIRED": "stop"}).kind is EndingKind.FINISHED
    assert ending(finish_reasons={"RETIRED": "length"}).kind is EndingKind.TRUNCATED
    assert len(chat_server.bodies) == 1


def test_tool_calls_are_sent_as_servers_take_them() -> None:
    call = {"type": "function", "id": "c1", "function": {"name": "add", "arguments": {"a": 1, "t": "\ud800"}}}
    asked = (
        Message("user", "?"),
        Message("assistant", "", (call,)),
        Message("tool", "3", tool_call_id="c1", name="add"),
    )
    sent = request_body(Endpoint(model="m"), asked, Sampling(), 0)["messages"]
    assert sent[1]["tool_calls"][0]["function"] == {"name": "add", "arguments": json.dumps({"a": 1, "t": "\ufffd"})}
    assert sent[2] == {"role": "tool", "content": "3", "tool_call_id": "c1", "name": "add"}
    assert call["function"]["arguments"] == {"a": 1, "t": "\ud800"}, "the message itself stays as it was"
