"""The Scaffold base class: an episode put around a task's own, in message space."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar

import pydantic

from assay.components import Chosen, Component
from assay.environments import Environment, Episode, EpisodeFactory, EpisodeStep
from assay.environments.driven import DrivenEpisode
from assay.errors import ConfigError
from assay.types import Message, Score, Task, Tool


class Scaffolded(Episode):
    """Base class of episodes around another one. A subclass changes what passes between the model and the world.

    It starts, scores and closes as the world inside does, and has its tools.
    """

    def __init__(self, inner: Episode) -> None:
        if isinstance(inner, DrivenEpisode):
            raise ConfigError(
                f"{type(inner).__name__} asks the model itself, and a scaffold has no place between them: leave the "
                "scaffold out, or build it into the agent"
            )
        self.inner = inner

    @property
    def tools(self) -> Sequence[Tool]:
        return self.inner.tools

    @property
    def reads_calls(self) -> bool:
        return self.inner.reads_calls

    async def start(self) -> tuple[Message, ...]:
        return await self.inner.start()

    async def step(self, message: Message) -> EpisodeStep:
        return await self.inner.step(message)

    async def score(self) -> Score | None:
        return await self.inner.score()

    async def close(self) -> None:
        await self.inner.close()


class Scaffold(Component):
    """Base class of scaffolds: frozen settings that put something around an episode.

    A subclass gives `around`, and `max_turns` where the model speaks more often than the world is asked.
    """

    kind: ClassVar[str] = "scaffold"
    modules: ClassVar[tuple[str, ...]] = ("assay.scaffolds",)

    share: float = pydantic.Field(default=1.0, ge=0.0, le=1.0)
    """Share of the training groups that have the scaffold when training begins."""
    final_share: float | None = pydantic.Field(default=None, ge=0.0, le=1.0)
    """The share at the end of training, to which it moves evenly; None: as at the beginning. 0 fades the scaffold out,
    and held-out tasks are then measured without it."""

    def around(self, episode: Episode, task: Task) -> Episode:
        """The episode with the scaffold around it; called once for each attempt."""
        raise NotImplementedError(f"{type(self).__name__} is around nothing: write its method `around`")

    def max_turns(self, of_the_world: int) -> int:
        """Return the number of turns after which an episode is truncated, from that of the environment alone."""
        return of_the_world

    def share_at(self, progress: float) -> float:
        """Return the share of groups with the scaffold when training has come this far, from 0 to 1."""
        last = self.share if self.final_share is None else self.final_share
        return self.share + (last - self.share) * min(max(progress, 0.0), 1.0)

    def episodes(self, environment: Environment) -> EpisodeFactory:
        """Return what makes an environment's episodes with the scaffold around each."""
        return lambda task: self.around(environment.episode(task), task)

    def turns(self, environment: Environment) -> Callable[[Task], int]:
        """Return what gives the number of turns after which an episode with the scaffold is truncated, task by task."""
        return lambda task: self.max_turns(environment.turns_of(task))

    @property
    def persists(self) -> bool:
        """True where what the model leaves in an episode is handed on to the next one of the same stream of tasks: for
        each sample the tasks in their order, whatever ends when."""
        return False

    def handed_on(self, before: tuple[str, ...], said: Sequence[str]) -> tuple[str, ...]:
        """Return what an episode hands on, from what it was handed and what the model said in it: of nothing else, so
        that it follows from what is kept of the episode."""
        return ()

    @property
    def stays(self) -> bool:
        """True where the scaffold is still there at the end of training: then held-out tasks are measured with it."""
        return self.share_at(1.0) > 0.0


HANDED_ON = "handed_on"
"""Key of a task's metadata with what the episode before it in its stream has handed on."""


def with_handed_on(task: Task, handed_on: tuple[str, ...]) -> Task:
    """Return the task with what an earlier episode has handed on, which its scaffold shows the model."""
    return dataclasses.replace(task, metadata={**task.metadata, HANDED_ON: list(handed_on)})


AnyScaffold = Annotated[Scaffold, Chosen()]
"""The type of a settings field that holds a scaffold."""


def with_instruction(messages: tuple[Message, ...], text: str) -> tuple[Message, ...]:
    """Return a conversation's messages with an instruction at the end of its last user's message."""
    for i in reversed(range(len(messages))):
        if messages[i].role == "user":
            told = dataclasses.replace(messages[i], content=f"{messages[i].content}\n\n{text}")
            return (*messages[:i], told, *messages[i + 1 :])
    return (*messages, Message("user", text))


def bounded_lines(text: str, prefix: str, *, max_lines: int, max_characters: int) -> tuple[list[str], str]:
    """Split off the lines that begin with a prefix, upper or lower case alike.

    Returns:
        What follows the prefix in each of the first `max_lines` of them, cut to `max_characters`; and the text without
        any such line.
    """
    found: list[str] = []
    rest: list[str] = []
    for line in text.split("\n"):
        if line.lstrip().lower().startswith(prefix.lower()):
            found.append(line.lstrip()[len(prefix) :].strip()[:max_characters])
        else:
            rest.append(line)
    return [line for line in found if line][:max_lines], "\n".join(rest).strip()
