"""The tools column of a chat file reaches the model, whatever the file's form."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet
from tests.chat_templates import renderer_for

from assay.environments import SingleTurn
from assay.environments.rows import Rows
from assay.environments.splits import prompt_key
from assay.errors import DataError
from assay.rollout import Demonstrations
from assay.types import Message, Rollout, Score, Task, Tool

SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "description": "its name"}}, "required": ["city"]}
WEATHER = Tool("weather", "Tells the weather of a city.", SCHEMA)
NOW = Tool("now", "Tells the time.")
CHAT = [{"role": "user", "content": "What is the weather in Paris?"}]
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Paris"}}}
TEXT = '{"name": "weather", "arguments": {"city": "Paris"}}'


def only_task(domain: Rows) -> Task:
    (task,) = [task for tasks in domain.splits.values() for task in tasks]
    return task


def of_lines(path: Path, row: dict[str, Any], **options: Any) -> Rows:
    path.write_text(json.dumps(row) + "\n")
    return Rows(path=str(path), **options)


def row(tools: Any) -> dict[str, Any]:
    return {"prompt": CHAT, "answer": TEXT, "tools": tools}


@pytest.mark.parametrize(
    "tools",
    [
        [WEATHER.to_dict(), NOW.to_dict()],
        [WEATHER.to_dict()["function"], {"name": "now", "description": "Tells the time."}],
        json.dumps([WEATHER.to_dict(), NOW.to_dict()]),
        [json.dumps(WEATHER.to_dict()), json.dumps(NOW.to_dict())],
        [{**WEATHER.to_dict(), "function": {**WEATHER.to_dict()["function"], "strict": True}}, NOW.to_dict()],
    ],
)
def test_the_tools_of_a_chat_are_those_of_its_row_in_every_form(tmp_path: Path, tools: Any) -> None:
    assert only_task(of_lines(tmp_path / "a.jsonl", row(tools))).tools == (WEATHER, NOW)


def test_a_table_fills_schemas_with_nulls_and_they_are_no_part_of_them(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.Table.from_pylist([row([WEATHER.to_dict(), NOW.to_dict()])]), tmp_path / "a.parquet")
    weather, now = only_task(Rows(path=str(tmp_path / "a.parquet"))).tools
    assert (weather, now.parameters) == (WEATHER, {"type": "object", "properties": {}})


def test_a_column_of_another_name_is_named_and_none_is_read_where_none_should_be(tmp_path: Path) -> None:
    data = {"prompt": "What is the weather?", "answer": "rain", "tools": ["hammer"], "functions": [NOW.to_dict()]}
    file = tmp_path / "a.jsonl"
    assert only_task(of_lines(file, data)).tools == (), "a prompt that is no conversation may have any column"
    assert only_task(of_lines(file, data, tools="functions")).tools == (NOW,)
    assert only_task(of_lines(file, row([NOW.to_dict()]), tools="")).tools == ()
    for nothing in (None, [], "", "[]", "null"):
        assert only_task(of_lines(file, row(nothing))).tools == ()
    with pytest.raises(DataError, match="no column 'function', which tools names; did you mean 'functions'"):
        only_task(of_lines(file, data, tools="function"))


@pytest.mark.parametrize(
    ("tools", "error"),
    [
        ("hammer", "is no list of tools; give each as"),
        ({"name": "now"}, "is no list of tools"),
        (["hammer"], "'hammer', which describes no tool; .* leave the column out"),
        ([{"type": "function"}], "describes no tool"),
        ([{"name": ""}], "describes no tool"),
        ([{"name": "now", "description": 7}], "describes no tool"),
        ([{"name": "now", "parameters": "none"}], "describes no tool"),
        ([NOW.to_dict(), NOW.to_dict()], "two tools of one name: now, now"),
    ],
)
def test_what_is_no_tool_is_named(tmp_path: Path, tools: Any, error: str) -> None:
    with pytest.raises(DataError, match=rf"line 1: tools .*{error}"):
        only_task(of_lines(tmp_path / "a.jsonl", row(tools)))


def test_tools_are_part_of_what_a_task_is() -> None:
    plain, with_now, with_both = (
        Task("rows", (Message("user", "q"),), "1", tools=tools) for tools in ((), (NOW,), (NOW, WEATHER))
    )
    assert len({task.task_id for task in (plain, with_now, with_both)}) == 3
    assert len(set(map(prompt_key, (plain, with_now, with_both)))) == 3
    assert Task.from_dict(json.loads(json.dumps(with_both.to_dict()))) == with_both
    assert "tools" not in plain.to_dict()


def test_arguments_that_are_json_text_are_an_object_in_every_template(tmp_path: Path, tiny_model: Path) -> None:
    called = {"type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
    chat = [*CHAT, {"role": "assistant", "tool_calls": [called]}, {"role": "tool", "content": "rain"}]
    task = only_task(of_lines(tmp_path / "a.jsonl", {**row([WEATHER.to_dict()]), "prompt": chat}))
    for template in ("smollm2", "native_tools"):
        renderer = renderer_for(tiny_model, template)
        assert TEXT in renderer.decode(renderer.render(task.prompt, task.tools)), template


@pytest.mark.parametrize("template", ["smollm2", "native_tools", "llama3_headers"])
def test_a_demonstration_that_calls_a_tool_is_spelled_as_the_model_says_it(
    tmp_path: Path, tiny_model: Path, template: str
) -> None:
    renderer = renderer_for(tiny_model, template)
    data = {**row([WEATHER.to_dict()]), "completion": [{"role": "assistant", "content": None, "tool_calls": [CALL]}]}
    domain = of_lines(tmp_path / "a.jsonl", data, demonstration="{completion}")
    seen: list[Rollout] = []

    async def score(rollout: Rollout, task: Task) -> Score:
        seen.append(rollout)
        return Score.solved()

    task = only_task(domain)
    collector = Demonstrations(
        renderer=renderer, score=score, next_task=lambda _: task, environment=domain, max_context=4000
    )
    asyncio.run(collector.next_groups(1))
    (turn,) = seen[0].turns
    assert turn.new_token_ids == renderer.render(task.prompt, task.tools)
    assert "Tells the weather of a city." in renderer.decode(turn.new_token_ids)
    said = renderer.parse(turn.completion.token_ids, task.tools)
    assert [(call.name, call.arguments) for call in said.calls] == [("weather", {"city": "Paris"})]


def test_nobody_carries_out_the_calls_of_a_single_turn(tiny_model: Path) -> None:
    episode = SingleTurn(Task("rows", (Message("user", "q"),), "1", tools=(NOW,)))
    assert (episode.tools, episode.reads_calls) == ((NOW,), False)
