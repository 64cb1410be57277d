"""Answers on the wire, in the forms of OpenAI's chat completions and completions, whole and streamed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from assay.serving.conversation import Answer
from assay.serving.wire import Ask

DONE = "data: [DONE]\n\n"
"""Last event of a stream."""
Decode = Callable[[int], str]


@dataclass(frozen=True)
class About:
    """The fields that every part of one answer has."""

    id: str
    created: int
    """Seconds since 1970."""
    model: str


def event(data: Mapping[str, Any]) -> str:
    """A server-sent event that holds a JSON object."""
    return f"data: {json.dumps(data)}\n\n"


def whole(about: About, ask: Ask, answer: Answer, decode: Decode) -> dict[str, Any]:
    """The JSON of an answer that is not streamed."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": answer.finish_reason}
    if ask.prompt is None:
        message: dict[str, Any] = {"role": "assistant", "content": answer.content, "refusal": None}
        if answer.tool_calls:
            message["tool_calls"] = _calls(answer)
        choice["message"] = message
    else:
        choice["text"] = answer.content
    choice["logprobs"] = _logprobs(ask, answer, decode)
    if ask.token_ids:
        choice["token_ids"] = answer.completion.token_ids
        choice["prompt_token_ids"] = answer.prompt_ids
    kind = "chat.completion" if ask.prompt is None else "text_completion"
    return {**_head(about, ask, kind), "choices": [choice], "usage": _usage(answer)}


def opening(about: About, ask: Ask) -> dict[str, Any]:
    """The first chunk of a stream."""
    return _chunk(about, ask, {"delta": {"role": "assistant", "content": ""}} if ask.prompt is None else {"text": ""})


def delta(about: About, ask: Ask, text: str) -> dict[str, Any]:
    """A chunk with some more text."""
    return _chunk(about, ask, {"delta": {"content": text}} if ask.prompt is None else {"text": text})


def closing(about: About, ask: Ask, answer: Answer, shown: str, decode: Decode) -> Iterator[dict[str, Any]]:
    """The chunks that end a stream: the text that was not shown yet, tool calls, the reason, and the token counts where
    they were asked for."""
    if answer.content.startswith(shown) and len(answer.content) > len(shown):
        yield delta(about, ask, answer.content[len(shown) :])
    if answer.tool_calls:
        calls = [{"index": i, **call} for i, call in enumerate(_calls(answer))]
        yield _chunk(about, ask, {"delta": {"tool_calls": calls}})
    last: dict[str, Any] = {"delta": {}} if ask.prompt is None else {"text": ""}
    if ask.logprobs:
        last["logprobs"] = _logprobs(ask, answer, decode)
    if ask.token_ids:
        last |= {"token_ids": answer.completion.token_ids, "prompt_token_ids": answer.prompt_ids}
    yield _chunk(about, ask, {**last, "finish_reason": answer.finish_reason})
    if ask.include_usage:
        yield {**_head(about, ask, _chunk_kind(ask)), "choices": [], "usage": _usage(answer)}


def _chunk(about: About, ask: Ask, choice: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_head(about, ask, _chunk_kind(ask)),
        "choices": [{"index": 0, "finish_reason": None, "logprobs": None, **choice}],
    }


def _chunk_kind(ask: Ask) -> str:
    return "chat.completion.chunk" if ask.prompt is None else "text_completion"


def _head(about: About, ask: Ask, kind: str) -> dict[str, Any]:
    prefix = "chatcmpl" if ask.prompt is None else "cmpl"
    return {"id": f"{prefix}-{about.id}", "object": kind, "created": about.created, "model": about.model}


def _calls(answer: Answer) -> list[dict[str, Any]]:
    """Tool calls as clients read them: arguments are the text of a JSON object."""
    calls = []
    for call in answer.tool_calls:
        function = call["function"]
        arguments = function["arguments"]
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        calls.append({"id": call["id"], "type": "function", "function": {"name": function["name"], "arguments": text}})
    return calls


def _logprobs(ask: Ask, answer: Answer, decode: Decode) -> dict[str, Any] | None:
    """The log-probability of each sampled token, the end token included, under what it was sampled from."""
    if not ask.logprobs:
        return None
    texts = [decode(token) for token in answer.completion.token_ids]
    logprobs = answer.completion.logprobs
    if ask.prompt is not None:
        offsets, at = [], 0
        for text in texts:
            offsets.append(at)
            at += len(text)
        return {"tokens": texts, "token_logprobs": logprobs, "top_logprobs": None, "text_offset": offsets}
    return {
        "content": [
            {"token": text, "logprob": logprob, "bytes": list(text.encode("utf-8", "replace")), "top_logprobs": []}
            for text, logprob in zip(texts, logprobs, strict=True)
        ],
        "refusal": None,
    }


def _usage(answer: Answer) -> dict[str, int]:
    prompt, sampled = len(answer.prompt_ids), len(answer.completion.token_ids)
    return {"prompt_tokens": prompt, "completion_tokens": sampled, "total_tokens": prompt + sampled}
