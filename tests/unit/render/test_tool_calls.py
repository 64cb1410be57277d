"""Tool calls in what models say: every form, every fault, and JSON that is no call."""

from __future__ import annotations

import json
import random
import time

import pytest

from assay.render.call_json import MAX_CALL_CHARACTERS, MAX_NESTING
from assay.render.tool_calls import CALL_FORMS, MAX_CALLS, read_calls, write_call
from assay.types import Tool

TOOLS = (Tool("add", "Adds."), Tool("now", "Tells the time."))
ADD = '{"name": "add", "arguments": {"a": 1, "b": [2]}}'
ARGUMENTS = {"a": 1, "b": [2]}


def functions(text: str, **options: object) -> list[object]:
    """The functions that a text calls, which has nothing wrong with it."""
    read = read_calls(text, TOOLS, **options)  # pyright: ignore[reportArgumentType]
    assert read.errors == ()
    return [call["function"] for call in read.calls]


CALL = {"name": "add", "arguments": ARGUMENTS}
XML = "<function=add>\n<parameter=a>\n1\n</parameter>\n</function>"
NOW = {"name": "now", "arguments": {}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"<tool_call>\n{ADD}\n</tool_call>", [CALL]),
        (f"<tool_call>{ADD}</tool_call>", [CALL]),
        (f"I add.\n<tool_call>{ADD}</tool_call>\n<tool_call>\n{ADD}\n</tool_call>", [CALL, CALL]),
        (f'<tool_call>[{ADD}, {{"name": "now"}}]</tool_call>', [CALL, NOW]),
        (f"So <tool_call>{ADD}</tool_call>", [CALL]),
        (ADD, [CALL]),
        (f" \n{ADD}\n", [CALL]),
        (ADD.replace("arguments", "parameters"), [CALL]),
        (f'{ADD}; {{"name": "now", "parameters": {{}}}}', [CALL, NOW]),
        (f"[{ADD}, {ADD}]", [CALL, CALL]),
        (f"<|python_tag|>{ADD}", [CALL]),
        (f"[TOOL_CALLS] [{ADD}]", [CALL]),
        (f'{{"type": "function", "function": {ADD}}}', [CALL]),
        ('{"name": "now"}', [NOW]),
        (f"```json\n{ADD}\n```", [CALL]),
        (f"```\n{ADD}\n```", [CALL]),
        (f"Let me see.\n```tool_call\n{ADD}\n```\nThat was it.", [CALL]),
        (f"~~~~json\n{ADD}\n~~~~", [CALL]),
        (f"<think>\nA draft: <tool_call>{ADD}</tool_call>\n</think>\n\n<tool_call>{ADD}</tool_call>", [CALL]),
        ('<tool_call>{"name": "now", "arguments": "{}"}</tool_call>', [NOW]),
        ('<tool_call>{"name": "now", "arguments": ""}</tool_call>', [NOW]),
        ("<tool_call>\n<function=now>\n</function>\n</tool_call>", [NOW]),
        ("So <tool_call><function=now></function></tool_call> then", [NOW]),
        ("<tool_call><function=now></function><function=now></function></tool_call>", [NOW, NOW]),
        (f"<tool_call><function=now></function></tool_call>\n<tool_call>{ADD}</tool_call>", [NOW, CALL]),
    ],
)  # fmt: skip
def test_calls_are_read_in_the_forms_that_models_use(text: str, expected: list[object]) -> None:
    assert functions(text) == expected


def test_the_text_beside_the_calls_is_the_content() -> None:
    read = read_calls(f"  First.\n\n<tool_call>{ADD}</tool_call>\nThen.\n<tool_call>{ADD}</tool_call>\n", TOOLS)
    assert read.content == "  First.\nThen."
    assert read_calls(ADD, TOOLS).content == ""
    assert read_calls(f"<think>x</think>\n{ADD}", TOOLS).content == "<think>x</think>"


def test_each_call_has_an_id_of_its_own_and_the_same_text_the_same_ones() -> None:
    text = f"[{ADD}, {ADD}]"
    ids = [call["id"] for call in read_calls(text, TOOLS).calls]
    assert len(set(ids)) == 2
    assert all(len(i) == 9 and i.isalnum() for i in ids)
    assert [call["id"] for call in read_calls(text, TOOLS).calls] == ids
    assert read_calls(f"{text} ", TOOLS).calls[0]["id"] != ids[0]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (f"<tool_call>{ADD}", "not closed: after its JSON comes nothing, not </tool_call>"),
        (f"<tool_call>{ADD} and so on", "not closed: after its JSON comes 'and so on'"),
        ('<tool_call>{"name": "add", "arguments": {"a": 1', "not closed: its JSON does not end"),
        ('<tool_call>{"name": "add", "arguments": {"a": 1}</tool_call>', "expecting ',' delimiter at character 37"),
        ("<tool_call>{'name': 'add'}</tool_call>", "not JSON: expecting property name .* at character 1, "),
        ("<tool_call>add(1, 2)</tool_call>", r"no JSON object but 'add\(1, 2\)'"),
        ("<tool_call></tool_call>", "no JSON object but nothing"),
        ("<tool_call>", "no JSON object but nothing"),
        ('<tool_call>["add"]</tool_call>', "no JSON object but '\"add\"'"),
        ('<tool_call>{"arguments": {}}</tool_call>', 'has no "name"'),
        ('<tool_call>{"name": 3}</tool_call>', 'has no "name"'),
        ('<tool_call>{"name": "mul"}</tool_call>', "there is no tool 'mul'; there are add, now"),
        ('<tool_call>{"name": "add", "arguments": [1]}</tool_call>', r"the arguments of add are no object but '\[1\]'"),
        ('<tool_call>{"name": "add", "arguments": "a=1"}</tool_call>', "the arguments of add cannot be read: .*'a=1'"),
        ('<tool_call>{"name": "add", "arguments": "{} {}"}</tool_call>', "text follows the arguments of add"),
        ('{"name": "mul", "arguments": {}}', "there is no tool 'mul'"),
        ('{"name": "add", "arguments": {"a" 1}}', "expecting ':' delimiter at character 34"),
        (f"{ADD} is the call.", "text follows a tool call where only calls may stand: 'is the call.'"),
        ("<|python_tag|>print(1)", r"after <\|python_tag\|> comes no JSON object but 'print\(1\)'"),
        (f"```json\n{ADD}", "its block of code has no closing ```"),
        ("```tool_call\nadd\n```", "no JSON object but 'add'"),
        ("```tool_call\n```", "block of tool calls is empty"),
        (f"<think>\n<tool_call>{ADD}</tool_call>", "stands in reasoning that is not ended"),
        ("<think>\n<tool_call>\n<function=now>", "stands in reasoning that is not ended"),
        ("<tool_call>\n<function=mul>\n</function>\n</tool_call>", "there is no tool 'mul'; there are add, now"),
        ("<tool_call>\n<function=now>\n</function>", "not closed: after </function> comes nothing, not </tool_call>"),
        ("<tool_call>\n<function=now>\n1\n</function>\n</tool_call>", "now goes on with '1 </function> </tool_call>'"),
        (
            "<tool_call>\n<function=now\n</function>\n</tool_call>",
            "begins with <function=NAME>, not with '<function=now",
        ),
        (
            f"<tool_call>{XML.replace('</parameter>', '')}</tool_call>",
            "parameter 'a' of add is not closed by </parameter>",
        ),
        (
            f"<tool_call>{XML.replace('</function>', '')}</tool_call>",
            "'a' of add is followed by '</tool_call>', not by",
        ),
        (f"<tool_call>{XML.replace('a>', '>')}</tool_call>", "a call of add goes on with '<parameter=>"),
        (f"{XML}\n</tool_call>", "not opened: <tool_call> stands before <function=add>"),
        (f"I add.\n<tool_call>\n{XML}\n<function=now>", "begins with|goes on with|is not closed|not closed"),
        (f"<tool_call>{XML.replace('1', chr(0xD800))}</tool_call>", "half of a surrogate pair"),
        ('<tool_call>{"name": "add", "arguments": {"a": NaN}}</tool_call>', "NaN is no number"),
        ('<tool_call>{"name": "add", "arguments": {"a": 1e999}}</tool_call>', "the number 1e999 is too large"),
        ('<tool_call>{"name": "add", "arguments": {"a": "\\ud800"}}</tool_call>', "half of a surrogate pair"),
        ('<tool_call>{"name": "add", "arguments": {"a": "b\nc"}}</tool_call>', "invalid control character"),
    ],
)
def test_a_call_that_cannot_be_read_says_what_is_wrong_and_stays_text(text: str, error: str) -> None:
    read = read_calls(text, TOOLS)
    assert read.calls == ()
    assert read.content == text
    assert len(read.errors) == 1
    with pytest.raises(ValueError, match=error):
        raise ValueError(read.errors[0])


def test_calls_beside_one_that_cannot_be_read_are_read() -> None:
    read = read_calls(f"<tool_call>{{</tool_call><tool_call>{ADD}</tool_call>", TOOLS)
    assert len(read.calls) == len(read.errors) == 1
    assert read.content == "<tool_call>{</tool_call>"


@pytest.mark.parametrize(
    "text",
    [
        f"I would call {ADD} now.",
        f"The call is:\n{ADD}\nas you see.",
        f"Write it within <tool_call> tags, as in `<tool_call>{ADD}</tool_call>`.",
        f"```python\n<tool_call>{ADD}</tool_call>\n```",
        f'```python\nprint({ADD})\n```',
        '{"name": "Ann", "age": 3}',
        '{"name": "Ann"}',
        '{"answer": {"name": "add", "arguments": {}}}',
        '{"name": "add", "arguments": {}, "mood": "good"}',
        '[1, 2, {"name": "add", "arguments": {}}]',
        '```json\n{"result": 3}\n```',
        f"```text\n{ADD}\n```",
        "{x for x in y}",
        "[1, 2, 3]",
        "4",
        "",
    ],
)  # fmt: skip
def test_json_that_is_no_call_is_text(text: str) -> None:
    read = read_calls(text, TOOLS)
    assert (read.content, read.calls, read.errors) == (text, (), ())


def test_only_the_chosen_forms_are_read() -> None:
    texts = {"tagged": f"<tool_call>{ADD}</tool_call>", "fenced": f"```json\n{ADD}\n```", "json": ADD}
    for form in CALL_FORMS:
        for other, text in texts.items():
            assert bool(read_calls(text, TOOLS, (form,)).calls) == (form == other)


def test_length_nesting_and_number_are_bounded() -> None:
    deep = "[" * MAX_NESTING + "]" * MAX_NESTING
    named = f'<tool_call>{{"name": {deep}}}</tool_call>'
    assert "nested deeper" in read_calls(named, TOOLS).errors[0]
    assert "nested deeper" in read_calls("<tool_call>" + "[" * 10**6, TOOLS).errors[0]
    long = json.dumps({"name": "add", "arguments": {"a": "x" * MAX_CALL_CHARACTERS}})
    assert "longer than" in read_calls(f"<tool_call>{long}</tool_call>", TOOLS).errors[0]
    digits = f'{{"name": "add", "arguments": {{"a": {"9" * 5000}}}}}'
    assert "too large" in read_calls(f"<tool_call>{digits}</tool_call>", TOOLS).errors[0]
    read = read_calls(write_call("now", {}) * (MAX_CALLS + 3), TOOLS)
    assert len(read.calls) == MAX_CALLS
    assert "3 further calls were not read" in read.errors[0]
    assert len(read_calls("<tool_call>{</tool_call>" * 1000, TOOLS).errors) == MAX_CALLS
    (error,) = read_calls(f'<tool_call>{{"name": "{"x" * 9999}"}}</tool_call>', TOOLS).errors
    assert len(error) < 300


@pytest.mark.parametrize(
    "piece", ["<tool_call>", "x <tool_call>", '"', "\\", '\\"', "```\n", "{", '{"a":', "[{", " ", "\n", "{}"]
)
def test_no_text_takes_long(piece: str) -> None:
    text = piece * 10**5
    start = time.process_time()
    for head in ("", "<tool_call>", "<tool_call>{", '{"name": "', "```json\n{"):
        read_calls(head + text, TOOLS)
    assert time.process_time() - start < 5.0, "quadratic in the length of what the model says"


def test_what_is_written_is_read_whatever_the_arguments() -> None:
    generator = random.Random(0)
    texts = ['"', "\\", "</tool_call>", "<tool_call>", "```", "\n", "é", "\u2028", "}", "{", "x" * 50, "\ud7ff", "\x00"]

    def value(depth: int) -> object:
        kind = generator.randrange(6 if depth < 4 else 4)
        if kind == 0:
            return generator.choice([True, False, None, 0, -(10**20), 1.5, 1e-300])
        if kind < 4:
            return "".join(generator.choices(texts, k=generator.randrange(5)))
        if kind == 4:
            return [value(depth + 1) for _ in range(generator.randrange(4))]
        return {f"k{i}": value(depth + 1) for i in range(generator.randrange(4))}

    for _ in range(300):
        calls = [("add", {f"p{i}": value(0) for i in range(generator.randrange(4))}) for _ in range(3)]
        text = "\n".join(["before", *(write_call(*call) for call in calls), "after"])
        read = read_calls(text, TOOLS)
        assert read.errors == ()
        assert read.content == "before\nafter"
        assert [(call["function"]["name"], call["function"]["arguments"]) for call in read.calls] == calls
        bare = ";".join(json.dumps({"name": name, "parameters": arguments}) for name, arguments in calls)
        assert functions(bare) == [call["function"] for call in read.calls]


def test_no_text_is_lost_or_fatal_whatever_a_model_says() -> None:
    generator = random.Random(1)
    pieces = ["<tool_call>", "</tool_call>", "```json\n", "```", "\n", ADD, '{"name": "add"', *'{}[]"\\;,']
    pieces += ["<think>", "</think>", " a ", "<|python_tag|>"]
    for _ in range(3000):
        text = "".join(generator.choices(pieces, k=generator.randrange(12)))
        read = read_calls(text, TOOLS)
        assert len(read.calls) <= MAX_CALLS
        assert len(read.errors) <= MAX_CALLS + 1
        if not read.calls:
            assert read.content == text
