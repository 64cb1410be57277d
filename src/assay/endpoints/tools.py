"""Tool calls in a server's replies: hostile input, read into a message with the same bounds and errors as a model's own
text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from assay.endpoints.responder import Reply
from assay.render.call_json import MAX_CALL_CHARACTERS
from assay.render.tool_calls import CLOSING, MAX_CALLS, OPENING, read_arguments, read_calls
from assay.types import Message, Tool

_MAX_NAME = 256
"""Characters of a call's name and id that are kept."""


def calls_of(message: Mapping[str, Any]) -> tuple[dict[str, str], ...]:
    """Return the tool calls of a server's message as (id, name, arguments) in text, bounded; what is none is an empty
    text."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return ()
    found: list[dict[str, str]] = []
    for call in calls[: MAX_CALLS + 1]:
        entry = call if isinstance(call, dict) else {}
        function = entry.get("function")
        function = function if isinstance(function, dict) else {}
        found.append(
            {
                "id": _text(entry.get("id"), _MAX_NAME),
                "name": _text(function.get("name"), _MAX_NAME),
                "arguments": _text(function.get("arguments"), MAX_CALL_CHARACTERS + 1),
            }
        )
    return tuple(found)


def _text(value: Any, most: int) -> str:
    """A text of at most so many characters; some servers give arguments as an object."""
    if isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False)
    return value[:most] if isinstance(value, str) else ""


def message_of(reply: Reply, tools: Sequence[Tool]) -> Message:
    """Return a reply as the assistant's message, its tool calls read where tools were offered.

    A server that takes calls apart gives them as data. Else they are looked for in the text, as in a model's own. A
    call that cannot be read is text, and what is wrong with it is in `call_errors`.
    """
    if not tools:
        return Message("assistant", reply.text)
    if not reply.tool_calls:
        read = read_calls(reply.text, tools)
        errors = read.errors
        if reply.remark == "tool_calls" and not read.calls and not errors:
            errors = ("the server could not read the tool call",)
        return Message("assistant", read.content, read.calls, call_errors=errors)
    content, calls, errors = [reply.text], [], []
    for i, call in enumerate(reply.tool_calls[:MAX_CALLS]):
        name, arguments = call.get("name", ""), call.get("arguments", "")
        try:
            read_as = read_arguments(name, arguments, tools)
        except ValueError as error:
            errors.append(str(error))
            content.append(f'{OPENING}\n{{"name": "{name}", "arguments": {arguments}}}\n{CLOSING}')
            continue
        call_id = call.get("id") or _made_id(reply, i)
        calls.append({"type": "function", "id": call_id, "function": {"name": name, "arguments": read_as}})
    if len(reply.tool_calls) > MAX_CALLS:
        errors.append(f"a message may call {MAX_CALLS} tools; further calls were not read")
    return Message("assistant", "\n".join(filter(None, content)), tuple(calls), call_errors=tuple(errors))


def _made_id(reply: Reply, position: int) -> str:
    text = repr((reply.text, reply.tool_calls)).encode("utf-8", "replace")
    return f"{hashlib.sha256(text).hexdigest()[:7]}{position:02d}"
