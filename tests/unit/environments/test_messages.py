from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from assay.environments.rows import Rows
from assay.environments.splits import prompt_key
from assay.errors import DataError
from assay.types import Message, Task

CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": "x"}}}
CHAT: list[dict[str, Any]] = [
    {"role": "user", "content": "1 + x?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "1x", "name": "add", "tool_call_id": "c1"},
]
READ = (
    Message("user", "1 + x?"),
    Message("assistant", "", (CALL,)),
    Message("tool", "1x", name="add", tool_call_id="c1"),
)


def only_task(domain: Rows) -> Task:
    (task,) = [task for tasks in domain.splits.values() for task in tasks]
    return task


def of_lines(path: Path, row: dict[str, Any], **options: Any) -> Rows:
    path.write_text(json.dumps(row) + "\n")
    return Rows(path=str(path), **options)


def test_a_chat_with_tool_calls_is_read_from_every_form(tmp_path: Path) -> None:
    lines = of_lines(tmp_path / "a.jsonl", {"messages": CHAT, "answer": "1x"}, prompt="{messages}")
    assert only_task(lines).prompt == READ
    # datasets 5 writes messages with different keys as a list of JSON texts.
    texts = pyarrow.ListArray.from_arrays([0, 3], pyarrow.array(list(map(json.dumps, CHAT)), pyarrow.json_()))
    parquet.write_table(pyarrow.table({"messages": texts, "answer": ["1x"]}), tmp_path / "a.parquet")
    assert only_task(Rows(path=str(tmp_path / "a.parquet"), prompt="{messages}")).prompt == READ
    # pyarrow makes one struct of them all and fills what is missing with null.
    parquet.write_table(pyarrow.Table.from_pylist([{"messages": CHAT, "answer": "1x"}]), tmp_path / "b.parquet")
    assert only_task(Rows(path=str(tmp_path / "b.parquet"), prompt="{messages}")).prompt == READ


def test_no_content_beside_tool_calls_is_empty(tmp_path: Path) -> None:
    chat = [CHAT[0], {"role": "assistant", "content": None, "tool_calls": [CALL]}, CHAT[2]]
    assert only_task(of_lines(tmp_path / "a.jsonl", {"prompt": chat, "answer": "1"})).prompt == READ
    chat[1] = {"role": "assistant", "tool_calls": [CALL]}
    assert only_task(of_lines(tmp_path / "b.jsonl", {"prompt": chat, "answer": "1"})).prompt == READ


def test_a_content_of_parts_is_their_text(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "What is "}, {"type": "text", "text": "1 + 1?", "image": None}, "!"]
    chat = [{"role": "user", "content": parts}]
    assert only_task(of_lines(tmp_path / "a.jsonl", {"prompt": chat, "answer": "2"})).prompt == (
        Message("user", "What is 1 + 1?!"),
    )
    answer = [{"role": "assistant", "content": [{"type": "text", "text": "2"}]}]
    row = {"prompt": chat, "answer": "2", "completion": answer}
    assert only_task(of_lines(tmp_path / "b.jsonl", row, demonstration="{completion}")).metadata["demonstration"] == "2"


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"role": "user", "content": [{"type": "image"}]}, "a part that is no text .type 'image'"),
        ({"role": "user", "content": [{"type": "text", "text": None}]}, "a part that is no text"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, "type 'image_url'"),
        ({"role": "user", "content": 7}, "not of messages with role and content"),
        ({"role": "user", "content": None}, "not of messages with role and content"),
        ({"role": "user", "content": "x", "tool_calls": [{"name": "f"}]}, "tool_calls that are no list of"),
        ({"role": "user", "content": "x", "tool_calls": "f()"}, "tool_calls that are no list of"),
        ({"role": "assistant", "content": "x"}, "must end with the user, or with what a tool answered"),
    ],
)
def test_what_is_no_message_is_named(tmp_path: Path, message: dict[str, Any], error: str) -> None:
    with pytest.raises(DataError, match=rf"line 1: .*{error}"):
        only_task(of_lines(tmp_path / "a.jsonl", {"prompt": [message], "answer": "1"}))


def test_tool_calls_are_part_of_what_a_task_is() -> None:
    other = {"type": "function", "function": {"name": "add", "arguments": {"a": 2}}}
    task, same, different = (
        Task("rows", (READ[0], Message("assistant", "", (call,)), READ[2]), "1") for call in (CALL, dict(CALL), other)
    )
    assert task.task_id == same.task_id
    assert task.task_id != different.task_id
    assert prompt_key(task) != prompt_key(different)
    assert Task.from_dict(json.loads(json.dumps(task.to_dict()))) == task
    plain = Task("rows", (Message("user", "q"),), "1")
    assert plain.to_dict()["prompt"] == [["user", "q"]]
    assert hash(READ[1]) == hash(Message("assistant", ""))
