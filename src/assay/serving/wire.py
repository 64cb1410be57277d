"""Chat completions and completions as a server reads them: the body of a request, hostile input, to an `Ask`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from assay.types import Message, Tool

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
"""Roles of messages on the wire, and what chat templates call them."""
MAX_MESSAGES, MAX_TOOLS, MAX_STOPS = 4096, 128, 16
"""Most messages, tools and stop strings of one request."""
MAX_SHOWN = 80
"""Characters of a wrong value that an error shows."""

_COMMON = frozenset(
    [
        "model",
        "stream",
        "stream_options",
        "n",
        "temperature",
        "top_p",
        "top_k",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "seed",
        "logprobs",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "user",
        "metadata",
        "store",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "return_token_ids",
    ]
)
_CHAT = _COMMON | frozenset(
    ["messages", "tools", "tool_choice", "parallel_tool_calls", "top_logprobs", "response_format", "modalities"]
)
_COMPLETION = _COMMON | frozenset(["prompt", "echo", "best_of", "suffix"])
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "top_logprobs": (0,),
    "tool_choice": ("auto", "none"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
}
"""Options that would change what is sampled, and the values of them under which nothing changes."""


class RequestRefusedError(Exception):
    """A request that is not answered. It becomes an error in OpenAI's form, and is counted.

    Args:
        message: what was wrong with which value, and what to send instead.
        status: of the HTTP response. Clients of OpenAI try 408, 409, 429 and 5xx again, and nothing else.
        code: a word for programs, such as "context_length_exceeded".
        param: the field of the request that is wrong.
    """

    def __init__(self, message: str, *, status: int = 400, code: str = "invalid_value", param: str | None = None):
        super().__init__(message)
        self.status, self.code, self.param = status, code, param

    @property
    def body(self) -> dict[str, Any]:
        """The JSON of the response."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


@dataclass(frozen=True)
class Ask:
    """A request that was read: what to answer, and what it asks of the sampling."""

    messages: tuple[Message, ...] = ()
    """The conversation of a chat completion; empty for a completion."""
    prompt: str | tuple[int, ...] | None = None
    """The prompt of a completion, as text or as token ids; None for a chat completion."""
    tools: tuple[Tool, ...] = ()
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    logprobs: bool = False
    """True where the log-probability of each sampled token is to be in the answer."""
    token_ids: bool = False
    """True where the ids of the prompt's and the sampled tokens are to be in the answer."""
    stream: bool = False
    include_usage: bool = False
    """True where a stream ends in a chunk that counts tokens."""
    model: str = ""
    """The name of the model that was asked for, which is answered as it is."""


def read_json(content: bytes) -> Mapping[str, Any]:
    """Return the JSON object in a request's body.

    Raises:
        RequestRefusedError: there is none.
    """
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        what = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:MAX_SHOWN]
        raise RequestRefusedError(f"the body is no JSON: {what}", code="invalid_json") from None
    if not isinstance(data, dict):
        raise RequestRefusedError(f"the body is JSON, but no object: {_shown(data)}", code="invalid_json")
    return data


def read_chat(content: bytes) -> Ask:
    """Return what a request for a chat completion asks.

    Raises:
        RequestRefusedError: no JSON object, a field that is wrong, or an option that cannot be had.
    """
    data = _given(read_json(content), _CHAT)
    given = data.get("messages")
    if not isinstance(given, list) or not 0 < len(given) <= MAX_MESSAGES:
        raise RequestRefusedError(f"messages must be a list of 1 to {MAX_MESSAGES} messages", param="messages")
    messages = tuple(_message(each, f"messages[{i}]") for i, each in enumerate(given))
    tools = () if data.get("tool_choice") == "none" else _tools(data.get("tools"))
    logprobs = data.get("logprobs", False)
    if not isinstance(logprobs, bool):
        raise RequestRefusedError(f"logprobs must be true or false, not {_shown(logprobs)}", param="logprobs")
    return replace(_common(data), messages=messages, tools=tools, logprobs=logprobs)


def read_completion(content: bytes) -> Ask:
    """Return what a request for a completion asks: of one prompt, text or token ids.

    Raises:
        RequestRefusedError: as for `read_chat`.
    """
    data = _given(read_json(content), _COMPLETION)
    prompt = data.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    if isinstance(prompt, list) and prompt and all(_is_int(token) and token >= 0 for token in prompt):
        prompt = tuple(prompt)
    if not isinstance(prompt, str | tuple) or not prompt:
        raise RequestRefusedError(
            "prompt must be one text, or one list of token ids, that is not empty", param="prompt"
        )
    logprobs = data.get("logprobs", False)
    if logprobs not in (False, True, 0, 1):
        raise RequestRefusedError(
            "logprobs may be 0 or 1: of other tokens than the sampled one none is kept", param="logprobs"
        )
    return replace(_common(data), prompt=prompt, logprobs="logprobs" in data and logprobs is not False)


def _given(data: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """The fields of a request, those that are null left out; every one of them is known and can be had."""
    given = {key: value for key, value in data.items() if value is not None}
    for key, value in given.items():
        if key not in known:
            raise RequestRefusedError(
                f"the option {key[:MAX_SHOWN]!r} is not known here, and would have no effect: leave it out",
                code="unknown_parameter",
                param=key[:MAX_SHOWN],
            )
        if key in _NEUTRAL and value not in _NEUTRAL[key]:
            raise RequestRefusedError(
                f"{key}={_shown(value)} cannot be had here: leave it out, or give "
                + " or ".join(map(json.dumps, _NEUTRAL[key])),
                code="unsupported_value",
                param=key,
            )
    return given


def _common(data: Mapping[str, Any]) -> Ask:
    for name in ("stream", "return_token_ids"):
        if not isinstance(data.get(name, False), bool):
            raise RequestRefusedError(f"{name} must be true or false, not {_shown(data[name])}", param=name)
    options = data.get("stream_options", {})
    if not isinstance(options, dict):
        raise RequestRefusedError(
            'stream_options must be an object, such as {"include_usage": true}', param="stream_options"
        )
    stop = data.get("stop", ())
    stop = (stop,) if isinstance(stop, str) else tuple(stop) if isinstance(stop, list) else stop
    if not (isinstance(stop, tuple) and len(stop) <= MAX_STOPS and all(isinstance(s, str) and s for s in stop)):
        raise RequestRefusedError(
            f"stop must be a text, or a list of at most {MAX_STOPS} texts, none of them empty", param="stop"
        )
    name = "max_completion_tokens" if "max_completion_tokens" in data else "max_tokens"
    model = data.get("model", "")
    return Ask(
        max_tokens=_integer(data, name, 1, 10**9),
        stop=stop,
        temperature=_number(data, "temperature", 0.0, 10.0),
        top_p=_number(data, "top_p", 1e-9, 1.0),
        top_k=_integer(data, "top_k", 0, 10**9),
        seed=_integer(data, "seed", -(2**63), 2**64),
        token_ids=data.get("return_token_ids", False),
        stream=data.get("stream", False),
        include_usage=bool(options.get("include_usage")),
        model=model[:MAX_SHOWN] if isinstance(model, str) else "",
    )


def _message(data: Any, place: str) -> Message:
    role = data.get("role") if isinstance(data, dict) else None
    if not isinstance(role, str) or role not in ROLES:
        raise RequestRefusedError(
            f"{place} has the role {_shown(role)}; a message has one of {', '.join(ROLES)}", param=f"{place}.role"
        )
    if data.get("audio") or data.get("function_call"):
        raise RequestRefusedError(f"{place} holds audio or a function_call; use text and tool_calls", param=place)
    calls = data.get("tool_calls") or []
    if not isinstance(calls, list) or len(calls) > MAX_TOOLS or (calls and role != "assistant"):
        raise RequestRefusedError(
            f"{place}.tool_calls must be a list of at most {MAX_TOOLS} calls, of an assistant's message",
            param=f"{place}.tool_calls",
        )
    content = data.get("content")
    if content is None and role != "assistant":
        raise RequestRefusedError(f"{place}.content is missing", param=f"{place}.content")
    names = {}
    for key in ("name", "tool_call_id"):
        names[key] = data.get(key) or ""
        if not isinstance(names[key], str):
            raise RequestRefusedError(f"{place}.{key} must be a text", param=f"{place}.{key}")
    return Message(
        ROLES[role],
        _text(content, f"{place}.content"),
        tuple(_call(call, f"{place}.tool_calls[{i}]") for i, call in enumerate(calls)),
        **names,
    )


def _text(content: Any, place: str) -> str:
    """The text of a content, given whole or in parts, which are joined by line breaks."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise RequestRefusedError(f"{place} must be a text, or a list of parts of text", param=place)
    for i, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text" or not isinstance(part.get("text"), str):
            raise RequestRefusedError(
                f"{place}[{i}] is of type {_shown(kind)}; the model reads text alone",
                code="unsupported_content",
                param=f"{place}[{i}]",
            )
    return "\n".join(part["text"] for part in content)


def _call(data: Any, place: str) -> dict[str, Any]:
    """A tool call with its arguments as an object."""
    function = data.get("function") if isinstance(data, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RequestRefusedError(f"{place} is no call of a function with a name", param=place)
    arguments = function.get("arguments", "{}")
    try:
        arguments = json.loads(arguments or "{}") if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise RequestRefusedError(f"{place}.function.arguments is not the text of a JSON object", param=place)
    call = {"type": "function", "function": {"name": function["name"], "arguments": arguments}}
    return {**call, "id": data["id"]} if isinstance(data.get("id"), str) and data["id"] else call


def _tools(given: Any) -> tuple[Tool, ...]:
    if given is None:
        return ()
    if not isinstance(given, list) or len(given) > MAX_TOOLS:
        raise RequestRefusedError(f"tools must be a list of at most {MAX_TOOLS} functions", param="tools")
    return tuple(_tool(each, f"tools[{i}]") for i, each in enumerate(given))


def _tool(data: Any, place: str) -> Tool:
    function = data.get("function") if isinstance(data, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
        raise RequestRefusedError(f"{place} is no function with a name", param=place)
    description, parameters = function.get("description") or "", function.get("parameters")
    if not isinstance(description, str) or not isinstance(parameters, dict | None):
        raise RequestRefusedError(f"{place} needs a text as description and a JSON Schema as parameters", param=place)
    described = Tool(function["name"], description)
    return described if parameters is None else replace(described, parameters=parameters)


def _integer(data: Mapping[str, Any], name: str, low: int, high: int) -> int | None:
    value = data.get(name)
    if value is None or (_is_int(value) and low <= value <= high):
        return value
    raise RequestRefusedError(f"{name} must be a whole number from {low}, not {_shown(value)}", param=name)


def _number(data: Mapping[str, Any], name: str, low: float, high: float) -> float | None:
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and low <= value <= high:
        return float(value)
    raise RequestRefusedError(f"{name} must be a number from {low:g} to {high:g}, not {_shown(value)}", param=name)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
