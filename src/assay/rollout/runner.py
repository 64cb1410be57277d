"""One rollout: an environment and a model talking until one of them, or a limit, ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from assay.engines.engine import Engine, Sampling
from assay.envs.env import Env, EnvFactory
from assay.errors import ContextLengthError, ContractError, EngineError, FailureKind, classify
from assay.render.renderer import Renderer
from assay.seeds import derive_seed
from assay.types import Completion, Ending, EndingKind, Message, Rollout, Task, Turn

CLOSE_TIMEOUT_SECONDS = 30.0
"""How long an environment may take to close before it is left behind."""

_log = logging.getLogger(__name__)


async def run_rollout(
    task: Task,
    env_factory: EnvFactory,
    engine: Engine,
    renderer: Renderer,
    sampling: Sampling,
    *,
    run_seed: int,
    group_id: int,
    index: int,
    max_turns: int = 1,
    seed_label: str = "request",
) -> Rollout:
    """Plays one episode of a task.

    Turn t samples with the seed derive_seed(run_seed, seed_label, group_id, index, t), so a rollout that is played
    again samples the same tokens from the same weights.

    How it ends:

    - FINISHED: the environment says that it is done.
    - TRUNCATED "length": a completion reached `max_new_tokens`. "context": it, or the next prompt, reached the model's
      context. "turns": the environment wanted to go on after `max_turns`. What was said until then is scored.
      A completion cut short is half a message: it is part of the rollout, but the environment never acts on it.
    - BROKEN: something outside the response failed (see `errors.classify`): never scored. Keeps the turns until then.

    The environment is closed once, whatever happens. When cancelled, the request under way is taken back first.

    Raises:
        ContextLengthError: the first prompt is longer than the context; names the task.
        ContractError: the environment is not done and says nothing.
        AssayError: any other failure that a person must act on.
    """

    async def sample(prompt_ids: Sequence[int], turn: int) -> Completion:
        request_id = f"{seed_label}/{group_id}/{index}/{turn}"
        seed = derive_seed(run_seed, seed_label, group_id, index, turn)
        return await _generate(engine, prompt_ids, sampling, request_id, seed)

    turns: list[Turn] = []
    env: Env | None = None
    try:
        env = env_factory(task)
        ending = await _play(task, env, renderer, sample, turns, max_turns, sampling.max_new_tokens)
    except Exception as error:
        if classify(error) is FailureKind.USER:
            raise
        ending = Ending(EndingKind.BROKEN, describe(error))
    finally:
        if env is not None:
            await _close(env)
    return Rollout(task.task_id, group_id, index, tuple(turns), ending)


async def _play(
    task: Task,
    env: Env,
    renderer: Renderer,
    sample: Callable[[Sequence[int], int], Awaitable[Completion]],
    turns: list[Turn],
    max_turns: int,
    max_new_tokens: int,
) -> Ending:
    """Adds to `turns` until the episode ends, and says how it did."""
    messages: list[Message] = list(await env.start())
    token_ids: list[int] = []
    new_token_ids, extends_previous = renderer.render(messages), False
    while True:
        token_ids = [*token_ids, *new_token_ids] if extends_previous else list(new_token_ids)
        try:
            completion = await sample(token_ids, len(turns))
        except ContextLengthError as error:
            if turns:
                return Ending(EndingKind.TRUNCATED, "context")
            raise ContextLengthError(
                f"the prompt of task {task.task_id} of domain {task.domain!r} has {len(token_ids)} tokens: {error}; "
                f"leave out such tasks or use a model with a longer context"
            ) from error
        message = renderer.parse(completion.token_ids)
        turns.append(Turn(tuple(new_token_ids), extends_previous, completion, message))
        if completion.finish_reason == "abort":
            return Ending(EndingKind.BROKEN, "the engine gave the request up")
        if completion.finish_reason == "length":
            at_token_limit = len(completion.token_ids) >= max_new_tokens
            return Ending(EndingKind.TRUNCATED, "length" if at_token_limit else "context")

        step = await env.step(message)
        turns[-1] = replace(turns[-1], env_messages=tuple(step.messages), env_reward=float(step.reward))
        if step.done:
            return Ending(EndingKind.FINISHED)
        if not step.messages:
            raise ContractError(
                f"{type(env).__name__}.step answered no message and is not done; return a message or done=True"
            )
        if len(turns) >= max_turns:
            return Ending(EndingKind.TRUNCATED, "turns")
        messages.append(message)
        token_ids += completion.token_ids
        extension = renderer.extend(messages, token_ids, step.messages)
        new_token_ids, extends_previous = extension.token_ids, extension.extends_previous
        messages += step.messages


async def _generate(
    engine: Engine, prompt_ids: Sequence[int], sampling: Sampling, request_id: str, seed: int
) -> Completion:
    """One completion; tried once more where the engine says that it failed, which saves the turns so far."""
    try:
        try:
            return await engine.generate(prompt_ids, sampling, request_id=request_id, seed=seed)
        except EngineError:
            return await engine.generate(prompt_ids, sampling, request_id=request_id, seed=seed)
    except asyncio.CancelledError:
        await engine.abort(request_id)
        raise


async def _close(env: Env) -> None:
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
