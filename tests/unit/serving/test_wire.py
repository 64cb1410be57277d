"""Requests as they come: what is read of them, and what is refused with what to send instead."""

from __future__ import annotations

import json
from typing import Any

import pytest

from assay.serving.wire import MAX_MESSAGES, MAX_TOOLS, RequestRefusedError, read_chat, read_completion
from assay.types import Message, Tool

HELLO = [{"role": "user", "content": "hello"}]


def chat(**fields: Any) -> bytes:
    return json.dumps({"model": "any", "messages": HELLO, **fields}).encode()


def test_messages_are_read_in_every_form_that_clients_send() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    ask = read_chat(
        chat(
            messages=[
                {"role": "developer", "content": "be brief"},
                {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
                {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None},
                {"role": "tool", "content": "3", "tool_call_id": "c1"},
            ]
        )
    )
    parsed = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}, "id": "c1"}
    assert ask.messages == (
        Message("system", "be brief"),
        Message("user", "one\ntwo"),
        Message("assistant", "", (parsed,)),
        Message("tool", "3", tool_call_id="c1"),
    )


def test_options_are_read_and_null_is_as_if_left_out() -> None:
    ask = read_chat(
        chat(max_completion_tokens=7, stop="\n", temperature=0, top_p=0.5, seed=3, n=None, logprobs=True, stream=True)
    )
    assert (ask.max_tokens, ask.stop, ask.temperature, ask.top_p, ask.seed) == (7, ("\n",), 0.0, 0.5, 3)
    assert ask.logprobs
    assert ask.stream
    described = {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}
    tools = [{"type": "function", "function": described}]
    assert read_chat(chat(tools=tools)).tools == (Tool("add", "", described["parameters"]),)
    assert read_chat(chat(tools=tools, tool_choice="none")).tools == ()


@pytest.mark.parametrize(
    ("body", "said", "param"),
    [
        (b"", "no JSON", None),
        (b"{", "no JSON", None),
        (b"[" * 100_000, "nested too deeply", None),
        (b"\xff\xfe", "no JSON", None),
        (b"[]", "no object", None),
        (chat(messages=[]), f"a list of 1 to {MAX_MESSAGES}", "messages"),
        (chat(messages=HELLO * (MAX_MESSAGES + 1)), f"a list of 1 to {MAX_MESSAGES}", "messages"),
        (chat(messages=["hello"]), "has the role null", "messages[0].role"),
        (chat(messages=[{"role": "critic", "content": "x"}]), 'has the role "critic"', "messages[0].role"),
        (chat(messages=[{"role": ["user"], "content": "x"}]), "has the role", "messages[0].role"),
        (chat(messages=[{"role": "user"}]), "content is missing", "messages[0].content"),
        (chat(messages=[{"role": "user", "content": {"a": 1}}]), "must be a text", "messages[0].content"),
        (
            chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc"}}]}]),
            "reads text alone",
            "messages[0].content[0]",
        ),
        (chat(messages=[{"role": "user", "content": "x", "tool_calls": [{}]}]), "assistant", "messages[0].tool_calls"),
        (
            chat(messages=[{"role": "assistant", "tool_calls": [{"function": {"name": "a", "arguments": "{"}}]}]),
            "is not the text of a JSON object",
            "messages[0].tool_calls[0]",
        ),
        (chat(n=2), "n=2 cannot be had here", "n"),
        (chat(temperature=float("nan")), "temperature must be a number", "temperature"),
        (chat(temperature=-1), "temperature must be a number", "temperature"),
        (chat(temperature=True), "temperature must be a number", "temperature"),
        (chat(max_tokens=0), "max_tokens must be a whole number from 1", "max_tokens"),
        (chat(max_tokens=1.5), "max_tokens must be a whole number", "max_tokens"),
        (chat(stop=[""]), "none of them empty", "stop"),
        (chat(stop=["x"] * 17), "at most 16", "stop"),
        (chat(stream="yes"), "stream must be true or false", "stream"),
        (chat(top_logprobs=5), "top_logprobs=5 cannot be had", "top_logprobs"),
        (chat(tool_choice="required"), "cannot be had here", "tool_choice"),
        (chat(response_format={"type": "json_object"}), "cannot be had here", "response_format"),
        (chat(presence_penalty=0.5), "cannot be had here", "presence_penalty"),
        (chat(min_p=0.1), "is not known here", "min_p"),
        (chat(tools=[{}]), "no function with a name", "tools[0]"),
        (chat(tools=[{"function": {"name": "a", "parameters": "x"}}]), "JSON Schema", "tools[0]"),
        (chat(tools=[{}] * (MAX_TOOLS + 1)), f"at most {MAX_TOOLS}", "tools"),
    ],
    ids=lambda value: "body" if isinstance(value, bytes) else value,
)
def test_what_cannot_be_answered_is_refused_with_its_place(body: bytes, said: str, param: str | None) -> None:
    with pytest.raises(RequestRefusedError) as refused:
        read_chat(body)
    error = refused.value.body["error"]
    assert said in error["message"]
    assert (error["param"] or "").startswith(param or "")
    assert error["type"] == "invalid_request_error"
    assert len(error["message"]) < 500


def test_a_prompt_is_text_or_token_ids() -> None:
    def read(prompt: Any, **fields: Any) -> Any:
        return read_completion(json.dumps({"prompt": prompt, **fields}).encode())

    assert read("once").prompt == read(["once"]).prompt == "once"
    assert read([1, 2]).prompt == read([[1, 2]]).prompt == (1, 2)
    assert not read("once").logprobs
    assert read("once", logprobs=0).logprobs
    for wrong in ("", [], ["a", "b"], [[1], [2]], [-1], [True], 7, None, {"a": 1}):
        with pytest.raises(RequestRefusedError, match="one text, or one list of token ids"):
            read(wrong)
    with pytest.raises(RequestRefusedError, match="echo=true cannot be had"):
        read("once", echo=True)
