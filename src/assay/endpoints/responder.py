"""The Responder protocol: who answers messages with a message, where an engine answers tokens with tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from assay.types import Message, Tool

if TYPE_CHECKING:
    from assay.engines.engine import Sampling


@dataclass(frozen=True)
class Reply:
    """One answer of a model whose tokens nobody here sees."""

    text: str
    finish_reason: Literal["stop", "length", "unknown"] = "stop"
    """"length": it was cut off, by the token limit or by a filter. "unknown": the server ended it for a reason that
    nobody here knows, so whether it is whole is not known, and it is not measured."""
    remark: str = ""
    """Remark of the server beside its text: "refusal", "content_filter", "tool_calls", "empty", or a finish reason that
    is not known; empty for a plain answer."""
    input_tokens: int | None = None
    """Number of prompt tokens as the server counted them; None where it did not."""
    output_tokens: int | None = None
    """Number of sampled tokens as the server counted them, reasoning included; None where it did not."""
    tool_calls: tuple[Mapping[str, str], ...] = ()
    """Calls of tools that the server took apart, each with the texts "id", "name" and "arguments", as it gave them."""


@runtime_checkable
class Responder(Protocol):
    """Answers conversations. Where `evaluate` is given one in place of an engine, no tokens are known, so it measures
    and writes demonstrations, and cannot be trained."""

    async def respond(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        *,
        request_id: str,
        seed: int,
        tools: Sequence[Tool] = (),
    ) -> Reply:
        """The assistant's next message. The same messages, tools, sampling and seed are one request: asked again, it
        may be answered from what is kept.

        Raises:
            ContextLengthError: the conversation does not fit in the model's context.
            EngineError: this request failed; an UnansweredError has been tried again already.
            EndpointError: a person must act; further requests would fail too.
        """
        ...

    async def close(self) -> None:
        """Takes in what is under way, and sends nothing more."""
        ...
