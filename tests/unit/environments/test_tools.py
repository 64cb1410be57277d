"""ToolEpisode: what comes back of calls, right and wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from assay.environments import EpisodeStep, ToolEpisode, ToolFailure
from assay.environments.tools import MAX_CALLS_PER_TURN, schema_problem, shortened
from assay.errors import ToolBrokenError
from assay.types import Message, Tool

ADD = Tool(
    "add",
    "Adds whole numbers.",
    {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
)


class Adder(ToolEpisode):
    max_result_characters = 60
    call_timeout_seconds = 0.01
    tools = (ADD, Tool("wait", "Waits."), Tool("fail", "Fails."), Tool("long", "Says much."), Tool("die", "Dies."))

    async def start(self) -> tuple[Message, ...]:
        return (Message("user", "What is 1 + 2?"),)

    async def call(self, name: str, arguments: Any) -> str:
        if name == "wait":
            await asyncio.sleep(10)
        if name == "fail":
            raise ToolFailure("the file is not there")
        if name == "long":
            return "a" * 50 + "z" * 50
        if name == "die":
            raise ToolBrokenError("the disk is full")
        return str(arguments["a"] + arguments["b"])

    async def answer(self, message: Message) -> EpisodeStep:
        return EpisodeStep(done=True)


def call(name: str, arguments: Any = None, call_id: str = "") -> dict[str, Any]:
    return {"type": "function", "id": call_id, "function": {"name": name, "arguments": arguments or {}}}


def step(message: Message) -> EpisodeStep:
    async def go() -> EpisodeStep:
        episode = Adder()
        await episode.start()
        return await episode.step(message)

    return asyncio.run(go())


def test_each_call_of_a_turn_is_answered_in_order() -> None:
    calls = (call("add", {"a": 1, "b": 2}, "x"), call("add", {"a": 3, "b": 4}, "y"))
    assert step(Message("assistant", "", calls)).messages == (
        Message("tool", "3", tool_call_id="x", name="add"),
        Message("tool", "7", tool_call_id="y", name="add"),
    )


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (call("sub"), "there is no tool 'sub'; there are add, wait, fail, long, die"),
        (call("add", {"a": 1}), "add: arguments: 'b' is a required property"),
        (call("add", {"a": "1", "b": 2}), "add: a: '1' is not of type 'integer'"),
        (call("add", {"a": 1, "b": 2, "c": 3}), "'c' was unexpected"),
        (call("wait"), "wait took longer than 0.01 seconds"),
        (call("fail"), "the file is not there"),
    ],
)
def test_what_a_call_can_cause_is_an_observation(asked: dict[str, Any], told: str) -> None:
    taken = step(Message("assistant", "", (asked,)))
    assert not taken.done
    (message,) = taken.messages
    assert message.role == "tool"
    assert message.content.startswith("Error: ")
    assert told in message.content


def test_what_it_cannot_cause_is_raised() -> None:
    with pytest.raises(ToolBrokenError, match="disk is full"):
        step(Message("assistant", "", (call("die"),)))


def test_a_call_that_could_not_be_read_is_answered_beside_the_others() -> None:
    message = Message("assistant", "", (call("add", {"a": 1, "b": 1}),), call_errors=("the tag is not closed",))
    assert [each.content for each in step(message).messages] == ["2", "Error: the tag is not closed"]


def test_a_message_without_calls_is_the_answer() -> None:
    assert step(Message("assistant", "3")).done


def test_a_long_result_is_cut_in_the_middle_and_says_so() -> None:
    (message,) = step(Message("assistant", "", (call("long"),))).messages
    assert message.content == "a" * 40 + "\n[... 40 characters left out ...]\n" + "z" * 20
    assert shortened("x" * 60, 60) == "x" * 60


def test_more_calls_than_are_carried_out_say_so() -> None:
    calls = tuple(call("add", {"a": i, "b": 0}) for i in range(MAX_CALLS_PER_TURN + 1))
    *done, last = step(Message("assistant", "", calls)).messages
    assert [each.content for each in done] == [str(i) for i in range(MAX_CALLS_PER_TURN)]
    assert "only the first 16 calls" in last.content


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        ({"properties": {"a": {"$ref": "#/$defs/gone"}}}, {"a": 1}),
        ({"properties": {"a": {"$ref": "http://127.0.0.1:9/schema.json"}}}, {"a": 1}),
        ({"properties": {"a": {"$ref": "#/properties/a"}}}, {"a": 1}),
        ({"$ref": "#"}, {}),
        ({"type": "nonsense"}, {}),
        ({"properties": {"a": {"pattern": "("}}}, {"a": "("}),
    ],
)
def test_a_schema_that_cannot_be_used_is_the_tools_failure(schema: dict[str, Any], arguments: dict[str, Any]) -> None:
    with pytest.raises(ToolBrokenError, match="the schema of the tool odd cannot be used"):
        schema_problem(Tool("odd", "", schema), arguments)


@pytest.mark.parametrize(
    "schema",
    [{}, {"properties": {"a": {}}}, {"properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "integer"}}}],
)
def test_odd_schemas_that_can_be_used_are(schema: dict[str, Any]) -> None:
    assert schema_problem(Tool("odd", "", schema), {"a": 10**390}) == ""
