"""What a request samples hardly depends on what is sampled beside it (fp32)."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import torch

from assay.engines import LocalEngine, Sampling
from assay.policies import DecoderConfig
from assay.policies.folder import read_weights
from assay.types import Completion

NUM_REQUESTS = 48


def make_requests() -> list[tuple[tuple[int, ...], int, Sampling]]:
    """Groups that share prompts, prompts that share starts, and every kind of sampling."""
    generator = random.Random(0)
    system = tuple(generator.randrange(200) for _ in range(24))
    prompts = [(*system, *(generator.randrange(200) for _ in range(length))) for length in (1, 3, 17, 40, 41, 90)]
    settings = [Sampling(), Sampling(temperature=0.7), Sampling(temperature=0.0), Sampling(top_p=0.9, top_k=50)]
    return [
        (
            prompts[number % len(prompts)],
            number,
            settings[number // 6 % 4].model_copy(update={"max_new_tokens": generator.randrange(20, 120)}),
        )
        for number in range(NUM_REQUESTS)
    ]


def test_neighbours_change_nothing(tiny_model: Path) -> None:
    config = DecoderConfig.from_folder(tiny_model)
    weights = read_weights(tiny_model, config)
    requests = make_requests()

    def make_engine(num_slots: int) -> LocalEngine:
        return LocalEngine(
            config, weights.items(), stop_token_ids=(0,), decode=str, dtype=torch.float32, num_slots=num_slots
        )

    async def ask(engine: LocalEngine, number: int) -> Completion:
        prompt, seed, sampling = requests[number]
        return await engine.generate(prompt, sampling, request_id=str(number), seed=seed)

    async def ask_all(num_slots: int, order: list[int]) -> dict[int, Completion]:
        engine = make_engine(num_slots)
        completions = await asyncio.gather(*(ask(engine, number) for number in order))
        return dict(zip(order, completions, strict=True))

    async def ask_one_by_one() -> dict[int, Completion]:
        completions = {}
        for number in range(NUM_REQUESTS):
            engine = make_engine(num_slots=1)
            completions[number] = await ask(engine, number)
        return completions

    numbers = list(range(NUM_REQUESTS))
    shuffled = random.Random(1).sample(numbers, NUM_REQUESTS)
    alone = asyncio.run(ask_one_by_one())
    num_tokens = num_equal = 0
    worst = 0.0
    for num_slots, order in ((64, numbers), (5, numbers), (16, shuffled)):
        for number, completion in asyncio.run(ask_all(num_slots, order)).items():
            expected = alone[number]
            for token, other, logprob, other_logprob in zip(
                completion.token_ids, expected.token_ids, completion.logprobs, expected.logprobs, strict=False
            ):
                num_tokens += 1
                if token != other:
                    break
                num_equal += 1
                worst = max(worst, abs(logprob - other_logprob))
    assert num_tokens > 3 * NUM_REQUESTS * 20
    assert worst < 1e-5
    assert num_equal >= 0.9999 * num_tokens
