"""ToolEpisode: an episode whose model calls tools. Calls are checked against their schemas, and answers are bounded."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from typing import Any, ClassVar

import jsonschema
from referencing import Registry

from assay.environments.episode import Episode, EpisodeStep
from assay.errors import FailureKind, InfrastructureError, ToolBrokenError, classify
from assay.types import Message, Tool, ToolCall

MAX_CALLS_PER_TURN = 16
"""Calls of one message that are carried out; the rest are answered by saying so."""
call_limit: ContextVar[Callable[[float], AbstractAsyncContextManager[object]]] = ContextVar(
    "call_limit", default=asyncio.timeout
)
"""The limit on the time of a call. Whoever plays the episode sets it to a clock that stands still in a pause."""


class ToolFailure(Exception):  # noqa: N818, it is no fault of the program's
    """Raised by `ToolEpisode.call` for what the call itself caused, such as a file that does not exist: its text is
    what the model is told."""


class ToolEpisode(Episode):
    """Base class of episodes with tools. A subclass gives `tools`, `start`, `call`, and `answer`.

    Each call of a message is checked against its tool's JSON Schema and carried out in order; a tool's message answers
    each. What cannot be read, is unknown, does not fit its schema, or takes too long is an observation that says so.
    """

    max_result_characters: ClassVar[int] = 4000
    """Characters of a tool's result that the model is shown: the head and the tail of a longer one."""
    call_timeout_seconds: ClassVar[float] = 60.0
    """Seconds that one call may take; then the model is told so."""

    @abstractmethod
    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Carry a call out and return its result.

        Args:
            name: one of the `tools`.
            arguments: an object that fits its schema.

        Raises:
            ToolFailure: what the call itself caused.
            ToolBrokenError: a cause outside the call; the rollout is not measured. Any other error counts as one.
        """

    @abstractmethod
    async def answer(self, message: Message) -> EpisodeStep:
        """The world's answer to a message that calls no tool: usually the end."""

    def after_calls(self, messages: tuple[Message, ...]) -> EpisodeStep:
        """The step after a message's calls, given the tools' messages. A subclass that pays for turns, names states, or
        ends by a call overrides it."""
        return EpisodeStep(messages)

    async def step(self, message: Message) -> EpisodeStep:
        """See `Episode.step`."""
        if not message.tool_calls and not message.call_errors:
            return await self.answer(message)
        calls = message.calls
        results = [
            _tool_message(call, await self._result(call) if i < MAX_CALLS_PER_TURN else _TOO_MANY)
            for i, call in enumerate(calls)
        ]
        errors = [
            Message("tool", shortened(f"Error: {error}", self.max_result_characters))
            for error in message.call_errors[:MAX_CALLS_PER_TURN]
        ]
        return self.after_calls((*results, *errors))

    async def _result(self, call: ToolCall) -> str:
        tools = {tool.name: tool for tool in self.tools}
        if call.name not in tools:
            return f"Error: there is no tool {call.name[:80]!r}; there are {', '.join(tools)}"
        if problem := schema_problem(tools[call.name], call.arguments):
            return f"Error: {problem}"
        try:
            async with call_limit.get()(self.call_timeout_seconds):
                return shortened(await self._called(call), self.max_result_characters)
        except ToolFailure as failure:
            return shortened(f"Error: {failure}", self.max_result_characters)
        except TimeoutError:
            return f"Error: {call.name} took longer than {self.call_timeout_seconds:g} seconds and was stopped"

    async def _called(self, call: ToolCall) -> str:
        """Carry a call out. What it raises of its own, a TimeoutError too, is the tool's failure."""
        try:
            result: object = await self.call(call.name, call.arguments)
        except Exception as error:
            if (
                isinstance(error, ToolFailure | InfrastructureError)
                or classify(error) is not FailureKind.INFRASTRUCTURE
            ):
                raise
            raise ToolBrokenError(f"{call.name}: {type(error).__name__}: {error}"[:300]) from error
        if not isinstance(result, str):
            raise ToolBrokenError(f"{call.name} gave {type(result).__name__}; a tool's result is a str")
        return result


_TOO_MANY = f"Error: only the first {MAX_CALLS_PER_TURN} calls of a message are carried out"


def _tool_message(call: ToolCall, text: str) -> Message:
    return Message("tool", text, tool_call_id=call.id, name=call.name)


def schema_problem(tool: Tool, arguments: Mapping[str, Any]) -> str:
    """Return what is wrong with the arguments of a call, by the tool's JSON Schema; empty where nothing is.

    Raises:
        ToolBrokenError: the schema is none, or refers to what is not in it: nothing is fetched.
    """
    validator = jsonschema.Draft202012Validator(dict(tool.parameters), registry=Registry())
    try:
        errors = sorted(validator.iter_errors(dict(arguments)), key=lambda each: list(map(str, each.path)))
    except Exception as error:  # of any kind: it is not the call's doing
        said = f"{type(error).__name__}: {error}"
        raise ToolBrokenError(f"the schema of the tool {tool.name} cannot be used: {said[:200]}") from error
    if not errors:
        return ""
    error = errors[0]
    place = ".".join(map(str, error.path)) or "arguments"
    return f"{tool.name}: {place}: {error.message[:300]}"


def shortened(text: str, max_characters: int) -> str:
    """Return a text of at most about `max_characters`: the head and the tail of a longer one, and what was left out."""
    if len(text) <= max_characters:
        return text
    head = max_characters * 2 // 3
    tail = max_characters - head
    return f"{text[:head]}\n[... {len(text) - max_characters} characters left out ...]\n{text[-tail:]}"
