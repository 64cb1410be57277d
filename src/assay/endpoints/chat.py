"""Chat completions on the wire: messages to a request's body, and an answer's body, hostile input, to a `Reply`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from assay.endpoints.endpoint import Endpoint
from assay.endpoints.finish import calls_tools, is_refusal, read_finish_reason
from assay.endpoints.responder import Reply
from assay.endpoints.tools import calls_of
from assay.observe.visible import visible
from assay.types import Message, Tool

if TYPE_CHECKING:
    from assay.engines.engine import Sampling

MAX_MESSAGE = 300
"""Characters of a server's error that are shown."""
_MAX_TOKENS = 10**9


class InvalidReplyError(ValueError):
    """An answer that is no chat completion; the message says how."""


def request_body(
    endpoint: Endpoint, messages: Sequence[Message], sampling: Sampling, seed: int, tools: Sequence[Tool] = ()
) -> dict[str, Any]:
    """The JSON body of one request. Only what every server knows is sent, and what was asked for.

    Lone surrogates, which are no text that JSON can carry, become replacement characters.
    """
    sent, offered = wire_messages(messages, tools)
    body: dict[str, Any] = {
        "model": endpoint.model,
        "messages": sent,
        "temperature": sampling.temperature,
        endpoint.token_limit_field: sampling.max_new_tokens,
    }
    if tools:
        body["tools"] = offered
    if sampling.top_p < 1:
        body["top_p"] = sampling.top_p
    if sampling.top_k:
        body["top_k"] = sampling.top_k
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if endpoint.send_seed:
        body["seed"] = seed % 2**31  # servers take a signed 32-bit number
    return {**body, **endpoint.body}


def wire_messages(
    messages: Sequence[Message], tools: Sequence[Tool]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the messages and the tools as servers take them, a message for each."""
    named = _with_named_calls(messages) if tools else messages
    return [_on_the_wire(message) for message in named], [_sendable(tool.to_dict()) for tool in tools]


def request_key(endpoint: Endpoint, body: Mapping[str, Any], seed: int) -> str:
    """Names a request by all that decides its answer; the seed tells samples of one prompt apart, sent or not."""
    content = json.dumps([endpoint.url, body, seed], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def most_tokens(body: Mapping[str, Any]) -> tuple[int, int]:
    """Return upper bounds on the prompt tokens, and on the sampled ones, of a request: a token is at least a byte, and
    a message's form is taken for 16."""
    prompt = len(json.dumps(body["tools"]).encode()) if "tools" in body else 0
    for message in body["messages"]:
        calls = json.dumps(message["tool_calls"], ensure_ascii=False) if "tool_calls" in message else ""
        prompt += len(f"{message['content']}{calls}".encode("utf-8", "replace")) + 16
    return prompt, body.get("max_tokens") or body.get("max_completion_tokens") or 0


def parse_reply(content: bytes, max_new_tokens: int) -> Reply:
    """Parse a server's answer.

    Args:
        content: the body of an answer with status 200.
        max_new_tokens: the limit that was sent; tells a cut-off answer where the server does not say how it ended.

    Raises:
        InvalidReplyError: no JSON, or no choice with a message in it.
    """
    data = _json(content)
    if not isinstance(data, dict):
        raise InvalidReplyError(f"answered JSON that is {type(data).__name__}, not an object")
    if data.get("error"):
        raise InvalidReplyError(f"answered with an error: {error_message(content)}")
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise InvalidReplyError("answered without choices")
    choice = choices[0]
    if choice.get("error"):
        raise InvalidReplyError(f"answered with an error: {error_message(json.dumps(choice).encode())}")
    message = choice.get("message")
    if not isinstance(message, dict):
        raise InvalidReplyError("answered a choice without a message")
    ended = choice.get("finish_reason")
    finish = read_finish_reason(ended)
    if finish == "broken":
        raise InvalidReplyError(f"broke its answer off: finish_reason {_shown(str(ended))!r}")
    text, refusal = _text(message.get("content")), message.get("refusal")
    usage: Any = data.get("usage")
    if not isinstance(usage, dict):
        usage = {}
    output_tokens = _count(usage.get("completion_tokens"))
    if finish is None:
        # Where a server does not say, an answer of all the tokens that it may have was cut off.
        finish = "length" if output_tokens is not None and output_tokens >= max_new_tokens else "stop"
    remark = ""
    if finish == "filter":
        remark = "content_filter"
    elif finish == "unknown":
        remark = _shown(str(ended))
    elif isinstance(refusal, str) and refusal and not text:
        text, remark = refusal, "refusal"
    elif is_refusal(ended):
        remark = "refusal"
    elif calls_tools(ended) or (not text and message.get("tool_calls")):
        remark = "tool_calls"
    elif not text:
        remark = "empty"
    return Reply(
        text,
        finish_reason="length" if finish == "filter" else finish,
        remark=remark,
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=output_tokens,
        tool_calls=calls_of(message),
    )


def error_message(content: bytes) -> str:
    """Return the message of a server's error, in one line, bounded and safe to show."""
    return _error(content)[0]


def error_code(content: bytes) -> str:
    """The code or type of a server's error, such as "insufficient_quota"; empty where it has none."""
    return _error(content)[1]


def _error(content: bytes) -> tuple[str, str]:
    try:
        data = _json(content)
    except InvalidReplyError:
        return _shown(content.decode("utf-8", "replace")), ""
    inner = data.get("error", data) if isinstance(data, dict) else data
    if not isinstance(inner, dict):
        return _shown(inner if isinstance(inner, str) else json.dumps(inner)), ""
    message = next((inner[key] for key in ("message", "detail", "error") if inner.get(key)), inner)
    code = inner.get("code") or inner.get("type") or ""
    return _shown(message if isinstance(message, str) else json.dumps(message)), code if isinstance(code, str) else ""


def _shown(text: str) -> str:
    return visible(" ".join(text[: 10 * MAX_MESSAGE].split()))[:MAX_MESSAGE] or "nothing"


def _json(content: bytes) -> Any:
    if not content.strip():
        raise InvalidReplyError("answered an empty body")
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise InvalidReplyError(
            f"answered what is no JSON: {_shown(content[:1000].decode('utf-8', 'replace'))}"
        ) from None


def _text(content: Any) -> str:
    """The text of a message, given whole, in parts, or not at all. Parts of another kind, such as thoughts, are left
    out."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise InvalidReplyError("answered a message whose content is no text")
    texts = [part.get("text") for part in content if part.get("type", "text") in ("text", "output_text")]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidReplyError("answered a message whose content is no text")
    return "".join(texts)


def _count(value: Any) -> int | None:
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_TOKENS
    return value if good else None


def _with_named_calls(messages: Sequence[Message]) -> list[Message]:
    """The messages with those of tools that name no call said by the user: servers refuse them else."""
    return [Message("user", m.content) if m.role == "tool" and not m.tool_call_id else m for m in messages]


def _on_the_wire(message: Message) -> dict[str, Any]:
    """A message as servers take it: the arguments of a call are JSON text."""
    data = _sendable(message.to_dict())
    for call in data.get("tool_calls", ()):
        function = call.get("function", {})
        if not isinstance(function.get("arguments", ""), str):
            function["arguments"] = json.dumps(function["arguments"])
    return data


def _sendable(value: Any) -> Any:
    """A copy whose texts JSON can carry."""
    if isinstance(value, Mapping):
        return {_sendable(key): _sendable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_sendable(each) for each in value]
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if isinstance(value, str) else value
