"""The Env protocol: a world that a rollout happens in. Environments speak messages, never tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from assay.types import Message, Task


@dataclass(frozen=True)
class EnvStep:
    """What an environment answers to one message of the model."""

    messages: tuple[Message, ...] = ()
    """What the model is shown next; empty when done."""
    reward: float = 0.0
    """Paid for this step. The verifier decides what the episode earned; one may simply add these up."""
    done: bool = False
    """The episode ended of itself (terminated, not truncated)."""


class Env(Protocol):
    """One episode, single use. `check_env` holds an implementation to this."""

    async def start(self) -> tuple[Message, ...]:
        """The first messages: usually the task's prompt."""
        ...

    async def step(self, message: Message) -> EnvStep:
        """Answers the assistant's message. Never called after `done`."""
        ...

    async def close(self) -> None:
        """Releases what the episode held. Called exactly once, also after a failure."""
        ...


EnvFactory = Callable[[Task], Env]
"""Makes a fresh environment for each rollout; all members of a group start from the same state."""


@dataclass
class SingleTurn:
    """A single-turn task as a one-step environment: show the prompt, take one answer."""

    task: Task

    async def start(self) -> tuple[Message, ...]:
        return self.task.prompt

    async def step(self, message: Message) -> EnvStep:
        return EnvStep(done=True)

    async def close(self) -> None:
        return None
