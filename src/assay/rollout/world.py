"""World: an episode as the runner holds it, with whatever it does wrong turned into a failure of a known kind."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from assay.environments.driven import DrivenEpisode
from assay.environments.episode import Episode, EpisodeFactory, EpisodeStep
from assay.environments.tools import call_limit
from assay.errors import FailureKind, InfrastructureError, WorldError, classify
from assay.rollout.timeouts import Timeouts
from assay.serving.conversation import Conversation
from assay.types import Ending, Message, Score, Task, Tool

CLOSE_TIMEOUT_SECONDS = 30.0
"""Seconds that an environment may take to close before it is left behind."""
MAX_CHARACTERS = 1_000_000
"""Characters that an environment may give at once: messages, the name of a state, descriptions of tools, the text of a
score. More is a failure of the environment."""

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class WorldMessages:
    """Messages of an environment, checked, with what came with them."""

    messages: tuple[Message, ...]
    state: str
    """Name of the state that the next turn starts from; empty where the environment names none."""
    reward: float | None = None
    done: bool = False
    restart: bool = False


class World:
    """One episode of a task.

    Whatever the episode raises, apart from what a person must act on, comes out as an InfrastructureError that names
    the boundary it crossed; so do an answer that takes too long, is of the wrong type, or is of no bounded size.
    """

    def __init__(
        self, make_episode: EpisodeFactory, task: Task, timeouts: Timeouts, step_timeout_seconds: float | None
    ) -> None:
        self.closing = False
        """True from the call of `close` on."""
        self._timeouts = timeouts
        # A tool call's time stands still while somebody trains, as the other limits' does.
        call_limit.set(timeouts.limit)
        self._step_timeout_seconds = step_timeout_seconds
        try:
            self.episode: Episode = make_episode(task)
        except (Exception, SystemExit) as error:
            raise _typed(error) from error
        self._name = type(self.episode).__name__

    async def start(self) -> WorldMessages:
        """The first messages."""
        given = await self._ask("start", lambda: self.episode.start())
        with self._reading("start"):
            messages = self._messages("start", given)
        if not messages:
            raise WorldError(f"{self._name}.start gave no message: the model has nothing to answer")
        return WorldMessages(messages, "")

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The tools of the episode, once it has started."""
        try:
            tools = tuple(self.episode.tools)
        except (Exception, SystemExit) as error:
            raise _typed(error) from error
        with self._reading("tools"):
            if not all(isinstance(tool, Tool) for tool in tools):
                raise WorldError(f"{self._name}.tools gave {tools!r:.80}; give a sequence of Tool")
            names = [tool.name for tool in tools]
            if len(set(names)) < len(names):
                raise WorldError(f"{self._name}.tools gave two tools of one name: {', '.join(names):.200}")
            self._bounded("tools", json.dumps([tool.to_dict() for tool in tools]))
        return tools

    @property
    def reads_calls(self) -> bool:
        """True where the episode takes calls as data; False where they stay in the answer's text."""
        return self.episode.reads_calls

    async def step(self, message: Message) -> WorldMessages:
        """The world's answer to the assistant's message."""
        step = await self._ask("step", lambda: self.episode.step(message))
        with self._reading("step"):
            return self._read_step(step)

    def _read_step(self, step: object) -> WorldMessages:
        if not isinstance(step, EpisodeStep):
            raise WorldError(f"{self._name}.step returned {step!r:.80}; return an EpisodeStep")
        messages = self._messages("step", step.messages)
        reward = step.reward
        if reward is not None and (not isinstance(reward, int | float) or not math.isfinite(reward)):
            raise WorldError(f"{self._name}.step paid {reward!r:.80} for a turn; a reward is a finite number, or None")
        if not step.done and not messages:
            raise WorldError(f"{self._name}.step answered no message and is not done; return a message or done=True")
        self._bounded("step", str(step.state))
        paid = None if reward is None else float(reward)
        return WorldMessages(messages, str(step.state), paid, bool(step.done), bool(step.restart))

    async def drive(self, conversation: Conversation) -> Ending:
        """Let an episode that asks the model itself play, and return how it ended."""
        assert isinstance(self.episode, DrivenEpisode), "the others are stepped"
        episode = self.episode
        ending = await _typed_failures(lambda: episode.drive(conversation))
        if not isinstance(ending, Ending):
            raise WorldError(f"{self._name}.drive returned {ending!r:.80}; return an Ending")
        return ending

    async def score(self) -> Score | None:
        """Return the episode's own score."""
        score = await self._ask("score", lambda: self.episode.score())
        with self._reading("score"):
            if score is not None and not isinstance(score, Score):
                raise WorldError(f"{self._name}.score returned {score!r:.80}; return a Score, or None")
            if score is not None:
                self._bounded("score", json.dumps(score.to_dict()))
        return score

    async def close(self) -> None:
        """Close the episode; that it fails to is on record, and takes nothing from what was measured."""
        self.closing = True
        try:
            async with self._timeouts.limit(CLOSE_TIMEOUT_SECONDS):
                await _typed_failures(lambda: self.episode.close())
        except Exception as error:
            if classify(error) is FailureKind.USER:
                raise
            cause = error.__cause__ if isinstance(error, WorldError) and error.__cause__ else error
            _log.warning("%s did not close: %s", self._name, describe(cause))

    async def _ask(self, method: str, ask: Callable[[], Awaitable[_Answer]]) -> _Answer:
        try:
            async with self._timeouts.limit(self._step_timeout_seconds):
                return await _typed_failures(ask)
        except TimeoutError:
            raise WorldError(
                f"{self._name}.{method} did not answer in {self._step_timeout_seconds:g} seconds "
                "(limits.step_timeout_seconds)"
            ) from None

    def _messages(self, method: str, given: object) -> tuple[Message, ...]:
        if not isinstance(given, list | tuple) or not all(isinstance(message, Message) for message in given):
            raise WorldError(f"{self._name}.{method} gave {given!r:.80}; give a tuple of Message")
        for message in given:
            if not isinstance(message.content, str) or not isinstance(message.role, str):
                raise WorldError(f"{self._name}.{method} gave {message!r:.80}; role and content of a Message are text")
        self._bounded(method, *(text for each in given for text in (each.role, each.text, each.name)))
        return tuple(given)

    def _bounded(self, method: str, *texts: str) -> None:
        size = sum(map(len, texts))
        if size > MAX_CHARACTERS:
            raise WorldError(
                f"{self._name}.{method} said {size:,} characters at once; at most {MAX_CHARACTERS:,} are taken: "
                "shorten what the model is shown"
            )

    @contextmanager
    def _reading(self, method: str) -> Iterator[None]:
        """Whatever goes wrong in reading what an episode gave is a failure of the episode."""
        try:
            yield
        except InfrastructureError:
            raise
        except Exception as error:
            raise WorldError(f"{self._name}.{method} gave what cannot be read: {describe(error)}") from error


async def _typed_failures(ask: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """Ask an episode. Its own TimeoutError, cancellation or exit is a failure like others, and none of ours."""
    task = asyncio.current_task()
    assert task is not None, "rollouts are played in a task"
    num_cancels = task.cancelling()
    try:
        return await ask()
    except asyncio.CancelledError as error:
        if task.cancelling() > num_cancels:
            raise
        raise WorldError("what the episode waited for was cancelled, and not by the run") from error
    except (Exception, SystemExit) as error:
        raise _typed(error) from error


def _typed(error: Exception | SystemExit) -> Exception:
    """Return an episode's failure as one that names its boundary; what a person must act on as it is."""
    if isinstance(error, SystemExit):
        return WorldError(f"the episode tried to end the program: {describe(error)}")
    if isinstance(error, InfrastructureError) or classify(error) is FailureKind.USER:
        return error
    return WorldError(describe(error))


def describe(error: BaseException) -> str:
    """An error in one bounded line."""
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
