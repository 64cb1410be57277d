"""Tool calls in XML: values get the types that the tool's schema gives them, whatever its form."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from assay.render.call_json import MAX_CALL_CHARACTERS
from assay.render.tool_calls import read_calls
from assay.types import Message, Tool
from chat_templates import renderer_for

QUESTION = Message("user", "?")


def call(values: Mapping[str, str], name: str = "set") -> str:
    """A call as Qwen's templates write it."""
    parameters = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in values.items())
    return f"<tool_call>\n<function={name}>\n{parameters}</function>\n</tool_call>"


def read(schema: Mapping[str, Any], text: str) -> Any:
    """The value of "x", by its own schema."""
    tool = Tool("set", "", {"type": "object", "properties": {"x": schema}, "$defs": DEFS})
    found = read_calls(call({"x": text}), [tool])
    assert found.errors == ()
    return found.calls[0]["function"]["arguments"]["x"]


DEFS: Mapping[str, Any] = {
    "point": {"type": "object"},
    "whole": {"$ref": "#/$defs/inner"},
    "inner": {"type": "integer"},
    "loop": {"$ref": "#/$defs/loop"},
    "two": {"anyOf": [{"$ref": "#/$defs/two"}, {"$ref": "#/$defs/two"}]},
}


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, "42", "42"),
        ({"type": "string"}, "null", "null"),
        ({"type": "string"}, "  a\n\n b ", "  a\n\n b "),
        ({"type": "string"}, "\nfirst\n", "\nfirst\n"),
        ({"type": "string"}, "", ""),
        ({"type": "string"}, '{"a": 1}', '{"a": 1}'),
        ({"type": "string"}, "x</parameter>\ny </function></tool_call>", "x</parameter>\ny </function></tool_call>"),
        ({"type": "string"}, "\n<parameter=other>\n", "\n<parameter=other>\n"),
        ({"type": "integer"}, " -42 ", -42),
        ({"type": "integer"}, "1e2", 100.0),
        ({"type": "number"}, "1.5", 1.5),
        ({"type": "number"}, "NaN", "NaN"),
        ({"type": "integer"}, "007", "007"),
        ({"type": "integer"}, "many", "many"),
        ({"type": "boolean"}, "True", True),
        ({"type": "boolean"}, "false", False),
        ({"type": "boolean"}, "yes", "yes"),
        ({"type": "array"}, '[1, "a"]', [1, "a"]),
        ({"type": "object"}, '{"a": [1]}', {"a": [1]}),
        ({"type": ["integer", "null"]}, "None", None),
        ({"type": ["string", "null"]}, "null", None),
        ({"type": ["string", "integer"]}, "42", 42),
        ({"type": ["string", "integer"]}, "03106", "03106"),
        ({"type": ["string", "integer"]}, "1.5", "1.5"),
        ({"type": ["string", "object"]}, "[1]", "[1]"),
        ({"type": ["string", "object"]}, "{so", "{so"),
        ({"anyOf": [{"type": "null"}, {"type": "number"}]}, "2", 2),
        ({"allOf": [{"type": "integer"}, {"minimum": 0}]}, "2", 2),
        ({"enum": [1, 2]}, "2", 2),
        ({"const": True}, "true", True),
        ({"items": {}}, "[]", []),
        ({"properties": {}}, "{}", {}),
        ({"$ref": "#/$defs/whole"}, "3", 3),
        ({"$ref": "#/$defs/point"}, "{}", {}),
        ({"$ref": "#/$defs/loop"}, "3", "3"),
        ({"$ref": "#/$defs/two"}, "3", "3"),
        ({"$ref": "https://example.org/x"}, "3", "3"),
        ({}, "3", "3"),
        ({"type": 7}, "3", "3"),
    ],
)  # fmt: skip
def test_a_value_has_the_type_that_the_schema_gives_it(schema: Mapping[str, Any], text: str, value: object) -> None:
    given = read(schema, text)
    assert (given, type(given)) == (value, type(value))


def test_values_of_parameters_that_no_schema_names() -> None:
    def arguments(parameters: Mapping[str, Any]) -> Any:
        found = read_calls(call({"x": "3"}), [Tool("set", "", parameters)])
        assert found.errors == ()
        return found.calls[0]["function"]["arguments"]

    assert arguments({}) == {"x": "3"}
    assert arguments({"properties": None, "additionalProperties": True}) == {"x": "3"}
    assert arguments({"additionalProperties": {"type": "integer"}}) == {"x": 3}
    assert arguments({"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"x": {"type": "integer"}}}}}) == {"x": 3}
    assert arguments({"anyOf": [{"properties": {"x": {"type": "integer"}}}]}) == {"x": 3}
    assert arguments({"properties": {"x": True}}) == {"x": "3"}


TWO = Tool("set", "", {"properties": {"x": {"type": "array"}, "y": {"type": "string"}}})


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (call({"x": "[1,"}), "parameter 'x' of set cannot be read: a tool call is not closed: its JSON does not end"),
        (call({"x": "[1] 2"}), "the parameter 'x' of set cannot be read: text follows its JSON: '2'"),
        (call({"x": "[" * 40}), "the parameter 'x' of set cannot be read: a tool call is nested deeper than 32 levels"),
        (call({"x": f"[{'9' * 500}]"}), "cannot be read: a tool call is not JSON: the number 99"),
        (call({"x": "[1]\n<parameter=y>\nb"}), "the parameter 'x' of set is not closed before <parameter=y>"),
        (call({"y": "1"}).replace("</function>", call({"y": "2"})[26:]), "the parameter 'y' of set is given twice"),
        (call({"y": "a" * MAX_CALL_CHARACTERS}), f"longer than {MAX_CALL_CHARACTERS} characters"),
        (call({str(i): "" for i in range(300)}), "'256' of set is one more than the 256 that are read"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_what_is_wrong(text: str, error: str) -> None:
    found = read_calls(text, [TWO])
    assert found.calls == ()
    assert len(found.errors) == 1
    assert error in found.errors[0]
    assert found.content == text


def test_time_is_linear_in_what_a_model_says() -> None:
    hostile = (
        f"<tool_call><function=set><parameter=y>{'</parameter>' * 9000}",
        f"<tool_call><function=set><parameter=y>{('</parameter>' + ' ' * 50) * 2000}",
        "<tool_call><function=set><parameter=y>" * 5000,
        f"<tool_call><function=set><parameter=y>{chr(10)}" + "<parameter=z>\n" * 9000 + "</parameter></function>",
        "\n<function=set>" * 9000,
        "<tool_call><function=set>" + "<parameter=y>1</parameter>" * 5000,
    )
    begin = time.process_time()
    for text in hostile:
        assert read_calls(text, [TWO]).errors
    assert time.process_time() - begin < 5


def test_only_the_forms_that_are_asked_for_are_read() -> None:
    xml, tagged = call({"y": "1"}), '<tool_call>{"name": "set", "arguments": {}}</tool_call>'
    assert read_calls(xml, [TWO], ["xml"]).calls
    assert not read_calls(xml, [TWO], ["tagged"]).calls
    assert "begins with <function=NAME>" in read_calls(tagged, [TWO], ["xml"]).errors[0]
    assert read_calls("\n<function=set>", [TWO], ["json", "fenced"]).errors == ()
    assert read_calls("\n<function=other>\nwrite <function=set>", [TWO]).errors == ()


def test_what_a_template_writes_is_read_as_it_was(tiny_model: Path) -> None:
    values = {
        "s": "null",
        "i": 3,
        "f": 0.5,
        "b": True,
        "n": None,
        "l": [1, {"a": "é\n"}],
        "o": {"k": None},
        "t": "\n a\n",
    }
    types = {"i": "integer", "f": "number", "b": "boolean", "n": "null", "l": "array", "o": "object"}
    schema = {"type": "object", "properties": {key: {"type": types.get(key, "string")} for key in values}}
    renderer = renderer_for(tiny_model, "xml_tools", tools="template")
    asked = {"type": "function", "id": "1", "function": {"name": "set", "arguments": values}}
    text = renderer.spell(Message("assistant", "So.", (asked,)), [Tool("set", "Sets.", schema)])
    assert "<parameter=b>\nTrue\n</parameter>\n<parameter=n>\nNone\n" in text, "the words of the template's language"
    said = renderer.parse(renderer.encode_answer(text), [Tool("set", "Sets.", schema)])
    assert said.content == "So."
    assert [dict(each.arguments) for each in said.calls] == [values]
