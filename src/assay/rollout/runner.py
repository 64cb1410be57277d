"""One rollout: an environment and a model talking until one of them, or a limit, ends it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

from assay.endpoints.responder import Responder
from assay.engines.engine import Engine, Sampling
from assay.environments.driven import DrivenEpisode
from assay.environments.episode import EpisodeFactory
from assay.environments.script import Script
from assay.errors import (
    ContextLengthError,
    EngineError,
    FailureKind,
    InfrastructureError,
    WorldError,
    boundary_of,
    classify,
)
from assay.render.renderer import Renderer
from assay.rollout.driven import drive
from assay.rollout.limits import EpisodeLimits
from assay.rollout.requests import Requests
from assay.rollout.speaker import Offered, ScriptSpeaker, Speaker, TextSpeaker, TokenSpeaker
from assay.rollout.timeouts import Timeouts
from assay.rollout.world import World, WorldMessages, describe
from assay.types import Completion, Ending, EndingKind, Message, RemoteCompletion, Rollout, Score, Task, Turn

MaxTurns = int | Callable[[Task], int]
"""Turns after which an episode is truncated: of every task, or of the task that is given."""


async def run_rollout(
    task: Task,
    make_episode: EpisodeFactory,
    engine: Engine | Responder | Script,
    renderer: Renderer | None,
    sampling: Sampling,
    *,
    run_seed: int,
    group_id: int,
    member: int,
    max_turns: MaxTurns = 1,
    limits: EpisodeLimits = EpisodeLimits(),  # noqa: B008, frozen
    timeouts: Timeouts | None = None,
    seed_label: str = "request",
) -> Rollout:
    """Plays one episode of a task.

    With an engine, the rollout has the tokens and log-probabilities that training needs. With a responder it has
    text alone, and no renderer is used. A script plays as text, or with a renderer as the tokens of a demonstration.

    Turn t samples with the seed derive_seed(run_seed, seed_label, group_id, member, t), so a rollout that is played
    again samples the same tokens from the same weights.

    How it ends:

    - FINISHED: the environment says that it is done. Its reason is what a server remarked, such as "refusal".
    - TRUNCATED "length": a completion reached `max_new_tokens`. "tokens": the episode reached `limits.max_tokens`.
      "context": a completion or the next prompt reached the model's context or `limits.max_context`. "turns", "time":
      the environment wanted to go on after `max_turns`, `limits.max_seconds`. "content_filter": a server's filter cut
      it. What was said until then is scored; on a completion cut short, half a message, the environment never acts.
    - BROKEN: something outside the response failed (see `errors.classify`): never scored. Keeps the turns until then,
      and names the boundary that the failure crossed.

    An episode that asks the model itself (`DrivenEpisode`) says how it ended; a limit ends it as above, apart from
    "length" and "context", which it is told of and may go on from.

    The environment is closed once, whatever happens. When cancelled, the request under way is taken back first.

    Args:
        max_turns: the environment's own limit, of all tasks or of each, where `limits` names none.
        timeouts: the clock of the limits in time, paused by whoever trains meanwhile; None for one that runs on.

    Raises:
        ContextLengthError: the first prompt is longer than the context; names the task.
        AssayError: any other failure that a person must act on.
    """
    if renderer is None and not isinstance(engine, Responder | Script):
        raise ValueError("an engine speaks tokens: it needs a renderer")
    timeouts = timeouts or Timeouts()
    requests = Requests(seed_label, run_seed, group_id, member)
    world: World | None = None

    async def play() -> Rollout:
        nonlocal world, limits
        turns: list[Turn] = []
        score: Score | None = None
        try:
            limits = limits.model_copy(update={"max_turns": limits.max_turns or own_turns(max_turns, task)})
            world = World(make_episode, task, timeouts, limits.step_timeout_seconds)
            if isinstance(world.episode, DrivenEpisode):
                ending = await drive(world, engine, renderer, sampling, requests, limits, timeouts, turns)
            else:
                opening = await world.start()
                speaker = _speaker(engine, renderer, sampling, world, limits.max_context)
                course = _Play(world, speaker, requests, turns, limits, timeouts, sampling.max_new_tokens)
                ending = await course.to_the_end(opening)
            score = await world.score()
        except ContextLengthError as error:
            raise _too_long(task, error) from error
        except Exception as error:
            if classify(error) is FailureKind.USER:
                raise
            ending = Ending(EndingKind.BROKEN, describe(error), boundary_of(error, "engine"))
        finally:
            if world is not None:
                await world.close()
        return Rollout(task.task_id, group_id, member, tuple(turns), ending, score)

    return await _closing_whole(play(), lambda: world is not None and world.closing)


def own_turns(max_turns: MaxTurns, task: Task) -> int:
    """Return the environment's own limit.

    Raises:
        WorldError: it gives none, or one that is no whole number from 1 on.
    """
    if isinstance(max_turns, int):
        return max_turns
    try:
        turns: object = max_turns(task)
    except Exception as error:
        if classify(error) is FailureKind.USER or isinstance(error, InfrastructureError):
            raise
        raise WorldError(f"the turns of the task cannot be told: {describe(error)}") from error
    if not isinstance(turns, int) or turns < 1:
        raise WorldError(f"the turns of the task are {turns!r:.80}; they are a whole number from 1 on")
    return turns


def _too_long(task: Task, error: ContextLengthError) -> ContextLengthError:
    dials = (("complexity", task.complexity), ("horizon", task.horizon))
    level = ", ".join(f"{name} {dial:g}" for name, dial in dials if dial is not None)
    return ContextLengthError(
        f"the prompt of task {task.task_id} of {task.domain!r}{level and f' ({level})'} {error}; "
        "leave out such tasks or use a model with a longer context"
    )


async def _closing_whole(play: Coroutine[Any, Any, Rollout], is_closing: Callable[[], bool]) -> Rollout:
    """Play, and hand a cancellation on, once, unless the world is closing by then: that is waited for.

    All of an episode stays in one task, which clients that an environment opens and closes may rely on.
    """
    playing = asyncio.create_task(play)
    cancelled: asyncio.CancelledError | None = None
    while not playing.done():
        try:
            await asyncio.wait([playing])
        except asyncio.CancelledError as error:
            if cancelled is None and not is_closing():
                playing.cancel()
            cancelled = error
    if cancelled is not None:
        # What went wrong meanwhile is nobody's concern any more.
        await asyncio.gather(playing, return_exceptions=True)
        raise cancelled
    return playing.result()


def _speaker(
    engine: Engine | Responder | Script,
    renderer: Renderer | None,
    sampling: Sampling,
    world: World,
    max_context: int | None,
) -> Speaker:
    tools = Offered(world.tools, read=world.reads_calls)
    if isinstance(engine, Responder):
        return TextSpeaker(engine, sampling, tools=tools)
    if isinstance(engine, Script):
        return ScriptSpeaker(engine, renderer, tools)
    assert renderer is not None
    return TokenSpeaker(engine, renderer, sampling, tools=tools, max_context=max_context)


@dataclass
class _Play:
    """An episode as it goes on."""

    world: World
    speaker: Speaker
    requests: Requests
    turns: list[Turn]
    """The turns until now, of whoever reads them after a failure too."""
    limits: EpisodeLimits
    timeouts: Timeouts
    max_new_tokens: int

    async def to_the_end(self, opening: WorldMessages) -> Ending:
        """Add to `turns` until the episode ends, and return how it did."""
        messages: list[Message] = []
        new, deadline = opening, self.timeouts.now() + (self.limits.max_seconds or math.inf)
        num_tokens = 0
        while True:
            allowed = self.max_new_tokens
            if self.limits.max_tokens is not None:
                allowed = min(allowed, self.limits.max_tokens - num_tokens)
            turn = await self._turn(messages, new.messages, allowed, deadline)
            if isinstance(turn, Ending):
                return turn
            self.turns.append(replace(turn, state=new.state))
            messages += [*new.messages, turn.message]
            num_tokens += len(turn.completion.token_ids)
            if ending := self._cut_short(turn.completion, allowed):
                return ending

            step = await self.world.step(turn.message)
            self.turns[-1] = replace(self.turns[-1], env_messages=step.messages, env_reward=step.reward)
            if step.done:
                return Ending(EndingKind.FINISHED, _remark(turn.completion))
            if len(self.turns) >= (self.limits.max_turns or 1):
                return Ending(EndingKind.TRUNCATED, "turns")
            if self.limits.max_tokens is not None and num_tokens >= self.limits.max_tokens:
                return Ending(EndingKind.TRUNCATED, "tokens")
            new = step
            if step.restart:
                messages = []

    async def _turn(
        self, messages: Sequence[Message], new_messages: Sequence[Message], allowed: int, deadline: float
    ) -> Turn | Ending:
        """Return the next turn, or the ending where a limit leaves no room for it."""
        seconds = deadline - self.timeouts.now()
        try:
            if seconds <= 0:
                raise TimeoutError
            async with self.timeouts.limit(None if math.isinf(seconds) else seconds):
                return await self._speak(messages, new_messages, allowed)
        except ContextLengthError:
            if not self.turns:
                raise
            return Ending(EndingKind.TRUNCATED, "context")
        except TimeoutError:
            if not self.turns:
                cause = f"the first turn did not end in the episode's {self.limits.max_seconds:g} seconds"
                return Ending(EndingKind.BROKEN, cause, "engine")
            return Ending(EndingKind.TRUNCATED, "time")

    async def _speak(self, messages: Sequence[Message], new_messages: Sequence[Message], allowed: int) -> Turn:
        number = len(self.turns)
        try:
            return await self.speaker.speak(
                messages,
                new_messages,
                request_id=f"{self.requests.name}/{number}",
                seed=self.requests.seed(number),
                max_new_tokens=allowed,
            )
        except TimeoutError as error:  # the speaker's own, and no limit of the episode's
            raise EngineError(describe(error)) from error

    def _cut_short(self, completion: Completion, allowed: int) -> Ending | None:
        """Return the ending where the completion is no whole message."""
        remark = _remark(completion)
        if completion.finish_reason == "abort":
            unknown = (
                f"the server's finish reason {remark!r} is not known, so whether the answer is whole is not either; "
                "say what it means in the endpoint's finish_reasons"
            )
            if remark:
                return Ending(EndingKind.BROKEN, unknown, "server")
            return Ending(EndingKind.BROKEN, "the engine gave the request up", "engine")
        if completion.finish_reason != "length":
            return None
        at_token_limit = completion.num_tokens is None or completion.num_tokens >= allowed
        limit = ("length" if allowed == self.max_new_tokens else "tokens") if at_token_limit else "context"
        return Ending(EndingKind.TRUNCATED, remark if remark == "content_filter" else limit)


def _remark(completion: Completion) -> str:
    return completion.remark if isinstance(completion, RemoteCompletion) else ""
