"""Episode: one attempt's world. Episodes speak messages and tool calls, never tokens."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from assay.errors import ContractError
from assay.types import Message, Score, Task, Tool


@dataclass(frozen=True)
class EpisodeStep:
    """The environment's answer to one message of the model."""

    messages: tuple[Message, ...] = ()
    """The messages that the model is shown next; empty when done."""
    reward: float | None = None
    """The reward paid for this turn, for credit over turns; None where the environment pays nothing for turns. What the
    whole episode earned is the verifier's word."""
    done: bool = False
    """True where the episode ended of itself (terminated, not truncated)."""
    state: str = ""
    """Name of the world's state that the next turn starts from, the same for every episode of the task that is in it.
    Empty: the messages that are shown name it."""
    restart: bool = False
    """True where the messages are a conversation of their own in place of all that was said before: older turns leave
    the context, and the rollout forks into a further sample."""


_Method = Callable[..., Coroutine[Any, Any, Any]]


def _once(start: _Method) -> _Method:
    @functools.wraps(start)
    async def guarded(self: Episode) -> Any:
        if self._phase == "starting":  # a subclass calls the start of its base
            return await start(self)
        if self._phase != "made":
            raise ContractError(f"{type(self).__name__}.start() was called twice; an episode is for one attempt")
        self._phase = "starting"
        messages = await start(self)
        self._phase = "open"
        return messages

    return guarded


def _while_open(step: _Method) -> _Method:
    @functools.wraps(step)
    async def guarded(self: Episode, message: Message) -> Any:
        if self._phase == "stepping":
            return await step(self, message)
        if self._phase != "open":
            raise ContractError(f"{type(self).__name__}.step() was called when the episode was {self._phase}")
        self._phase = "stepping"
        taken = await step(self, message)
        self._phase = "over" if isinstance(taken, EpisodeStep) and taken.done else "open"
        return taken

    return guarded


def _to_the_end(close: _Method) -> _Method:
    @functools.wraps(close)
    async def guarded(self: Episode) -> None:
        if self._phase == "closed":
            return
        if self._phase == "closing":
            await close(self)
            return
        self._phase = "closing"
        await close(self)
        self._phase = "closed"

    return guarded


_GUARDS: dict[str, Callable[[_Method], _Method]] = {"start": _once, "step": _while_open, "close": _to_the_end}


class Episode(ABC):
    """Base class of episodes: one attempt at one task, single use.

    A subclass gives `start` and `step`, and where it needs them `tools`, `score` and `close`. It is called in this
    order: `start` once, `tools`, `step` until it is done or a limit ends it, `score` once, `close` once. Calls out of
    that order raise ContractError, and closing twice does nothing, whatever the subclass does: it need not look.
    `check_episode` holds an implementation to the rest.
    """

    _phase = "made"

    @property
    def tools(self) -> Sequence[Tool]:
        """The tools that the model may call, fixed once the episode has started."""
        return ()

    @property
    def reads_calls(self) -> bool:
        """True where the calls in an answer come as `Message.tool_calls`, to be carried out; False where they stay in
        its text."""
        return True

    @abstractmethod
    async def start(self) -> tuple[Message, ...]:
        """The first messages: usually the task's prompt."""

    @abstractmethod
    async def step(self, message: Message) -> EpisodeStep:
        """The world's answer to the assistant's message. Never called after `done`.

        What the model can cause (an illegal move, a malformed call) is an observation or the end of the episode. An
        exception means that the world failed: the rollout is played again, then left out and counted.
        """

    async def score(self) -> Score | None:
        """Return what the episode earned, by the state of its world; None where only its messages say so. Asked after
        the last step, also where a limit ended the episode."""
        return None

    @_to_the_end  # noqa: B027, most episodes hold nothing
    async def close(self) -> None:
        """Releases what the episode held. Called also after a failure, and before a start."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, guard in _GUARDS.items():
            if name in cls.__dict__:
                setattr(cls, name, guard(cls.__dict__[name]))


EpisodeFactory = Callable[[Task], Episode]
"""Makes a fresh episode for each rollout, such as `environment.episode`."""


@dataclass
class SingleTurn(Episode):
    """A single-turn task as a one-step episode: show the prompt, with the task's tools, and take one answer.

    Nobody carries calls out, so they stay in the answer's text, which the reward reads as it was sampled.
    """

    task: Task

    @property
    def tools(self) -> Sequence[Tool]:
        return self.task.tools

    @property
    def reads_calls(self) -> bool:
        return False

    async def start(self) -> tuple[Message, ...]:
        return self.task.prompt

    async def step(self, message: Message) -> EpisodeStep:
        return EpisodeStep(done=True)
