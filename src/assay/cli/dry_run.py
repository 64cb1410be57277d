"""Lines on the data for `assay train --dry-run`: its size, the first prompt, the gold answers, and capped lengths."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from assay.errors import ContextLengthError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assay.evaluation.held_out import HeldOut
    from assay.models import Model
    from assay.recipe import RunConfig
    from assay.render import ChatRenderer
    from assay.rollout.lengths import EpisodeLengths
    from assay.types import Task

_MAX_CHARACTERS = 2000
"""Characters of the first prompt that are shown."""


def describe_tasks(config: RunConfig, model: Model, chat_template: str | None) -> tuple[str, EpisodeLengths]:
    """Open the data and the functions of a recipe as the start of a run does, without loading any weights; return what
    there is to say of them, and the lengths of episodes.

    Args:
        chat_template: in place of the tokenizer's own.

    Raises:
        DataError: a file, a column or a split that is missing, or a gold answer that its own verifier rejects.
        ConfigError: a function or a level that cannot be had.
        ContextLengthError: the first prompt fills the model's context.
    """
    renderer = model.renderer(chat_template, tools=config.model.tools, call_forms=config.model.call_forms)
    lines, lengths = asyncio.run(_lines(config, model, renderer))
    return "\n".join(lines), lengths


async def _lines(config: RunConfig, model: Model, renderer: ChatRenderer) -> tuple[list[str], EpisodeLengths]:
    from assay.evaluation.held_out import HeldOut
    from assay.host import Host
    from assay.observe.visible import visible
    from assay.rollout.lengths import episode_lengths
    from assay.verifiers import close_verifiers, tell_progress

    verifiers = config.verifiers
    async with Host():
        try:
            tell_progress(verifiers, 0, config.num_steps)
            task = config.curriculum.begin(config.environment, config.seed).next_task(0)
            held_out = HeldOut(
                config.evaluation,
                config.environment,
                config.readings,
                config.curriculum.levels,
                config.sampling,
                renderer=renderer,
            )
            unchecked = await held_out.check_tasks(config.reward)
            prompt = await _first_prompt(config, renderer, task)
            lengths = await episode_lengths(
                held_out.examples,
                config.environment,
                config.scaffold,
                renderer,
                config.sampling,
                config.limits,
                model.shape.max_context,
            )
        finally:
            await close_verifiers(verifiers)
    text = visible(renderer.decode(prompt))
    if len(text) > _MAX_CHARACTERS:
        text = f"{text[:_MAX_CHARACTERS]} ... and {len(text) - _MAX_CHARACTERS:,} characters more"
    gold = unchecked or f"no gold answer is rejected by {config.reward.name}"
    lines = [
        *config.environment.notes,
        held_out.sizes,
        *([] if config.algorithm.needs.pairs else [f"gold answers: {gold}"]),
        *_capped(config, held_out, model.shape.max_context, len(prompt)),
        f"first prompt, of task {task.task_id}, as the model sees it ({len(prompt)} tokens):",
        text,
    ]
    return lines, lengths


async def _first_prompt(config: RunConfig, renderer: ChatRenderer, task: Task) -> tuple[int, ...]:
    from assay.environments.driven import DrivenEpisode

    episode = config.environment.episode(task)
    try:
        # An agent of somebody's own makes its prompts itself, from the task.
        opening = task.prompt if isinstance(episode, DrivenEpisode) else await episode.start()
        return renderer.render(opening, episode.tools)
    finally:
        await episode.close()


def _capped(config: RunConfig, held_out: HeldOut, max_context: int, num_prompt: int) -> Iterator[str]:
    """A line for each limit on new tokens that the model's context does not leave room for."""
    room = max_context - num_prompt
    if room < 1:
        raise ContextLengthError(
            f"the first prompt has {num_prompt} tokens and the model's context {max_context}, which leaves no room to "
            "answer; shorten the prompts, or use a model with a longer context"
        )
    limits = {"evaluation.test_max_new_tokens": held_out.test_max_new_tokens} if config.evaluation.test_tasks else {}
    if not config.algorithm.needs.samples_nothing:
        limits = {"sampling.max_new_tokens": config.sampling.max_new_tokens, **limits}
    for name, limit in limits.items():
        if limit > room:
            yield (
                f"capped: {name} is {limit:,}, and the model's context of {max_context:,} tokens leaves {room:,} after "
                f"this prompt; longer responses are cut off there"
            )
