"""A chat message of a data file: text, parts of text, tool calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.errors import DataError
from assay.types import Message


def read_message(data: Mapping[str, Any], where: str) -> Message:
    """The message that an object with role and content is, in the form of chat completions.

    A content made of parts is the text of its parts. Nothing, or no content at all, is the empty text beside tool
    calls. Fields that are neither role, content, name nor about tool calls are left out.

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
        tuple({key: value for key, value in call.items() if value is not None} for call in calls),
        str(data.get("tool_call_id") or ""),
        str(data.get("name") or ""),
    )


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
