"""Tools at an endpoint: described in the request, called in the reply, and everything that a reply may get wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from assay.endpoints import Endpoint, Replies
from assay.endpoints.chat import most_tokens, request_body
from assay.endpoints.client import EndpointClient
from assay.endpoints.responder import Reply
from assay.endpoints.tools import calls_of, message_of
from assay.engines.engine import Sampling
from assay.environments import EpisodeStep, ToolEpisode
from assay.errors import ConfigError
from assay.rollout.limits import EpisodeLimits
from assay.rollout.runner import run_rollout
from assay.types import EndingKind, Message, Rollout, Task, Tool
from chat_server import ChatServer, completion

ADD = Tool("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
TASK = Task("test", (Message("user", "1 + 2?"),), "3")


class Adding(ToolEpisode):
    """Adds one, and ends at an answer without a call."""

    def __init__(self, task: Task) -> None:
        self.called: list[Mapping[str, Any]] = []

    @property
    def tools(self) -> tuple[Tool, ...]:
        return (ADD,)

    async def start(self) -> tuple[Message, ...]:
        return TASK.prompt

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        return str(arguments["a"] + 1)

    async def answer(self, message: Message) -> EpisodeStep:
        return EpisodeStep(done=True)


def call(arguments: object, name: object = "add", call_id: object = "c1") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def play(server: ChatServer, *messages: dict[str, Any], replies: Path | None = None) -> Rollout:
    """An episode in which the server says these messages one after the other."""

    def answer(body: dict[str, Any], number: int) -> Any:
        said = sum(message["role"] == "assistant" for message in body["messages"])
        message = messages[said]
        return completion(None, message=message, finish_reason="tool_calls" if message.get("tool_calls") else "stop")

    server.answer = answer

    async def go() -> Rollout:
        client = EndpointClient(Endpoint(model="m", base_url=server.url), Replies(replies))
        try:
            sampling, limits = Sampling(max_new_tokens=20), EpisodeLimits(max_turns=4)
            return await run_rollout(
                TASK, Adding, client, None, sampling, run_seed=0, group_id=0, member=0, limits=limits
            )
        finally:
            await client.close()

    return asyncio.run(go())


def test_tools_are_sent_calls_are_carried_out_and_results_sent_back(chat_server: ChatServer) -> None:
    first = {"content": "I add.", "tool_calls": [call('{"a": 1}'), call('{"a": 2}', call_id="c2")]}
    rollout = play(chat_server, first, {"content": "3"})
    assert (rollout.ending.kind, rollout.ending.reason) == (EndingKind.FINISHED, "")
    assert [turn.message.call_errors for turn in rollout.turns] == [(), ()]
    bodies = chat_server.bodies
    assert all(body["tools"] == [ADD.to_dict()] for body in bodies)
    sent = bodies[-1]["messages"]
    assert sent[1] == {"role": "assistant", "content": "I add.", "tool_calls": first["tool_calls"]}
    results = [("c1", "2"), ("c2", "3")]
    assert [(message["tool_call_id"], message["content"]) for message in sent[2:]] == results


def test_replies_with_calls_are_kept_and_not_asked_again(chat_server: ChatServer, tmp_path: Path) -> None:
    messages = [{"content": None, "tool_calls": [call('{"a": 1}')]}, {"content": "3"}]
    once, again = (play(chat_server, *messages, replies=tmp_path / "replies.sqlite") for _ in range(2))
    assert once == again
    assert len(once.turns) == len(chat_server.bodies) == 2


def test_a_call_that_cannot_be_read_is_an_observation(chat_server: ChatServer) -> None:
    rollout = play(chat_server, {"content": None, "tool_calls": [call('{"a": 1')]}, {"content": "sorry"})
    (error,) = rollout.turns[0].message.call_errors
    assert error == "the arguments of add cannot be read: a tool call is not closed: its JSON does not end"
    said, observed = chat_server.bodies[-1]["messages"][1:]
    assert said == {"role": "assistant", "content": '<tool_call>\n{"name": "add", "arguments": {"a": 1}\n</tool_call>'}
    assert observed == {"role": "user", "content": f"Error: {error}"}, "no server takes a result that names no call"


@pytest.mark.parametrize(
    ("calls", "error"),
    [
        ([call("[1]")], "the arguments of add are no object"),
        ([call('{"a": 1} x')], "text follows the arguments of add"),
        ([call("{}", "mul")], "there is no tool 'mul'; there are add"),
        ([call("{}", "")], 'a tool call has no "name"'),
        ([call("{}", 3)], 'a tool call has no "name"'),
        (["add"], 'a tool call has no "name"'),
        ([{"function": "add"}], 'a tool call has no "name"'),
        ([call('{"a": ' + "[" * 10**5)], "nested deeper"),
        ([call('{"a": "' + "x" * 10**6 + '"}')], "longer than"),
        ([call('{"a": 1}')] * 20, "may call 16 tools"),
    ],
)
def test_what_is_wrong_with_a_call_is_said(calls: list[Any], error: str) -> None:
    reply = Reply("", tool_calls=calls_of({"tool_calls": calls}))
    assert len(json.dumps(vars(reply))) < 300_000, "bounded, whatever the server sends"
    message = message_of(reply, [ADD])
    assert error in message.call_errors[-1]
    assert len(message.calls) == (16 if len(calls) == 20 else 0)


def test_servers_that_name_no_call_or_give_an_object_are_understood() -> None:
    reply = Reply("", tool_calls=calls_of({"tool_calls": [call({"a": 1}, call_id=None), call("", call_id=None)]}))
    message = message_of(reply, [ADD])
    assert [dict(each.arguments) for each in message.calls] == [{"a": 1}, {}]
    assert len({each.id for each in message.calls} - {""}) == 2


def test_calls_in_the_text_of_a_server_that_reads_none_are_read() -> None:
    text = 'So:\n<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'
    message = message_of(Reply(text), [ADD])
    assert (message.content, [each.name for each in message.calls]) == ("So:", ["add"])
    assert message_of(Reply(text), []) == Message("assistant", text)
    assert message_of(Reply("", remark="tool_calls"), [ADD]).call_errors == ("the server could not read the tool call",)


def test_the_description_of_tools_counts_as_prompt_and_cannot_be_overridden() -> None:
    endpoint = Endpoint(model="m")
    plain, told = (request_body(endpoint, TASK.prompt, Sampling(), 0, tools) for tools in ((), (ADD,)))
    assert most_tokens(told)[0] - most_tokens(plain)[0] == len(json.dumps(told["tools"]))
    assert "tools" not in plain
    with pytest.raises((ConfigError, ValueError), match="tools is not a further field"):
        Endpoint(model="m", body={"tools": []})
