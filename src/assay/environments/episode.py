"""The Episode protocol: one attempt's world. Episodes speak messages, never tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from assay.types import Message, Task


@dataclass(frozen=True)
class EpisodeStep:
    """The environment's answer to one message of the model."""

    messages: tuple[Message, ...] = ()
    """The messages that the model is shown next; empty when done."""
    reward: float = 0.0
    """The reward paid for this turn, for credit over turns. What the whole episode earned is the verifier's word."""
    done: bool = False
    """True where the episode ended of itself (terminated, not truncated)."""


class Episode(Protocol):
    """One episode, single use. `check_episode` holds an implementation to this."""

    async def start(self) -> tuple[Message, ...]:
        """The first messages: usually the task's prompt."""
        ...

    async def step(self, message: Message) -> EpisodeStep:
        """The world's answer to the assistant's message. Never called after `done`."""
        ...

    async def close(self) -> None:
        """Releases what the episode held. Called exactly once, also after a failure."""
        ...


EpisodeFactory = Callable[[Task], Episode]
"""Makes a fresh episode for each rollout, such as `environment.episode`."""


@dataclass
class SingleTurn:
    """A single-turn task as a one-step episode: show the prompt, take one answer."""

    task: Task

    async def start(self) -> tuple[Message, ...]:
        return self.task.prompt

    async def step(self, message: Message) -> EpisodeStep:
        return EpisodeStep(done=True)

    async def close(self) -> None:
        return None
