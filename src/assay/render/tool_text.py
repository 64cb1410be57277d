"""Tools in plain text, for models whose chat template has none: Hermes' form, as Qwen writes it.

The system message describes the tools, the assistant's messages spell their calls, and what tools answer is the user's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from assay.render.tool_calls import write_call
from assay.types import Message, Tool

_HEAD = """\
# Tools

You may call one or more functions. You are provided with function signatures within <tools></tools> XML tags:
<tools>
"""
_TAIL = """
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call>"""


def describe_tools(tools: Sequence[Tool]) -> str:
    """Return the text that tells a model which tools there are and how they are called."""
    lines = "\n".join(json.dumps(tool.to_dict(), ensure_ascii=False) for tool in tools)
    return f"{_HEAD}{lines}{_TAIL}"


def with_tools_as_text(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Message]:
    """Return a conversation in which tools, calls and their results are text.

    Results that follow each other are one message of the user's, and so is what the user says right after them: many
    templates want the roles to alternate.
    """
    shown: list[Message] = []
    after_result = False
    for message in _with_description(messages, tools) if tools else messages:
        is_result = message.role == "tool"
        said = _as_user(message) if is_result else _spelled(message)
        if after_result and said.role == "user":
            said = replace(said, content=f"{shown.pop().content}\n{said.content}")
        shown.append(said)
        after_result = is_result
    return shown


def spelled_calls(message: Message) -> str:
    """Return what an assistant's message says, its calls written out."""
    calls = [write_call(call.name, call.arguments) for call in message.calls]
    return "\n".join(filter(None, [message.content, *calls]))


def _as_user(result: Message) -> Message:
    return Message("user", f"<tool_response>\n{result.content}\n</tool_response>")


def _spelled(message: Message) -> Message:
    if not message.tool_calls:
        return message
    return replace(message, content=spelled_calls(message), tool_calls=())


def _with_description(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Message]:
    description = describe_tools(tools)
    if messages and messages[0].role == "system":
        return [replace(messages[0], content=f"{messages[0].content}\n\n{description}"), *messages[1:]]
    return [Message("system", description), *messages]
