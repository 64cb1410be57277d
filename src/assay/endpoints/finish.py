"""Finish reasons of servers and their meaning: in any case, and in the words of many servers."""

from __future__ import annotations

import re
from typing import Literal

Finish = Literal["stop", "length", "filter", "broken", "unknown"]
"""stop: the model ended its answer. length: a limit of tokens, or a server's guard against repetition, cut it off.
filter: a filter of contents cut it off. broken: the server stopped in the middle."""

_MAX_CHARACTERS = 64
_TOOLS = ("tool_calls", "tool_call", "tool_use", "function_call", "malformed_function_call", "unexpected_tool_call")
_REFUSALS = ("refusal", "refused")
_STOPPED = (
    *("stop", "stopped", "eos", "eos_token", "eos_found", "end_turn", "end_of_turn", "endoftext", "end_of_text"),
    *("stop_sequence", "stop_string", "stop_string_found", "stop_token", "complete", "completed", "finish", "finished"),
    *_TOOLS,
    *_REFUSALS,
)
_LENGTH = (
    *("length", "max_tokens", "max_length", "max_len", "max_new_tokens", "max_output_tokens", "max_completion_tokens"),
    *("model_length", "token_limit", "output_token_limit", "max_predicted_tokens_reached", "incomplete"),
    *("model_context_window_exceeded", "context_window_exceeded", "context_length", "context_length_exceeded"),
    *("context_length_reached", "max_context", "max_model_len", "error_limit", "repetition"),
)
_FILTER = (
    *("content_filter", "content_filtered", "content_filtering", "filter", "filtered", "moderation", "sensitive"),
    *("safety", "image_safety", "recitation", "blocklist", "prohibited_content", "spii", "language", "model_armor"),
    *("guardrail", "guardrails", "guardrail_intervened", "error_toxic"),
)
_BROKEN = (
    *("abort", "aborted", "cancel", "cancelled", "canceled", "user_cancel", "user_stopped", "model_unloaded"),
    *("insufficient_system_resource", "time_limit", "time_out", "not_finished", "in_progress", "fail", "interrupted"),
)
_WORDS: dict[Finish, tuple[str, ...]] = {"stop": _STOPPED, "length": _LENGTH, "filter": _FILTER, "broken": _BROKEN}
_BROKEN_PARTS = ("error", "overload", "timeout", "unavailable", "failed", "failure", "rate_limit")
"""Parts of a finish reason's text that tell of a server's own failure, whatever it calls it."""


def read_finish_reason(reason: object) -> Finish | None:
    """The meaning of a finish reason; None where the server gives none.

    The words are those of OpenAI, Azure, vLLM, SGLang, TGI, llama.cpp, LM Studio, Together, OpenRouter, Mistral,
    DeepSeek, Moonshot, Z.ai, Anthropic, Gemini, Cohere, xAI, Bedrock and watsonx, with or without an enumeration's
    prefix ("FINISH_REASON_STOP", "FinishReason.MAX_TOKENS"), in capitals, with hyphens, or in camel case.
    """
    name = _name(reason)
    if name in ("", "null", "none"):
        return None
    for meaning, words in _WORDS.items():
        if name in words:
            return meaning
    return "broken" if any(part in name for part in _BROKEN_PARTS) else "unknown"


def calls_tools(reason: object) -> bool:
    """Return whether the answer ended so that a tool may be called."""
    return _name(reason) in _TOOLS


def is_refusal(reason: object) -> bool:
    """Return whether the server says that the model declined to answer."""
    return _name(reason) in _REFUSALS


def _name(reason: object) -> str:
    """A reason in lower case, words parted by underscores; "?" for what is no short text."""
    if reason is None:
        return ""
    if not isinstance(reason, str) or len(reason) > _MAX_CHARACTERS:
        return "?"
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", reason.strip()).replace("-", "_").replace(" ", "_").lower()
    return name.rpartition(".")[2].removeprefix("finish_reason_").removeprefix("reason_")
