"""World: an episode as the runner holds it, with whatever it does wrong turned into a failure of a known kind."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from assay.environments.driven import DrivenEpisode
from assay.environments.episode import Episode, EpisodeFactory, EpisodeStep
from assay.errors import FailureKind, InfrastructureError, WorldError, classify
from assay.rollout.timeouts import Timeouts
from assay.serving.conversation import Conversation
from assay.types import Ending, Message, Score, Task, Tool

CLOSE_TIMEOUT_SECONDS = 30.0
"""Seconds that an environment may take to close before it is left behind."""
MAX_CHARACTERS = 1_000_000
"""Characters that an environment may say at once; more is a failure of the environment."""

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class WorldMessages:
    """What an environment said, checked."""

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
        self._timeouts = timeouts
        self._step_timeout_seconds = step_timeout_seconds
        try:
            self.episode: Episode = make_episode(task)
        except Exception as error:
            raise _typed(error) from error
        self._name = type(self.episode).__name__

    async def start(self) -> WorldMessages:
        """The first messages."""
        messages = self._messages("start", await self._ask("start", self.episode.start()))
        if not messages:
            raise WorldError(f"{self._name}.start gave no message: the model has nothing to answer")
        return WorldMessages(messages, "")

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The tools of the episode, once it has started."""
        try:
            tools = tuple(self.episode.tools)
        except Exception as error:
            raise _typed(error) from error
        if not all(isinstance(tool, Tool) for tool in tools):
            raise WorldError(f"{self._name}.tools gave {tools!r:.80}; give a sequence of Tool")
        return tools

    async def step(self, message: Message) -> WorldMessages:
        """The world's answer to the assistant's message."""
        step = await self._ask("step", self.episode.step(message))
        if not isinstance(step, EpisodeStep):
            raise WorldError(f"{self._name}.step returned {step!r:.80}; return an EpisodeStep")
        messages = self._messages("step", step.messages)
        reward = step.reward
        if reward is not None and (not isinstance(reward, int | float) or not math.isfinite(reward)):
            raise WorldError(f"{self._name}.step paid {reward!r:.80} for a turn; a reward is a finite number, or None")
        if not step.done and not messages:
            raise WorldError(f"{self._name}.step answered no message and is not done; return a message or done=True")
        paid = None if reward is None else float(reward)
        return WorldMessages(messages, str(step.state), paid, bool(step.done), bool(step.restart))

    async def drive(self, conversation: Conversation) -> Ending:
        """Let an episode that asks the model itself play, and return how it ended."""
        assert isinstance(self.episode, DrivenEpisode), "the others are stepped"
        try:
            ending = await self.episode.drive(conversation)
        except Exception as error:
            raise _typed(error) from error
        if not isinstance(ending, Ending):
            raise WorldError(f"{self._name}.drive returned {ending!r:.80}; return an Ending")
        return ending

    async def score(self) -> Score | None:
        """What the episode says that was earned."""
        score = await self._ask("score", self.episode.score())
        if score is not None and not isinstance(score, Score):
            raise WorldError(f"{self._name}.score returned {score!r:.80}; return a Score, or None")
        return score

    async def close(self) -> None:
        """Close the episode; that it fails to is on record, and takes nothing from what was measured."""
        try:
            async with Timeouts().limit(CLOSE_TIMEOUT_SECONDS):
                await self.episode.close()
        except Exception as error:
            if classify(error) is FailureKind.USER:
                raise
            _log.warning("%s did not close: %s", self._name, describe(error))

    async def _ask(self, method: str, answer: Awaitable[_Answer]) -> _Answer:
        try:
            async with self._timeouts.limit(self._step_timeout_seconds):
                return await _typed_failures(answer)
        except TimeoutError:
            raise WorldError(
                f"{self._name}.{method} did not answer in {self._step_timeout_seconds:g} seconds "
                "(limits.step_timeout_seconds)"
            ) from None

    def _messages(self, method: str, given: object) -> tuple[Message, ...]:
        if not isinstance(given, list | tuple) or not all(isinstance(message, Message) for message in given):
            raise WorldError(f"{self._name}.{method} gave {given!r:.80}; give a tuple of Message")
        size = sum(len(message.content) for message in given)
        if size > MAX_CHARACTERS:
            raise WorldError(
                f"{self._name}.{method} said {size:,} characters at once; at most {MAX_CHARACTERS:,} are taken: "
                "shorten what the model is shown"
            )
        return tuple(given)


async def _typed_failures(answer: Awaitable[_Answer]) -> _Answer:
    """Wait for an episode's answer. Its own TimeoutError is a failure like others, and no limit of ours."""
    try:
        return await answer
    except Exception as error:
        raise _typed(error) from error


def _typed(error: Exception) -> Exception:
    """Return an episode's failure as one that names its boundary; what a person must act on as it is."""
    if isinstance(error, InfrastructureError) or classify(error) is FailureKind.USER:
        return error
    return WorldError(describe(error))


def describe(error: BaseException) -> str:
    """An error in one bounded line."""
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
