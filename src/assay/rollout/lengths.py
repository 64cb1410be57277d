"""Lengths of a run's episodes in tokens, as far as they are known before one is played."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from assay.engines.engine import Sampling
from assay.environments import Environment
from assay.environments.driven import DrivenEpisode
from assay.environments.episode import EpisodeFactory
from assay.errors import AssayError
from assay.render.renderer import Renderer
from assay.rollout.limits import EpisodeLimits
from assay.rollout.runner import own_turns
from assay.rollout.timeouts import Timeouts
from assay.rollout.world import World
from assay.scaffolds import Scaffold
from assay.types import Message, Task, Tool

PROMPT_TOKENS = 256
"""Tokens that a first prompt is taken as before any has been rendered."""
OBSERVATION_TOKENS = 64
"""Tokens that an answer of the environment is taken as: nobody knows what it will say."""
MAX_EXAMPLES = 4
"""Tasks that are looked at, the last of those that are given."""
START_SECONDS = 30.0
"""Seconds that an episode may take to start where only its prompt is looked at."""


@dataclass(frozen=True)
class EpisodeLengths:
    """Lengths of the longest episode that a run is taken to have."""

    prompt: int
    """Tokens of the first prompt."""
    turns: int
    """Turns until it is truncated."""
    max_new_tokens: int
    """Most tokens sampled in a turn."""
    bound: int
    """Most tokens of the episode: the model's context, or the recipe's limit on it."""
    max_sampled: int | None = None
    """Most tokens sampled in the episode; None for no limit of its own."""

    @property
    def sampled(self) -> int:
        """Number of tokens that are sampled in the episode."""
        sampled = self.turns * self.max_new_tokens
        return sampled if self.max_sampled is None else min(sampled, self.max_sampled)

    @property
    def whole(self) -> int:
        """Number of tokens of the episode: its prompt, and of each turn what is sampled, and what the world answers to
        all but the last."""
        return min(self.bound, self.prompt + self.sampled + (self.turns - 1) * OBSERVATION_TOKENS)

    def line(self) -> str:
        """The lengths in words."""
        if self.turns == 1:
            return f"{self.whole:,} tokens: a prompt of {self.prompt:,} and a response"
        answers = f"answers of the environment taken as {OBSERVATION_TOKENS}"
        at_most = "" if self.whole < self.bound else f", cut off at {self.bound:,}"
        return f"{self.whole:,} tokens: a prompt of {self.prompt:,}, {self.turns} turns, {answers}{at_most}"


def unknown_lengths(sampling: Sampling, limits: EpisodeLimits, max_context: int, turns: int = 1) -> EpisodeLengths:
    """Return the lengths before any task is known."""
    bound = min(max_context, limits.max_context or max_context)
    turns = limits.max_turns or turns
    return EpisodeLengths(min(PROMPT_TOKENS, bound), turns, sampling.max_new_tokens, bound, limits.max_tokens)


async def episode_lengths(
    tasks: Sequence[Task],
    environment: Environment,
    scaffold: Scaffold,
    renderer: Renderer,
    sampling: Sampling,
    limits: EpisodeLimits,
    max_context: int,
) -> EpisodeLengths:
    """Return the lengths of the longest episode of some tasks, by their first prompts and their limits of turns.

    Episodes are started and closed again, for a scaffold's words and the tools are part of a prompt. One that fails
    counts as its task's own prompt.
    """
    some, turns_of = tasks[-MAX_EXAMPLES:], scaffold.turns(environment)
    if not some:
        return unknown_lengths(sampling, limits, max_context)
    most = max(own_turns(turns_of, task) for task in some)
    lengths = unknown_lengths(sampling, limits, max_context, most)
    make_episode = scaffold.episodes(environment)
    # In tasks of their own, as rollouts are: what a world sets for its tools is set there alone.
    openings = [await asyncio.create_task(_opening(task, make_episode)) for task in some]
    longest = max(len(renderer.render(*opening)) for opening in openings)
    return replace(lengths, prompt=min(longest, lengths.bound))


async def _opening(task: Task, make_episode: EpisodeFactory) -> tuple[tuple[Message, ...], tuple[Tool, ...]]:
    """Return the first messages of a task's episode, and its tools."""
    # What is wrong with a world is said when it is played, by a run that has its folder and can go on.
    try:
        world = World(make_episode, task, Timeouts(), START_SECONDS)
    except AssayError:
        return task.prompt, ()
    try:
        if isinstance(world.episode, DrivenEpisode):
            return task.prompt, ()  # an agent of somebody's own makes its prompts itself, from the task
        return (await world.start()).messages, world.tools
    except AssayError:
        return task.prompt, ()
    finally:
        await world.close()
