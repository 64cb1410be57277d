"""Reflect: an attempt, a look at it, and a revision, as in self-refine (Madaan et al. 2023,
https://arxiv.org/abs/2303.17651)."""

from __future__ import annotations

from typing import Literal

import pydantic

from assay.environments import Episode, EpisodeStep
from assay.scaffolds.scaffold import Scaffold, Scaffolded
from assay.types import Message, Task

CHECK = Message("user", "Check that. If it is right, say it again; if not, say it right. Say nothing else.")


class Reflect(Scaffold):
    """Each message for the world is first only an attempt: the model is asked to check it, and what it says then is
    passed on. Calls of tools are passed on at once: the world is their check."""

    name: Literal["reflect"] = "reflect"
    rounds: int = pydantic.Field(default=1, ge=1, le=8)
    """Times that the model is asked to check before the world sees its message."""

    def around(self, episode: Episode, task: Task) -> Episode:
        return _Reflected(episode, self.rounds)

    def max_turns(self, of_the_world: int) -> int:
        return of_the_world * (1 + self.rounds)


class _Reflected(Scaffolded):
    def __init__(self, inner: Episode, rounds: int) -> None:
        super().__init__(inner)
        self._rounds = rounds
        self._left = rounds

    async def step(self, message: Message) -> EpisodeStep:
        if self._left and not message.tool_calls and not message.call_errors:
            self._left -= 1
            return EpisodeStep((CHECK,))
        self._left = self._rounds
        return await self.inner.step(message)
