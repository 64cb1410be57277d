"""Driven rollouts: the world asks the model, through a conversation that keeps its requests as turns."""

from __future__ import annotations

from assay.endpoints.responder import Responder
from assay.engines.engine import Engine, Sampling
from assay.environments.script import Script
from assay.errors import ConfigError, WorldError
from assay.render.renderer import Renderer
from assay.rollout.limits import EpisodeLimits
from assay.rollout.requests import Requests
from assay.rollout.timeouts import Timeouts
from assay.rollout.world import World
from assay.serving.conversation import Conversation, ConversationLimits
from assay.types import Ending, EndingKind, Turn


async def drive(
    world: World,
    engine: Engine | Responder | Script,
    renderer: Renderer | None,
    sampling: Sampling,
    requests: Requests,
    limits: EpisodeLimits,
    timeouts: Timeouts,
    turns: list[Turn],
) -> Ending:
    """Play an episode that asks the model itself, add its turns to `turns`, and return how it ended.

    Raises:
        WorldError: it asked nothing in the time that it had.
        ConfigError: the model is a script, or at an endpoint, where no tokens are.
    """
    if isinstance(engine, Responder | Script) or renderer is None:
        raise ConfigError(
            f"{type(world.episode).__name__} asks the model itself, which must be on this machine; to measure a model "
            "at an endpoint, give the agent that address"
        )
    conversation = Conversation(
        engine,
        renderer,
        sampling,
        name=requests.name,
        seed_of=requests.seed,
        limits=ConversationLimits(limits.max_turns, limits.max_tokens, limits.max_context),
        turns=turns,
    )
    try:
        async with timeouts.limit(limits.max_seconds):
            ending = await world.drive(conversation)
    except TimeoutError:
        if not turns:
            raise WorldError(f"the episode asked nothing in its {limits.max_seconds:g} seconds") from None
        return Ending(EndingKind.TRUNCATED, "time")
    if not turns and ending.kind is not EndingKind.BROKEN:
        raise WorldError(f"{type(world.episode).__name__}.drive ended and had asked nothing")
    return ending
