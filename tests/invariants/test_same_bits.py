"""What a request samples depends on its tokens, its seed and the weights, to the last bit: not on what is kept of
earlier turns, on how much of its prompt was computed before and by whom, nor on whether that was sampled or read."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
import torch

from assay import kernels
from assay.engines import LocalEngine, Sampling
from assay.policies import DecoderConfig
from assay.policies.folder import read_weights
from assay.policies.tiny import write_tiny_model
from assay.types import Completion

NUM_TURNS, GROUP_SIZE, NUM_PROMPTS = 6, 4, 3
OBSERVATION_TOKENS, SAMPLED_TOKENS, PROMPT_TOKENS = 48, 24, 60


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    return request.param


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of sizes that attention is compiled for; elsewhere last bits may differ."""
    if not kernels.attends_pages(32, torch.float32, "cpu"):
        pytest.skip("no compiled attention on this machine")
    folder = tmp_path_factory.mktemp("model")
    return write_tiny_model(folder, hidden_size=64, num_attention_heads=2, num_key_value_heads=1, intermediate_size=96)


def make_engine(model: Path, dtype: torch.dtype, **options: int) -> LocalEngine:
    config = DecoderConfig.from_folder(model)
    weights = read_weights(model, config)
    return LocalEngine(config, weights.items(), stop_token_ids=(), decode=str, dtype=dtype, max_context=512, **options)


Episode = list[tuple[tuple[int, ...], Completion]]
"""Prompt and completion of each turn."""


def words(*parts: int, count: int) -> tuple[int, ...]:
    rng = random.Random(repr(parts))
    return tuple(rng.randrange(256) for _ in range(count))


async def play(engine: LocalEngine, prompt: int, member: int) -> Episode:
    """Several turns of one rollout; some worlds think while others answer, and one forks off in its third turn."""
    number = prompt * GROUP_SIZE + member
    # What all prompts begin with, then one's own.
    tokens = words(0, count=20) + words(1, prompt, count=PROMPT_TOKENS - 20)
    episode: Episode = []
    for turn in range(NUM_TURNS):
        sampling = Sampling(max_new_tokens=SAMPLED_TOKENS)
        completion = await engine.generate(tokens, sampling, request_id=f"{number}/{turn}", seed=100 * number + turn)
        episode.append((tokens, completion))
        for _ in range(number % 3 * 5):
            await asyncio.sleep(0)
        tokens += completion.token_ids + words(2, number, turn, count=OBSERVATION_TOKENS)
        if turn == 2 and member == 0:
            # A template that rewrites what came before, from the middle of a page on.
            tokens = (*tokens[:70], 7, *tokens[75:])
    return episode


def play_all(engine: LocalEngine) -> list[Episode]:
    async def gather() -> list[Episode]:
        return await asyncio.gather(*(play(engine, p, m) for p in range(NUM_PROMPTS) for m in range(GROUP_SIZE)))

    return asyncio.run(gather())


def num_distinct_prompt_tokens(episodes: list[Episode]) -> int:
    """Tokens of prompts, shared ones once, that were not sampled before in the same place."""
    turns = [turn for episode in episodes for turn in episode]
    sampled = [(*prompt, *completion.token_ids) for prompt, completion in turns]
    prefixes = {hash(prompt[: end + 1]) for prompt, _ in turns for end in range(len(prompt))}
    for sequence, (prompt, _) in zip(sampled, turns, strict=True):
        prefixes -= {hash(sequence[: end + 1]) for end in range(len(prompt), len(sequence))}
    return len(prefixes)


def test_memory_that_is_given_back_is_computed_again_with_the_same_bits(model: Path, dtype: torch.dtype) -> None:
    roomy = make_engine(model, dtype)
    expected = play_all(roomy)
    page_bytes = roomy._pool.page_bytes
    forwarded = [roomy.num_forwarded_prompt_tokens]
    for num_pages in (40, 0):
        tight = make_engine(model, dtype, prefix_cache_bytes=num_pages * page_bytes)
        assert play_all(tight) == expected
        assert tight._prefixes.num_idle_bytes <= num_pages * page_bytes
        assert tight._pool.num_used <= num_pages
        forwarded.append(tight.num_forwarded_prompt_tokens)
    assert forwarded[0] < forwarded[1] < forwarded[2], "it was computed again"


def test_neither_neighbours_nor_slots_nor_the_past_change_a_bit(model: Path, dtype: torch.dtype) -> None:
    engine = make_engine(model, dtype)
    expected = play_all(engine)
    assert play_all(engine) == expected, "with everything still there"
    assert play_all(make_engine(model, dtype, num_slots=3)) == expected
    alone = [asyncio.run(play(make_engine(model, dtype), p, m)) for p in range(NUM_PROMPTS) for m in range(GROUP_SIZE)]
    assert alone == expected
    # Each turn by itself, its whole conversation read at once.
    fresh = make_engine(model, dtype, prefix_cache_bytes=0)
    for number, episode in enumerate(expected):
        for turn, (prompt, completion) in enumerate(episode):
            sampling = Sampling(max_new_tokens=SAMPLED_TOKENS)
            again = asyncio.run(fresh.generate(prompt, sampling, request_id="again", seed=100 * number + turn))
            assert again == completion


def test_an_episode_costs_its_tokens_not_its_tokens_times_its_turns(model: Path, dtype: torch.dtype) -> None:
    engine = make_engine(model, dtype)
    episodes = play_all(engine)
    distinct = num_distinct_prompt_tokens(episodes)
    num_turns = sum(map(len, episodes))
    # One more a turn: the token sampled last is read with what the world answers.
    assert distinct <= engine.num_forwarded_prompt_tokens <= distinct + num_turns
    assert engine.num_forwarded_prompt_tokens <= 1.05 * distinct
    assert engine.num_prompt_tokens == sum(len(prompt) for episode in episodes for prompt, _ in episode)
    assert engine.num_prompt_tokens > 4 * distinct
