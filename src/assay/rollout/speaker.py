"""Speakers, which take the assistant's part in a rollout: an engine, which speaks tokens, a server, which speaks text,
or a script."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from assay.endpoints.responder import Reply, Responder
from assay.endpoints.tools import message_of
from assay.engines.engine import Engine, Sampling
from assay.environments.script import Script
from assay.errors import ContextLengthError, EngineError
from assay.render.renderer import Extension, Renderer
from assay.render.tool_text import spelled_calls
from assay.types import Completion, Message, RemoteCompletion, Tool, Turn


@dataclass(frozen=True)
class Offered:
    """The tools that a model is offered."""

    tools: Sequence[Tool] = ()
    read: bool = True
    """False where calls stay in the answer's text: nobody carries them out."""

    @property
    def to_read(self) -> Sequence[Tool]:
        """The tools whose calls are looked for in an answer."""
        return self.tools if self.read else ()

    def message(self, reply: Reply) -> Message:
        """Return a server's reply as the assistant's message; calls that the server took apart are spelled out where
        they are to stay in the text."""
        if self.read or not reply.tool_calls:
            return message_of(reply, self.to_read)
        return Message("assistant", spelled_calls(message_of(reply, self.tools)))


class Speaker(Protocol):
    """The assistant in one rollout; single use."""

    async def speak(
        self,
        messages: Sequence[Message],
        new_messages: Sequence[Message],
        *,
        request_id: str,
        seed: int,
        max_new_tokens: int,
    ) -> Turn:
        """The next turn.

        Args:
            messages: the conversation up to and with the assistant's last message; empty at first.
            new_messages: what the environment said since.
            max_new_tokens: how many tokens it may have, at most those of the sampling parameters.

        Raises:
            ContextLengthError: the conversation does not fit in the context; the message goes on after "the prompt".
            EngineError: no answer could be had.
        """
        ...


class TokenSpeaker:
    """Samples tokens after the conversation's own tokens, which are never made again from text."""

    def __init__(
        self,
        engine: Engine,
        renderer: Renderer,
        sampling: Sampling,
        *,
        tools: Offered = Offered(),
        max_context: int | None = None,
    ) -> None:
        self._engine = engine
        self._renderer = renderer
        self._sampling = sampling
        self._tools = tools
        self._max_context = max_context
        self._token_ids: list[int] = []

    async def speak(
        self,
        messages: Sequence[Message],
        new_messages: Sequence[Message],
        *,
        request_id: str,
        seed: int,
        max_new_tokens: int,
    ) -> Turn:
        """See `Speaker.speak`."""
        new = _prompt(self._renderer, messages, self._token_ids, new_messages, self._tools.tools)
        prompt_ids = [*self._token_ids, *new.token_ids] if new.extends_previous else list(new.token_ids)
        if self._max_context is not None:
            if len(prompt_ids) >= self._max_context:
                raise ContextLengthError(
                    f"has {len(prompt_ids)} tokens, and limits.max_context={self._max_context} leaves no room to answer"
                )
            max_new_tokens = min(max_new_tokens, self._max_context - len(prompt_ids))
        sampling = self._sampling.model_copy(update={"max_new_tokens": max_new_tokens})
        try:
            completion = await self._generate(prompt_ids, sampling, request_id, seed)
        except ContextLengthError as error:
            raise ContextLengthError(f"has {len(prompt_ids)} tokens: {error}") from error
        self._token_ids = [*prompt_ids, *completion.token_ids]
        message = self._renderer.parse(completion.token_ids, self._tools.to_read)
        return Turn(new.token_ids, new.extends_previous, completion, message)

    async def _generate(self, prompt_ids: Sequence[int], sampling: Sampling, request_id: str, seed: int) -> Completion:
        """Sample one completion; tried once more where the engine says that it failed, which saves the turns so far."""
        try:
            try:
                return await self._engine.generate(prompt_ids, sampling, request_id=request_id, seed=seed)
            except EngineError:
                return await self._engine.generate(prompt_ids, sampling, request_id=request_id, seed=seed)
        except asyncio.CancelledError:
            await self._engine.abort(request_id)
            raise


class TextSpeaker:
    """Asks a responder, which tries again by itself where that may help."""

    def __init__(
        self,
        responder: Responder,
        sampling: Sampling,
        *,
        tools: Offered = Offered(),
    ) -> None:
        self._responder = responder
        self._sampling = sampling
        self._tools = tools

    async def speak(
        self,
        messages: Sequence[Message],
        new_messages: Sequence[Message],
        *,
        request_id: str,
        seed: int,
        max_new_tokens: int,
    ) -> Turn:
        """See `Speaker.speak`."""
        conversation = [*messages, *new_messages]
        try:
            sampling = self._sampling.model_copy(update={"max_new_tokens": max_new_tokens})
            tools = {"tools": self._tools.tools} if self._tools.tools else {}
            reply = await self._responder.respond(conversation, sampling, request_id=request_id, seed=seed, **tools)
        except ContextLengthError as error:
            raise ContextLengthError(f"is too long: {error}") from error
        finish_reason = "abort" if reply.finish_reason == "unknown" else reply.finish_reason
        remark = "" if self._tools.tools and reply.remark == "tool_calls" else reply.remark
        completion = RemoteCompletion(
            (), (), finish_reason, ((0, 0),), num_reported_tokens=reply.output_tokens, remark=remark
        )
        message = self._tools.message(reply)
        return Turn((), extends_previous=False, completion=completion, message=message)


class ScriptSpeaker:
    """Says what a script says: as the tokens that the model would have sampled, or without a renderer as text."""

    def __init__(
        self,
        script: Script,
        renderer: Renderer | None,
        tools: Offered = Offered(),
    ) -> None:
        self._script = script
        self._renderer = renderer
        self._tools = tools
        self._token_ids: list[int] = []

    async def speak(
        self,
        messages: Sequence[Message],
        new_messages: Sequence[Message],
        *,
        request_id: str,
        seed: int,
        max_new_tokens: int,
    ) -> Turn:
        """See `Speaker.speak`. Nobody sampled these tokens, so their log-probabilities are NaN: unknown, not 0."""
        tools = self._tools.tools
        message = self._script.reply([*messages, *new_messages], tools)
        if self._renderer is None:
            completion = RemoteCompletion((), (), "stop", ((0, 0),))
            return Turn((), extends_previous=False, completion=completion, message=message)
        new = _prompt(self._renderer, messages, self._token_ids, new_messages, tools)
        token_ids = self._renderer.encode_answer(self._renderer.spell(message, tools))
        prompt_ids = [*self._token_ids, *new.token_ids] if new.extends_previous else list(new.token_ids)
        self._token_ids = [*prompt_ids, *token_ids]
        completion = Completion(token_ids, (math.nan,) * len(token_ids), "stop", ((0, 0),))
        # What an environment would see of these tokens, whoever sampled them.
        said = self._renderer.parse(token_ids, self._tools.to_read)
        return Turn(new.token_ids, new.extends_previous, completion, said)


def _prompt(
    renderer: Renderer,
    messages: Sequence[Message],
    token_ids: Sequence[int],
    new_messages: Sequence[Message],
    tools: Sequence[Tool],
) -> Extension:
    """Return what the next prompt adds to the tokens so far: all of it in the first turn."""
    if not messages:
        return Extension(renderer.render(new_messages, tools), extends_previous=False)
    return renderer.extend(messages, token_ids, new_messages, tools)
