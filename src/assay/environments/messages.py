"""Chat messages of a data file (text, parts of text, tool calls), and the tools that it offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.environments.values import parse_json
from assay.errors import DataError
from assay.types import Message, Tool


def read_message(data: Mapping[str, Any], where: str) -> Message:
    """The message that an object with role and content is, in the form of chat completions.

    A content made of parts is the text of its parts. Nothing, or no content at all, is the empty text beside tool
    calls. Arguments of a call that are the text of a JSON object, as servers write them, are that object. Fields that
    are neither role, content, name nor about tool calls are left out.

    Args:
        where: begins the error's message.

    Raises:
        DataError: no text, a part that is none, or a tool call without a function's name.
    """
    calls = data.get("tool_calls") or ()
    if not isinstance(calls, list | tuple) or not all(map(_is_call, calls)):
        raise DataError(
            f'{where} has tool_calls that are no list of {{"type": "function", "function": {{"name", "arguments"}}}}'
        )
    return Message(
        data["role"],
        _text(data.get("content"), where, may_lack=bool(calls)),
        tuple(map(_call, calls)),
        str(data.get("tool_call_id") or ""),
        str(data.get("name") or ""),
    )


def read_tools(value: Any, where: str) -> tuple[Tool, ...]:
    """The tools that a value of a data file describes: a list of {name, description, parameters}, each alone or as the
    "function" of {"type": "function", "function": ...}; the list and its members may be JSON texts. Nothing is no
    tools.

    Args:
        where: begins the error's message.

    Raises:
        DataError: it is no such list, or two tools have one name.
    """
    described = _decoded(value)
    if described is None:
        return ()
    if not isinstance(described, list | tuple):
        raise DataError(f"{where} is no list of tools; {_TOOLS_REMEDY}")
    tools = tuple(_tool(_decoded(each), where) for each in described)
    names = [tool.name for tool in tools]
    if len(set(names)) < len(names):
        raise DataError(f"{where} describes two tools of one name: {', '.join(names):.200}; correct the row")
    return tools


_TOOLS_REMEDY = (
    'give each as {"type": "function", "function": {"name", "description", "parameters"}}, or with tools = "" leave '
    "the column out"
)


def _tool(data: Any, where: str) -> Tool:
    function = data.get("function", data) if isinstance(data, Mapping) else None
    match function:
        case {"name": str() as name} if name:
            description, parameters = function.get("description"), _filled(_decoded(function.get("parameters")))
            if isinstance(description, str | None) and isinstance(parameters, Mapping | None):
                return Tool(name, description or "", **({"parameters": parameters} if parameters else {}))
    raise DataError(f"{where} holds {data!r:.100}, which describes no tool; {_TOOLS_REMEDY}")


def _filled(value: Any) -> Any:
    """A copy without the nulls that tables fill up objects with whose keys differ from row to row."""
    if isinstance(value, Mapping):
        return {key: _filled(each) for key, each in value.items() if each is not None}
    return (
        [_filled(each) if isinstance(each, Mapping) else each for each in value] if isinstance(value, list) else value
    )


def _decoded(value: Any) -> Any:
    """The value of a JSON text; other values, and other texts, as they are."""
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value) if value.strip() else None
    except (ValueError, RecursionError):
        return value


def _call(call: Mapping[str, Any]) -> Mapping[str, Any]:
    given = {key: value for key, value in call.items() if value is not None}
    arguments = _decoded(call["function"].get("arguments"))
    return {**given, "function": {**call["function"], "arguments": arguments}} if isinstance(arguments, dict) else given


def _is_call(call: Any) -> bool:
    function = call.get("function") if isinstance(call, Mapping) else None
    return isinstance(function, Mapping) and isinstance(function.get("name"), str)


def _text(content: Any, where: str, *, may_lack: bool) -> str:
    if isinstance(content, str):
        return content
    if content is None and may_lack:
        return ""
    if not isinstance(content, list):
        raise DataError(f"{where} is a list, but not of messages with role and content")
    texts: list[str] = []
    for part in content:
        text = part.get("text") if isinstance(part, Mapping) else part
        kind = part.get("type", "text") if isinstance(part, Mapping) else "text"
        if kind != "text" or not isinstance(text, str):
            raise DataError(
                f"{where} has a message with a part that is no text (type {kind!r}); models here read text alone: "
                "leave such rows out"
            )
        texts.append(text)
    return "".join(texts)
