"""Tool calls in the text that a model says: found, read, and where they cannot be read, said what is wrong.

Calls are read in these forms (`CallForm`):

- "tagged": `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, as Hermes and Qwen write it. The tag begins a
  call where it begins a line or a call follows it; elsewhere it is a word.
- "xml": `<tool_call><function=NAME><parameter=KEY>VALUE</parameter></function></tool_call>`, as Qwen3-Coder and
  Qwen 3.5 write it; values get their types from the tool's JSON Schema (`xml_calls`).
- "fenced": a fenced block of code that is marked `tool_call`, or one that is marked `json` or not at all and holds
  nothing but calls.
- "json": an answer that is nothing but calls: JSON objects, or a list of them, as Llama 3 writes it; `<|python_tag|>`
  or `[TOOL_CALLS]` may stand before.

The arguments may be called "parameters" in JSON. What is not marked as a call is one only where it is nothing else: an
object with a name and arguments, or with the name of a tool that was offered and nothing else. Other JSON is text, and
so is all JSON within prose, in blocks of code in other languages, and in the reasoning at the head of a message.

What a model says is hostile input: its length, its nesting and the number of its calls are bounded.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from assay.errors import ConfigError
from assay.render.call_json import BLANK, SHOWN, CallError, read_json, shown, skip
from assay.render.reasoning import strip_reasoning
from assay.render.xml_calls import FUNCTION, read_functions
from assay.types import Tool

CallForm = Literal["tagged", "fenced", "json", "xml"]
CALL_FORMS: tuple[CallForm, ...] = get_args(CallForm)
"""Every form in which calls are read."""
MAX_CALLS = 16
"""Calls of one message that are read, and errors that are kept."""
OPENING, CLOSING = "<tool_call>", "</tool_call>"
_MARKER = re.compile(r"\s*(<\|python_tag\|>|\[TOOL_CALLS\])?\s*")
_START = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,})(?P<info>[^\n`]*)$|<tool_call>|^[ \t]*<function=(?P<function>[^<>\n]{1,200})>",
    re.MULTILINE,
)
_LOOKS_LIKE_A_CALL = re.compile(r'\[?\s*\{\s*"(?:name|type|function|arguments|parameters)"\s*:')
_MARKED = ("tool_call", "tool_calls", "function_call")
_UNMARKED = ("", "json")
_MAX_LOOK_BACK = 200
"""Characters of a line before a tag that are looked at."""


@dataclass(frozen=True)
class ReadCalls:
    """The calls of a message, as they were read."""

    content: str
    """The text without the calls that were read; a call that could not be read stays in it."""
    calls: tuple[Mapping[str, Any], ...] = ()
    """The calls, in the form of `Message.tool_calls`."""
    errors: tuple[str, ...] = ()
    """The fault of each call that could not be read, in a sentence."""


@dataclass
class _Found:
    """The calls found until now."""

    tools: Mapping[str, Tool]
    calls: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    taken: list[tuple[int, int]] = field(default_factory=list)
    """The ranges of the text that are calls."""
    num_left_out: int = 0

    def add(self, values: Sequence[Any], begin: int, end: int) -> None:
        """Take in the JSON values of the text between two positions; it stays in the text if one is no call."""
        calls: list[tuple[str, Mapping[str, Any]]] = []
        try:
            calls += [_as_call(value, self.tools) for value in values]
        except CallError as error:
            self.fail(str(error))
            return
        room = MAX_CALLS - len(self.calls)
        self.calls += calls[:room]
        self.num_left_out += len(calls[room:])
        self.taken.append((begin, end))

    def fail(self, error: str) -> None:
        if len(self.errors) < MAX_CALLS:
            self.errors.append(error)


def read_calls(text: str, tools: Sequence[Tool], forms: Sequence[CallForm] = CALL_FORMS) -> ReadCalls:
    """Read the tool calls in what a model said.

    Args:
        tools: the tools that it was offered.
        forms: the forms that are read.

    Example:
        >>> read = read_calls('So: <tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>', [Tool("add", "")])
        >>> read.content, read.calls[0]["function"]
        ('So:', {'name': 'add', 'arguments': {'a': 1}})
        >>> read_calls('<tool_call>{"name": "add"', [Tool("add", "")]).errors
        ('a tool call is not closed: its JSON does not end',)
    """
    answer = strip_reasoning(text)
    start = len(text) - len(answer)
    found = _Found({tool.name: tool for tool in tools})
    if not answer:
        if _tags(forms) and re.search(rf"{OPENING}\s*(?:[{{\[]|{FUNCTION})", text):
            found.fail("a tool call stands in reasoning that is not ended; end the reasoning first")
    elif "json" not in forms or not _read_whole(answer, found):
        _read_marked(answer, found, forms)
    if found.num_left_out:
        found.fail(f"a message may call {MAX_CALLS} tools; {found.num_left_out} further calls were not read")
    return ReadCalls(
        _without(text, [(start + begin, start + end) for begin, end in found.taken]),
        tuple(_numbered(text, found.calls)),
        tuple(found.errors),
    )


def chosen_forms(names: Sequence[str]) -> tuple[CallForm, ...]:
    """Return the forms of these names, in the order of `CALL_FORMS`.

    Raises:
        ConfigError: there is no form of a name, or there are no names.
    """
    wrong = [name for name in names if name not in CALL_FORMS]
    if wrong or not names:
        given = f"{wrong[0]!r} is no form of tool calls" if wrong else "no form of tool calls is given"
        raise ConfigError(f"{given}; give one or more of {', '.join(CALL_FORMS)}")
    return tuple(form for form in CALL_FORMS if form in names)


def write_call(name: str, arguments: Mapping[str, Any]) -> str:
    """Return a call in the tagged form."""
    call = json.dumps({"name": name, "arguments": dict(arguments)}, ensure_ascii=False)
    return f"{OPENING}\n{call}\n{CLOSING}"


def read_arguments(name: str, arguments: Any, tools: Sequence[Tool]) -> Mapping[str, Any]:
    """Return the arguments of a call that a server has taken apart already.

    Args:
        arguments: JSON text, or the object itself.

    Raises:
        ValueError: there is no such tool, or they are no object; says what is wrong.
    """
    return _as_call({"name": name, "arguments": arguments}, {tool.name: tool for tool in tools})[1]


def _read_whole(answer: str, found: _Found) -> bool:
    """Read an answer that is nothing but calls; return whether it is, or tries to be."""
    marker = _MARKER.match(answer)
    assert marker is not None
    begin, marked = marker.end(), marker.group(1) is not None
    if answer[begin : begin + 1] not in ("{", "["):
        if marked:
            found.fail(f"after {marker.group(1)} comes no JSON object but {shown(answer[begin:])}")
        return marked
    values, error = _values(answer, begin)
    if not marked and not _are_calls(answer, begin, values, error, found.tools):
        return False
    if error:
        found.fail(error)
    else:
        found.add(list(_flat(values)), 0, len(answer))
    return True


def _values(text: str, begin: int) -> tuple[list[Any], str]:
    """Return the JSON objects and lists that a text is from a position on, and what is wrong with the rest."""
    values: list[Any] = []
    position = begin
    try:
        while position < len(text):
            if values and text[position] not in "{[":
                raise CallError(f"text follows a tool call where only calls may stand: {shown(text[position:])}")
            value, position = read_json(text, position)
            values.append(value)
            position = skip(text, position, f"{BLANK};,")
    except CallError as error:
        return values, str(error)
    return values, ""


def _are_calls(text: str, begin: int, values: Sequence[Any], error: str, tools: Mapping[str, Tool]) -> bool:
    """Return whether JSON that nothing marks as calls is meant so."""
    if values:
        return all(_has_shape(value, tools) for value in values)
    keys = ('"arguments"', '"parameters"')
    return bool(error) and _LOOKS_LIKE_A_CALL.match(text, begin) is not None and any(key in text for key in keys)


def _read_marked(answer: str, found: _Found, forms: Sequence[CallForm]) -> None:
    """Read the calls that are marked by tags or fences, among other text."""
    position = 0
    while len(found.errors) < MAX_CALLS and (match := _START.search(answer, position)):
        if match["fence"]:
            position = _read_fenced(answer, match, found, "fenced" in forms)
        elif match["function"]:
            if "xml" in forms and (name := match["function"].strip()) in found.tools:
                found.fail(f"a tool call is not opened: {OPENING} stands before {FUNCTION}{name}>")
            position = match.end()
        elif _tags(forms) and _begins_call(answer, match):
            position = _read_tagged(answer, match, found, forms)
        else:
            position = match.end()


def _tags(forms: Sequence[CallForm]) -> bool:
    return "tagged" in forms or "xml" in forms


def _begins_call(answer: str, tag: re.Match[str]) -> bool:
    """Return whether an opening tag begins a call, and is no word of a sentence."""
    before = answer[max(0, tag.start() - _MAX_LOOK_BACK) : tag.start()].rpartition("\n")[2]
    after = skip(answer, tag.end())
    follows = answer.startswith(("{", "[", FUNCTION), after)
    return not before.strip() or (follows and before[-1] not in "`'\"")


def _read_tagged(answer: str, tag: re.Match[str], found: _Found, forms: Sequence[CallForm]) -> int:
    """Read the calls that an opening tag begins; return where to go on."""
    begin = skip(answer, tag.end())
    closing = answer.find(CLOSING, begin)
    in_xml = "xml" in forms and (answer.startswith(FUNCTION, begin) or "tagged" not in forms)
    try:
        if in_xml:
            values, end = read_functions(answer, begin, found.tools)
        else:
            value, end = read_json(answer[:closing] if closing >= 0 and answer[begin] not in "{[" else answer, begin)
            values = list(_flat([value]))
    except CallError as error:
        found.fail(str(error))
        if closing < 0:  # what follows a call in XML that does not end is its value
            return len(answer) if in_xml else begin
        return closing + len(CLOSING)
    end = skip(answer, end)
    if not answer.startswith(CLOSING, end):
        after = "</function>" if in_xml else "its JSON"
        found.fail(f"a tool call is not closed: after {after} comes {shown(answer[end:])}, not {CLOSING}")
        return end
    end += len(CLOSING)
    found.add(values, tag.start(), end)
    return end


def _read_fenced(answer: str, fence: re.Match[str], found: _Found, wanted: bool) -> int:
    """Read the calls that a fenced block holds; return the end of the block."""
    run = fence["fence"]
    closing = re.compile(rf"^ {{0,3}}{run[0]}{{{len(run)},}}[ \t]*$", re.MULTILINE).search(answer, fence.end())
    body = answer[fence.end() : closing.start() if closing else None].strip()
    end = closing.end() if closing else len(answer)
    info = fence["info"].strip().lower()
    marked = info in _MARKED
    if not wanted or not (marked or (info in _UNMARKED and body[:1] in ("{", "["))):
        return end
    values, error = _values(body, 0) if body else ([], "a block of tool calls is empty")
    if not marked and not _are_calls(body, 0, values, error, found.tools):
        return end
    if closing is None:
        found.fail(error or f"a tool call is not closed: its block of code has no closing {run[:SHOWN]}")
    elif error:
        found.fail(error)
    else:
        found.add(list(_flat(values)), fence.start(), end)
    return end


def _flat(values: Sequence[Any]) -> Iterator[Any]:
    for value in values:
        yield from value if isinstance(value, list) else [value]


def _function(value: Any) -> Any:
    """Return what holds the name and the arguments: the object itself, or the one under "function"."""
    inner = value.get("function") if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else value


def _has_shape(value: Any, tools: Mapping[str, Tool]) -> bool:
    """Return whether JSON that nothing marks as a call is one: a name and arguments, or the name of a tool alone."""
    if isinstance(value, list):
        return bool(value) and all(not isinstance(each, list) and _has_shape(each, tools) for each in value)
    function = _function(value)
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return False
    if function.keys() - {"name", "arguments", "parameters", "id", "type"}:
        return False
    return "arguments" in function or "parameters" in function or function["name"] in tools


def _as_call(value: Any, tools: Mapping[str, Tool]) -> tuple[str, Mapping[str, Any]]:
    """Return the name and the arguments of a call.

    Raises:
        CallError: it has none, or names no tool that was offered.
    """
    function = _function(value)
    if not isinstance(function, dict):
        raise CallError(f"a tool call is no JSON object but {shown(json.dumps(value))}")
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise CallError('a tool call has no "name"')
    if name not in tools:
        offered = ", ".join(tools) or "none"
        raise CallError(f"there is no tool {shown(name)}; there are {offered[:1000]}")
    arguments = function.get("arguments", function.get("parameters", {}))
    if isinstance(arguments, str):
        arguments = _from_text(name, arguments.strip())
    if not isinstance(arguments, dict):
        raise CallError(f"the arguments of {name} are no object but {shown(json.dumps(arguments))}")
    return name, arguments


def _from_text(name: str, text: str) -> Any:
    """Return the arguments of a call that are given as the text of a JSON object; nothing means none."""
    if not text:
        return {}
    try:
        arguments, end = read_json(text, 0)
    except CallError as error:
        raise CallError(f"the arguments of {name} cannot be read: {error}") from None
    if text[end:]:
        raise CallError(f"text follows the arguments of {name}: {shown(text[end:])}")
    return arguments


def _numbered(text: str, calls: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[Mapping[str, Any]]:
    """The calls in the form of messages, each with an id of nine letters and digits, as some templates want it."""
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:7]
    for i, (name, arguments) in enumerate(calls):
        yield {"type": "function", "id": f"{digest}{i:02d}", "function": {"name": name, "arguments": arguments}}


def _without(text: str, ranges: Sequence[tuple[int, int]]) -> str:
    """The text without some ranges, and without the blank space around them."""
    if not ranges:
        return text
    pieces: list[str] = []
    start = 0
    for begin, end in [*ranges, (len(text), len(text))]:
        pieces.append(text[start:begin])
        start = end
    return "\n".join(filter(None, [pieces[0].rstrip(), *(piece.strip() for piece in pieces[1:])]))
