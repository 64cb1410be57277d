"""Tool calls in the XML form of Qwen3-Coder and Qwen 3.5: values are text, whose types the tool's JSON Schema gives.

    <tool_call>
    <function=NAME>
    <parameter=KEY>
    VALUE
    </parameter>
    </function>
    </tool_call>

Nothing is escaped in a value, and one line break at each end of it belongs to the form. A value ends at the first
`</parameter>` that the next parameter or the end of the function follows, so that a value may hold such tags too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from typing import Any

from assay.render.call_json import BLANK, MAX_CALL_CHARACTERS, CallError, read_json, read_number, shown, skip
from assay.types import Tool

FUNCTION = "<function="
_FUNCTION_END = "</function>"
_FUNCTION = re.compile(r"<function=([^<>\n]{1,200})>")
_PARAMETER = re.compile(r"<parameter=([^<>\n]{1,200})>")
_PARAMETER_OF_A_LINE = re.compile(rf"^[ \t]*{_PARAMETER.pattern}", re.MULTILINE)
_END = re.compile(r"</parameter>(?=\s*(?:<parameter=|</function>))")
_MAX_PARTS = 64
"""References and alternatives of a schema that are followed."""
_MAX_PARAMETERS = 256


def read_functions(text: str, begin: int, tools: Mapping[str, Tool]) -> tuple[list[dict[str, Any]], int]:
    """Return the calls that stand from a position on, one after the other, each with "name" and "arguments"; and where
    they end.

    Args:
        tools: by name; a call of another one is read too, its values as text.

    Raises:
        CallError: they cannot be read; says what is wrong with the first of which that is so.
    """
    limit = begin + MAX_CALL_CHARACTERS
    calls: list[dict[str, Any]] = []
    position = begin
    while not calls or text.startswith(FUNCTION, position):
        call, position = _function(text, position, limit, tools)
        calls.append(call)
        position = skip(text, position)
    return calls, position


def _function(text: str, begin: int, limit: int, tools: Mapping[str, Tool]) -> tuple[dict[str, Any], int]:
    opening = _FUNCTION.match(text, begin)
    if opening is None:
        raise CallError(f"a tool call begins with {FUNCTION}NAME>, not with {shown(text[begin:])}")
    name = opening[1].strip()
    schema = tools[name].parameters if name in tools else {}
    names = {each for part in _parts(schema, schema) for each in _mapping(part.get("properties"))}
    arguments: dict[str, Any] = {}
    position = skip(text, opening.end())
    while parameter := _PARAMETER.match(text, position):
        key = parameter[1].strip()
        if key in arguments or len(arguments) == _MAX_PARAMETERS:
            what = "is given twice" if key in arguments else f"is one more than the {_MAX_PARAMETERS} that are read"
            raise CallError(f"the parameter {shown(key)} of {name} {what}")
        end = _END.search(text, parameter.end(), limit)
        if end is None:
            raise _not_ended(text, parameter, name, limit)
        value = text[parameter.end() : end.start()]
        _check_value(value, key, name, names)
        arguments[key] = _typed(value, key, name, _types(_of_parameter(schema, key), schema))
        position = skip(text, end.end())
    if not text.startswith(_FUNCTION_END, position):
        raise CallError(
            f"a call of {name} goes on with {shown(text[position:])}, not with <parameter=KEY> or {_FUNCTION_END}"
        )
    return {"name": name, "arguments": arguments}, position + len(_FUNCTION_END)


def _not_ended(text: str, parameter: re.Match[str], name: str, limit: int) -> CallError:
    """Return the error of a value that ends nowhere."""
    what = f"the parameter {shown(parameter[1].strip())} of {name}"
    if len(text) > limit:
        return CallError(f"a tool call is longer than {MAX_CALL_CHARACTERS} characters, or {what} is not closed")
    closing = text.find("</parameter>", parameter.end())
    if closing < 0:
        return CallError(f"{what} is not closed by </parameter>")
    after = text[skip(text, closing + len("</parameter>")) :]
    return CallError(f"{what} is followed by {shown(after)}, not by <parameter=KEY> or {_FUNCTION_END}")


def _check_value(value: str, key: str, name: str, names: Set[str]) -> None:
    """Raise what is wrong with the text of a value, whatever its type."""
    for inner in _PARAMETER_OF_A_LINE.finditer(value):
        # A tag that opens another parameter of the tool at the head of a line: the one before was not closed.
        if inner[1].strip() != key and inner[1].strip() in names:
            raise CallError(f"the parameter {shown(key)} of {name} is not closed before {inner.group().strip()}")
    try:
        f"{key}{value}".encode()
    except UnicodeEncodeError:
        raise CallError(f"the parameter {shown(key)} of {name} has half of a surrogate pair") from None


def _typed(text: str, key: str, name: str, types: frozenset[str]) -> Any:
    """Return a value in the first of its types that it is in; where it is in none, the text, which the check of the
    arguments against the schema refuses with the reason.

    Words are read in JSON's spelling and in Python's, since templates write True and None.
    """
    value = text.strip(BLANK)
    word = value.lower()
    if "null" in types and word in ("null", "none"):
        return None
    if "boolean" in types and word in ("true", "false"):
        return word == "true"
    try:
        number = read_number(value) if types & {"integer", "number"} else None
        if number is not None and ("string" not in types or "number" in types or number == int(number)):
            return number
        if types & {"object", "array"} and value[:1] in ("{", "["):
            parsed, end = read_json(value, 0)
            if value[end:]:
                raise CallError(f"text follows its JSON: {shown(value[end:])}")
            if "string" not in types or ("object" if isinstance(parsed, dict) else "array") in types:
                return parsed
    except CallError as error:
        if "string" not in types:
            raise CallError(f"the parameter {shown(key)} of {name} cannot be read: {error}") from None
    return text.removeprefix("\n").removesuffix("\n") if "string" in types or not types else value


def _of_parameter(schema: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the schema of a parameter; empty where a tool's schema says nothing of it."""
    parts = list(_parts(schema, schema))
    for part in parts:
        if key in (properties := _mapping(part.get("properties"))):
            return _mapping(properties[key])
    return next((part["additionalProperties"] for part in parts if _mapping(part.get("additionalProperties"))), {})


def _types(schema: Mapping[str, Any], root: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the JSON types that a schema takes; none where it does not say."""
    found: set[str] = set()
    for part in _parts(schema, root):
        said = part.get("type")
        if isinstance(said, str | list):
            found.update([said] if isinstance(said, str) else map(str, said))
        elif "enum" in part or "const" in part:
            values = part.get("enum", [part.get("const")])
            found.update(map(_type_of, values if isinstance(values, list | tuple) else []))
        elif "properties" in part:
            found.add("object")
        elif "items" in part:
            found.add("array")
    return frozenset(found)


def _type_of(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    if isinstance(value, int | float):
        return "integer" if isinstance(value, int) else "number"
    return "string" if isinstance(value, str) else "object" if isinstance(value, Mapping) else "array"


def _parts(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A schema, and those that it refers to or is made of, within the same document."""
    waiting = [schema]
    for _ in range(_MAX_PARTS):
        if not waiting:
            return
        part = waiting.pop(0)
        yield part
        if isinstance(reference := part.get("$ref"), str):
            waiting.append(_mapping(_referred(reference, root)))
        for key in ("allOf", "anyOf", "oneOf"):
            if isinstance(each := part.get(key), list | tuple):
                waiting += map(_mapping, each)


def _referred(reference: str, root: Mapping[str, Any]) -> Any:
    """Return what a reference such as "#/$defs/point" names in the same document; None where it names nothing."""
    place: Any = root
    if not reference.startswith("#"):
        return None
    for step in filter(None, reference[1:].split("/")):
        place = _mapping(place).get(step.replace("~1", "/").replace("~0", "~"))
    return place


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
