"""Conversation: an outside agent's requests answered in tokens, and kept as the turns of one rollout.

A request whose messages (or text, or token ids) begin with all that was said in an earlier one, the answer included,
goes on from that one's tokens: what was sampled is never tokenised again. Any other request begins a fork. Where a
request goes on from another than the last one, as of an agent that leads two conversations in turn, its turn is a fork
too, whose prompt has the earlier one's tokens as they were sampled.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from assay.engines.engine import Engine, Sampling
from assay.errors import ContextLengthError, DataError, EngineError
from assay.render.renderer import Renderer
from assay.serving.wire import Ask, RequestRefusedError
from assay.types import Completion, Ending, EndingKind, Message, Tool, Turn

MAX_THREADS = 64
"""Earlier requests that a request may go on from: the last ones."""
ANSWERED, OVERRULED, ABORTED = "answered", "overruled sampling", "aborted"
"""Names of counts: requests that were answered; those of them that asked for other sampling than there is; and those
whose client went away."""


class OverError(Exception):
    """Raised by a request beyond a limit of its episode: none is answered any more."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.reason)
        self.ending = ending


@dataclass(frozen=True)
class ConversationLimits:
    """Limits of one conversation; None for none."""

    max_turns: int | None = None
    max_tokens: int | None = None
    """Tokens sampled in all turns together."""
    max_context: int | None = None
    """Tokens of prompt and completion together in any turn."""


@dataclass(frozen=True)
class Answer:
    """The answer to one request."""

    content: str
    """The text, without the end token and without the stop string that ended it."""
    tool_calls: tuple[Mapping[str, Any], ...]
    finish_reason: str
    """"stop", "length" or "tool_calls"."""
    prompt_ids: tuple[int, ...]
    completion: Completion


@dataclass
class _Thread:
    """One line of the conversation as it grows."""

    tools: tuple[Tool, ...]
    token_ids: tuple[int, ...]
    """Everything prompted and sampled."""
    last_turn: int
    messages: tuple[Message, ...] = ()
    """Messages of chat completions: what was said, the last answer as it was parsed."""
    keys: tuple[Any, ...] = ()
    """The same messages as the agent sees them."""
    text: str | None = None
    """Text of completions whose prompt is a text: prompt and answers."""


@dataclass(frozen=True)
class _Prompt:
    """The prompt of a request."""

    token_ids: tuple[int, ...]
    new: tuple[Message, ...]
    """Messages since the thread's last answer; the whole of it where there is no thread."""
    thread: _Thread | None = None
    """The thread that the request goes on from."""
    extends: bool = False
    """True where the prompt begins with the thread's tokens."""


class Conversation:
    """Answers requests, one at a time, and keeps every answered one as a `Turn`.

    Args:
        sampling: how to sample.
        fixed: True where requests cannot change the distribution that is sampled from (temperature, top-p, top-k and
            seed), since what is trained on must come from one that is known: what they ask for is then counted.
            Shorter limits and stop strings of their own they have in any case.
        name: the beginning of request ids.
        seed_of: seed of the request with this number, counted from 0.
        turns: the list that turns are added to.
    """

    def __init__(
        self,
        engine: Engine,
        renderer: Renderer,
        sampling: Sampling,
        *,
        name: str,
        seed_of: Callable[[int], int],
        fixed: bool = True,
        limits: ConversationLimits = ConversationLimits(),
        turns: list[Turn] | None = None,
    ) -> None:
        self._engine = engine
        self._renderer = renderer
        self._sampling = sampling
        self._name = name
        self._seed_of = seed_of
        self._fixed = fixed
        self._limits = limits
        self.turns: list[Turn] = [] if turns is None else turns
        self.opening: tuple[Message, ...] = ()
        """The messages of the first answered request; those of a completion are its prompt as a user's."""
        self.counts: Counter[str] = Counter()
        self._threads: list[_Thread] = []
        self._num_requests = 0
        self._under_way: tuple[Ask, str] | None = None
        """The request that is being sampled, and its id."""

    async def ask(self, ask: Ask) -> Answer:
        """Answer one request and keep it. When cancelled, the engine takes the request back and nothing is kept.

        Raises:
            RequestRefusedError: the prompt does not fit in the context, or the chat template refuses the messages.
            OverError: a limit of the episode is reached.
            EngineError: the engine failed twice.
        """
        left = self._tokens_left()
        prompt = self._prompt(ask)
        number, self._num_requests = self._num_requests, self._num_requests + 1
        sampling = self._narrowed(ask, left, len(prompt.token_ids))
        request_id = f"{self._name}/{number}"
        seed = self._seed_of(number) if self._fixed or ask.seed is None else ask.seed % 2**63
        self._under_way = ask, request_id
        try:
            completion = await self._generate(prompt.token_ids, sampling, request_id, seed)
        finally:
            self._under_way = None
        if completion.finish_reason == "abort":
            raise EngineError("the engine gave the request up")
        return self._keep(ask, prompt, completion, sampling)

    def so_far(self, ask: Ask) -> str:
        """Return the text that the request under way has sampled, where the engine shows it; empty where it does not
        or where the text may become a tool call or a stop string."""
        peek = getattr(self._engine, "sampled_so_far", None)
        asked, request_id = self._under_way or (None, "")
        if asked is not ask or peek is None or ask.tools:
            return ""
        token_ids = peek(request_id)
        text = self._text(token_ids) if ask.prompt is not None else self._renderer.parse(token_ids).content
        held_back = max((len(stop) for stop in (*self._sampling.stop, *ask.stop)), default=0)
        # A character of several tokens ends in a replacement character until its last token is there.
        return text[: max(0, len(text) - held_back)].rstrip("\ufffd")

    def decode(self, token_id: int) -> str:
        """The text of one token."""
        return self._renderer.decode((token_id,))

    # ---- the prompt ----

    def _prompt(self, ask: Ask) -> _Prompt:
        try:
            if ask.prompt is None:
                return self._chat_prompt(ask)
            thread = next((each for each in reversed(self._threads) if _goes_on(each, ask.prompt)), None)
            if isinstance(ask.prompt, tuple):
                return _Prompt(ask.prompt, (), thread, extends=thread is not None)
            if thread is None or thread.text is None:
                return _Prompt(self._renderer.encode_prompt(ask.prompt), (Message("user", ask.prompt),))
            rest = ask.prompt[len(thread.text) :]
            more = self._renderer.encode_prompt(rest, begins=False)
            return _Prompt((*thread.token_ids, *more), (Message("user", rest),), thread, extends=True)
        except DataError as error:
            raise RequestRefusedError(str(error), param="messages") from error

    def _chat_prompt(self, ask: Ask) -> _Prompt:
        keys = tuple(map(message_key, ask.messages))
        for thread in reversed(self._threads):
            length = len(thread.keys)
            if 0 < length < len(keys) and thread.keys == keys[:length] and thread.tools == ask.tools:
                new = ask.messages[length:]
                extension = self._renderer.extend(thread.messages, thread.token_ids, new, ask.tools)
                before = thread.token_ids if extension.extends_previous else ()
                return _Prompt((*before, *extension.token_ids), new, thread, extension.extends_previous)
        return _Prompt(self._renderer.render(ask.messages, ask.tools), ask.messages)

    # ---- sampling ----

    def _tokens_left(self) -> float:
        limits = self._limits
        if limits.max_turns is not None and len(self.turns) >= limits.max_turns:
            raise OverError(Ending(EndingKind.TRUNCATED, "turns"))
        if limits.max_tokens is None:
            return math.inf
        left = limits.max_tokens - sum(len(turn.completion.token_ids) for turn in self.turns)
        if left <= 0:
            raise OverError(Ending(EndingKind.TRUNCATED, "tokens"))
        return left

    def _narrowed(self, ask: Ask, left: float, num_prompt: int) -> Sampling:
        given = {name: getattr(ask, name) for name in ("temperature", "top_p", "top_k")}
        given = {name: value for name, value in given.items() if value is not None}
        changes: dict[str, Any] = {} if self._fixed else given
        if self._fixed and (
            ask.seed is not None or any(getattr(self._sampling, name) != value for name, value in given.items())
        ):
            self.counts[OVERRULED] += 1
        if self._limits.max_context is not None:
            left = min(left, self._limits.max_context - num_prompt)
            if left < 1:
                raise _too_long(num_prompt, self._limits.max_context)
        own = self._sampling.max_new_tokens
        most = min(own if ask.max_tokens is None else min(own, ask.max_tokens), left)
        stop = (*self._sampling.stop, *ask.stop)
        return self._sampling.model_copy(update={**changes, "max_new_tokens": int(most), "stop": stop})

    async def _generate(
        self, prompt_ids: tuple[int, ...], sampling: Sampling, request_id: str, seed: int
    ) -> Completion:
        """Sample one completion; tried once more where the engine says that it failed."""
        try:
            try:
                return await self._engine.generate(prompt_ids, sampling, request_id=request_id, seed=seed)
            except EngineError:
                return await self._engine.generate(prompt_ids, sampling, request_id=request_id, seed=seed)
        except ContextLengthError as error:
            raise _too_long(len(prompt_ids), getattr(self._engine, "max_context", None)) from error
        except DataError as error:
            raise RequestRefusedError(str(error), param="prompt") from error
        except asyncio.CancelledError:
            self.counts[ABORTED] += 1
            await self._engine.abort(request_id)
            raise

    # ---- keeping ----

    def _keep(self, ask: Ask, prompt: _Prompt, completion: Completion, sampling: Sampling) -> Answer:
        self.counts[ANSWERED] += 1
        content, calls = self._text(completion.token_ids), ()
        message = Message("assistant", content)
        if ask.prompt is None:
            message = self._renderer.parse(completion.token_ids, ask.tools)
            calls = message.tool_calls
            # A call that could not be read stays what it is: text.
            content = content if message.call_errors else message.content
        content = _before_stop(content, sampling.stop)
        if self.turns:
            self.turns[-1] = replace(self.turns[-1], env_messages=prompt.new)
        else:
            self.opening = prompt.new
        # A turn of another thread than the last one's begins a sample of its own, with the same tokens before it.
        thread = prompt.thread
        follows = prompt.extends and thread is not None and thread.last_turn == len(self.turns) - 1
        added = prompt.token_ids[len(thread.token_ids) :] if follows and thread is not None else prompt.token_ids
        self.turns.append(Turn(added, follows, completion, message))
        grown = _Thread(ask.tools, (*prompt.token_ids, *completion.token_ids), len(self.turns) - 1)
        if ask.prompt is None:
            grown.messages = (*(() if thread is None else thread.messages), *prompt.new, message)
            grown.keys = (*map(message_key, ask.messages), message_key(Message("assistant", content, calls)))
        elif isinstance(ask.prompt, str):
            grown.text = ask.prompt + self._renderer.decode(completion.token_ids)
        self._threads = [*self._threads[1 - MAX_THREADS :], grown]
        return Answer(content, calls, "tool_calls" if calls else completion.finish_reason, prompt.token_ids, completion)

    def _text(self, token_ids: Sequence[int]) -> str:
        """The text before the first token that ends a turn."""
        ends = self._renderer.stop_token_ids
        length = next((i for i, token in enumerate(token_ids) if token in ends), len(token_ids))
        return self._renderer.decode(token_ids[:length])


def _goes_on(thread: _Thread, prompt: str | tuple[int, ...]) -> bool:
    """Return True where a completion's prompt begins with all of a thread."""
    if isinstance(prompt, str):
        return bool(thread.text) and prompt.startswith(thread.text or "")
    return not thread.keys and prompt[: len(thread.token_ids)] == thread.token_ids


def message_key(message: Message) -> tuple[Any, ...]:
    """Return a key that is equal for messages that are one and the same. Blank space around a text is left out: agents
    trim what they are answered."""
    calls = json.dumps([dict(call) for call in message.tool_calls], sort_keys=True, default=str)
    return (message.role, message.content.strip(), calls, message.tool_call_id, message.name)


def _before_stop(text: str, stops: Sequence[str]) -> str:
    found = [position for stop in stops if (position := text.find(stop)) >= 0]
    return text[: min(found)] if found else text


def _too_long(num_prompt: int, max_context: int | None) -> RequestRefusedError:
    most = "unknown" if max_context is None else str(max_context)
    return RequestRefusedError(
        f"This model's maximum context length is {most} tokens, and the prompt has {num_prompt}, which leaves no room "
        "to answer; shorten the messages",
        code="context_length_exceeded",
        param="messages",
    )
