"""One rollout: an environment and a model talking until one of them, or a limit, ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from assay.endpoints.responder import Responder
from assay.engines.engine import Engine, Sampling
from assay.environments.episode import Episode, EpisodeFactory, EpisodeStep
from assay.errors import ContextLengthError, ContractError, FailureKind, classify
from assay.render.renderer import Renderer
from assay.rollout.speaker import Speaker, TextSpeaker, TokenSpeaker
from assay.seeds import derive_seed
from assay.types import Ending, EndingKind, Message, RemoteCompletion, Rollout, Task, Turn

CLOSE_TIMEOUT_SECONDS = 30.0
"""Seconds that an environment may take to close before it is left behind."""

_log = logging.getLogger(__name__)


async def run_rollout(
    task: Task,
    make_episode: EpisodeFactory,
    engine: Engine | Responder,
    renderer: Renderer | None,
    sampling: Sampling,
    *,
    run_seed: int,
    group_id: int,
    index: int,
    max_turns: int = 1,
    seed_label: str = "request",
) -> Rollout:
    """Plays one episode of a task.

    With an engine, the rollout has the tokens and log-probabilities that training needs. With a responder it has
    text alone, and no renderer is used.

    Turn t samples with the seed derive_seed(run_seed, seed_label, group_id, index, t), so a rollout that is played
    again samples the same tokens from the same weights.

    How it ends:

    - FINISHED: the environment says that it is done. Its reason is what a server remarked, such as "refusal".
    - TRUNCATED "length": a completion reached `max_new_tokens`. "context": it, or the next prompt, reached the model's
      context. "turns": the environment wanted to go on after `max_turns`. "content_filter": a server's filter cut it.
      What was said until then is scored. A completion cut short is half a message: it is part of the rollout, but the
      environment never acts on it.
    - BROKEN: something outside the response failed (see `errors.classify`): never scored. Keeps the turns until then.

    The environment is closed once, whatever happens. When cancelled, the request under way is taken back first.

    Raises:
        ContextLengthError: the first prompt is longer than the context; names the task.
        ContractError: the environment is not done and says nothing.
        AssayError: any other failure that a person must act on.
    """

    speaker = _speaker(engine, renderer, sampling)

    async def speak(messages: Sequence[Message], new_messages: Sequence[Message], turn: int) -> Turn:
        request_id = f"{seed_label}/{group_id}/{index}/{turn}"
        seed = derive_seed(run_seed, seed_label, group_id, index, turn)
        return await speaker.speak(messages, new_messages, request_id=request_id, seed=seed)

    turns: list[Turn] = []
    env: Episode | None = None
    try:
        env = make_episode(task)
        ending = await _play(task, env, speak, turns, max_turns, sampling.max_new_tokens)
    except Exception as error:
        if classify(error) is FailureKind.USER:
            raise
        ending = Ending(EndingKind.BROKEN, describe(error))
    finally:
        if env is not None:
            await _close(env)
    return Rollout(task.task_id, group_id, index, tuple(turns), ending)


def _speaker(engine: Engine | Responder, renderer: Renderer | None, sampling: Sampling) -> Speaker:
    if isinstance(engine, Responder):
        return TextSpeaker(engine, sampling)
    if renderer is None:
        raise ValueError("an engine speaks tokens: it needs a renderer")
    return TokenSpeaker(engine, renderer, sampling)


async def _play(
    task: Task,
    env: Episode,
    speak: Callable[[Sequence[Message], Sequence[Message], int], Awaitable[Turn]],
    turns: list[Turn],
    max_turns: int,
    max_new_tokens: int,
) -> Ending:
    """Adds to `turns` until the episode ends, and says how it did."""
    messages: list[Message] = []
    new_messages = _messages(env, "start", await env.start())
    while True:
        try:
            turn = await speak(messages, new_messages, len(turns))
        except ContextLengthError as error:
            if turns:
                return Ending(EndingKind.TRUNCATED, "context")
            raise ContextLengthError(
                f"the prompt of task {task.task_id} of {task.domain!r} {error}; "
                f"leave out such tasks or use a model with a longer context"
            ) from error
        turns.append(turn)
        messages += [*new_messages, turn.message]
        completion = turn.completion
        remark = completion.remark if isinstance(completion, RemoteCompletion) else ""
        if completion.finish_reason == "abort":
            unknown = (
                f"the server's finish reason {remark!r} is not known, so whether the answer is whole is not either; "
                "say what it means in the endpoint's finish_reasons"
            )
            return Ending(EndingKind.BROKEN, unknown if remark else "the engine gave the request up")
        if completion.finish_reason == "length":
            at_token_limit = completion.num_tokens is None or completion.num_tokens >= max_new_tokens
            limit = "length" if at_token_limit else "context"
            return Ending(EndingKind.TRUNCATED, remark if remark == "content_filter" else limit)

        step = await env.step(turn.message)
        if not isinstance(step, EpisodeStep):
            raise ContractError(f"{type(env).__name__}.step returned {step!r:.80}; return an EpisodeStep")
        new_messages = _messages(env, "step", step.messages)
        turns[-1] = replace(turn, env_messages=new_messages, env_reward=float(step.reward))
        if step.done:
            return Ending(EndingKind.FINISHED, remark)
        if not new_messages:
            raise ContractError(
                f"{type(env).__name__}.step answered no message and is not done; return a message or done=True"
            )
        if len(turns) >= max_turns:
            return Ending(EndingKind.TRUNCATED, "turns")


def _messages(env: Episode, method: str, given: object) -> tuple[Message, ...]:
    """What an environment said. Something else than messages is a mistake in its code: no retry mends it."""
    if not isinstance(given, list | tuple) or not all(isinstance(message, Message) for message in given):
        raise ContractError(f"{type(env).__name__}.{method} gave {given!r:.80}; give a tuple of Message")
    return tuple(given)


async def _close(env: Episode) -> None:
    """Closes an environment; that it fails to is on record, and takes nothing from what was measured."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
            await env.close()
    except Exception as error:
        if classify(error) is FailureKind.USER:
            raise
        _log.warning("%s did not close: %s", type(env).__name__, describe(error))


def describe(error: BaseException) -> str:
    """An error in one bounded line."""
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
