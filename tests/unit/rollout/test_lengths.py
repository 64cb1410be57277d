"""Lengths of episodes before they are played, and what they make of the estimate of memory."""

from __future__ import annotations

import asyncio
import io
import itertools
from pathlib import Path

import pytest

from assay.config import validate
from assay.engines import Sampling
from assay.environments import Environment, Episode, make_environment
from assay.environments.arithmetic import Arithmetic
from assay.environments.chain import Chain
from assay.environments.database import Database
from assay.errors import SandboxError
from assay.host import Host
from assay.launch import build_run, run_memory
from assay.loop import train
from assay.models import open_model
from assay.observe.console import Console
from assay.recipe import RunConfig
from assay.render import ChatRenderer, load_renderer
from assay.rollout.lengths import OBSERVATION_TOKENS, PROMPT_TOKENS, EpisodeLengths, episode_lengths, unknown_lengths
from assay.rollout.limits import EpisodeLimits
from assay.scaffolds import Plain, Reflect, Scaffold
from assay.types import Message, Task


@pytest.fixture(scope="module")
def renderer(tiny_model: Path) -> ChatRenderer:
    return load_renderer(tiny_model)


def lengths_of(
    renderer: ChatRenderer,
    environment: Environment,
    horizon: float | None = None,
    *,
    scaffold: Scaffold = Plain(),  # noqa: B008, frozen
    limits: EpisodeLimits = EpisodeLimits(),  # noqa: B008, frozen
    max_context: int = 100_000,
) -> tuple[EpisodeLengths, list[Task]]:
    tasks = list(itertools.islice(environment.tasks("train", horizon=horizon), 3))

    async def look() -> EpisodeLengths:
        async with Host():
            sampling = Sampling(max_new_tokens=20)
            return await episode_lengths(tasks, environment, scaffold, renderer, sampling, limits, max_context)

    return asyncio.run(look()), tasks


def test_an_episode_is_its_prompt_and_what_its_turns_may_add(renderer: ChatRenderer) -> None:
    lengths, tasks = lengths_of(renderer, Chain(), 8)
    prompt = max(len(renderer.render(task.prompt)) for task in tasks)
    assert (lengths.prompt, lengths.turns, lengths.sampled) == (prompt, 16, 320)
    assert lengths.whole == prompt + 16 * 20 + 15 * OBSERVATION_TOKENS
    assert lengths.line() == (
        f"{prompt + 1280:,} tokens: a prompt of {prompt}, 16 turns, answers of the environment taken as 64"
    )
    single, tasks = lengths_of(renderer, Arithmetic())
    prompt = max(len(renderer.render(task.prompt)) for task in tasks)
    assert (single.turns, single.whole) == (1, prompt + 20)
    assert single.line() == f"{prompt + 20} tokens: a prompt of {prompt} and a response"


def test_limits_and_the_context_bound_it(renderer: ChatRenderer) -> None:
    free, _ = lengths_of(renderer, Chain(), 8)
    fewer, _ = lengths_of(renderer, Chain(), 8, limits=EpisodeLimits(max_turns=3))
    assert fewer.whole == free.prompt + 3 * 20 + 2 * OBSERVATION_TOKENS
    sampled, _ = lengths_of(renderer, Chain(), 8, limits=EpisodeLimits(max_tokens=50))
    assert sampled.whole == free.prompt + 50 + 15 * OBSERVATION_TOKENS
    limited, _ = lengths_of(renderer, Chain(), 8, limits=EpisodeLimits(max_context=400))
    assert limited.whole == 400
    assert limited.line().endswith(", cut off at 400")
    short, _ = lengths_of(renderer, Chain(), 8, max_context=10)
    assert (short.prompt, short.whole) == (10, 10)


def test_tools_and_the_words_of_a_scaffold_are_part_of_the_prompt(renderer: ChatRenderer) -> None:
    with_tools, tasks = lengths_of(renderer, Database(), 1)
    assert with_tools.prompt > max(len(renderer.render(task.prompt)) for task in tasks) + 200
    plain, _ = lengths_of(renderer, Chain(), 2)
    twice, _ = lengths_of(renderer, Chain(), 2, scaffold=Reflect())
    assert twice.turns == 2 * plain.turns
    told, _ = lengths_of(renderer, Chain(), 2, scaffold=_Wordy())
    assert told.prompt == plain.prompt + 100


class _Wordy(Plain):
    def around(self, episode: Episode, task: Task) -> Episode:
        async def start() -> tuple[Message, ...]:
            return (*task.prompt[:-1], Message("user", task.prompt[-1].content + "x" * 100))

        episode.start = start  # pyright: ignore[reportAttributeAccessIssue]
        return episode


class _Unable(Chain):
    def episode(self, task: Task) -> Episode:
        raise SandboxError("no sandbox today")


def test_an_episode_that_does_not_start_counts_as_its_own_prompt(renderer: ChatRenderer) -> None:
    able, _ = lengths_of(renderer, Chain(), 2)
    unable, _ = lengths_of(renderer, _Unable(), 2)
    assert unable == able
    served = make_environment("served", {"command": "python agent.py", "of": {"name": "arithmetic"}})
    agent, tasks = lengths_of(renderer, served)
    assert agent.prompt == max(len(renderer.render(task.prompt)) for task in tasks)


def test_what_no_task_has_told_yet() -> None:
    unknown = unknown_lengths(Sampling(max_new_tokens=8), EpisodeLimits(max_turns=2), 1000)
    assert unknown.whole == PROMPT_TOKENS + 16 + OBSERVATION_TOKENS


def settings(model: Path) -> RunConfig:
    levels = [{"horizon": 1}, {"horizon": 6}]
    return validate(
        RunConfig,
        {
            "num_steps": 1,
            "groups_per_step": 2,
            "group_size": 4,
            "num_slots": 3,
            "num_threads": 1,
            "environment": {"name": "chain"},
            "curriculum": {"levels": levels},
            "model": {"source": str(model), "device": "cpu", "compute_dtype": "fp32"},
            "sampling": {"max_new_tokens": 4},
            "limits": {"max_turns": 5},
            "evaluation": {"every_steps": 0, "test_tasks": 0, "validation_tasks": 2},
            "checkpoint": {"every_steps": 0},
        },
    )


def test_the_cache_holds_whole_episodes_and_those_that_wait(tiny_model: Path) -> None:
    config, model = settings(tiny_model), open_model(str(tiny_model))
    lengths = EpisodeLengths(prompt=100, turns=5, max_new_tokens=4, bound=512)
    assert lengths.whole == 100 + 20 + 4 * 64
    estimate = run_memory(config, model, {"compute_dtype": "fp32", "device": "cpu"}, lengths)
    rows = {row.name: row.num_bytes for row in estimate.rows}
    token = 2 * 2 * 2 * 8 * 4  # keys and values, 2 layers, 2 heads of 8, fp32
    assert rows["key-value cache"] == 3 * 376 * token
    assert rows["kept prefixes"] == (2 * 4 - 3) * 376 * token
    assert "2 x" not in estimate.lines()[0]
    # 2 prompts, and what 8 episodes add to them, in one micro-batch.
    activations = next(row for row in estimate.rows if row.name == "activations")
    assert activations.how.startswith(f"{2 * 100 + 8 * 276:,} tokens")


def test_a_run_says_what_it_took(tiny_model: Path, tmp_path: Path) -> None:
    said = io.StringIO()
    run = build_run(settings(tiny_model), tmp_path / "run", console=Console(stream=said, live=False))
    asyncio.run(train(run))
    (line,) = (line for line in said.getvalue().splitlines() if line.startswith("memory"))
    assert "5 turns, answers of the environment taken as 64: about 0." in line
    assert run.records.expected_bytes > 0
