"""HFEngine: what it samples with, over architectures with and without a key-value cache that can be aligned."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from assay.engines import HFEngine, LocalEngine, Sampling
from assay.engines.hf.cache import RowCache
from assay.errors import ConfigError, ContextLengthError, DataError, EngineError, ModelError
from assay.models import open_model
from assay.policies.hf import HFPolicy
from assay.policies.tiny import write_tiny_causal_lm
from assay.types import Completion

GQA = {"intermediate_size": 64, "num_key_value_heads": 2}
CACHED: dict[str, dict[str, Any]] = {
    "gpt2": {},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 16, "max_position_embeddings": 64},
    "bloom": {},
    "gemma2": {**GQA, "head_dim": 8, "sliding_window": 4, "final_logit_softcapping": 2.0},
    "mixtral": {**GQA, "num_local_experts": 4},
}
UNCACHED: dict[str, dict[str, Any]] = {"mamba": {"state_size": 4}, "openai-gpt": {}}
LONG = Sampling(max_new_tokens=20)


def as_text(token_ids: Sequence[int]) -> str:
    return "".join(f"[{token}]" for token in token_ids)


def make_engine(policy: HFPolicy, **options: Any) -> HFEngine:
    settings: dict[str, Any] = {"stop_token_ids": (), "decode": as_text, **options}
    return HFEngine(policy.serving_module(torch.float32), policy.weights(), **settings)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> HFPolicy:
    return open_model(write_tiny_causal_lm(tmp_path_factory.mktemp("gpt2"), n_positions=64), policy="hf").policy()


def ask(engine: HFEngine, number: int, sampling: Sampling = LONG) -> Any:
    prompt = tuple(range(3 + 5 * number, 14 + 7 * number))
    return engine.generate(prompt, sampling, request_id=str(number), seed=number)


async def together(engine: HFEngine, count: int) -> list[Completion]:
    return await asyncio.gather(*(ask(engine, number) for number in range(count)))


@pytest.mark.parametrize("family", [*CACHED, *UNCACHED])
def test_samples_what_the_policy_computes(family: str, tmp_path: Path) -> None:
    policy = open_model(write_tiny_causal_lm(tmp_path, family, **{**CACHED, **UNCACHED}[family]), policy="hf").policy()
    # Fewer slots than requests: rows join and leave while others are under way.
    engine = make_engine(policy, num_slots=3)
    assert engine.uses_cache == (family in CACHED)
    for number, completion in enumerate(asyncio.run(together(engine, 6))):
        prompt = tuple(range(3 + 5 * number, 14 + 7 * number))
        logprobs = policy.logits(torch.tensor([*prompt, *completion.token_ids])).log_softmax(-1)
        positions = torch.arange(len(completion.token_ids)) + len(prompt) - 1
        expected = logprobs[positions, torch.tensor(completion.token_ids)]
        assert completion.logprobs == pytest.approx(expected.tolist(), abs=1e-4)


def test_a_shared_prompt_is_computed_once(policy: HFPolicy) -> None:
    engine, sizes = make_engine(policy), []
    forward = engine.module.forward

    def counted(input_ids: torch.Tensor, **options: Any) -> Any:
        sizes.append(tuple(input_ids.shape))
        return forward(input_ids=input_ids, **options)

    engine.module.forward = counted  # pyright: ignore[reportAttributeAccessIssue]

    async def group() -> list[Completion]:
        requests = (
            engine.generate(range(5, 15), Sampling(max_new_tokens=3), request_id=str(seed), seed=seed)
            for seed in range(4)
        )
        return await asyncio.gather(*requests)

    completions = asyncio.run(group())
    assert sizes == [(1, 10), (4, 1), (4, 1)]
    assert len({completion.token_ids for completion in completions}) > 1


def test_weights_are_its_own_and_new_ones_are_stamped(policy: HFPolicy) -> None:
    engine = make_engine(policy)
    first = asyncio.run(ask(engine, 0))
    changed = [
        (name, tensor + 0.1 * torch.sin(torch.arange(tensor.numel()).view(tensor.shape)))
        for name, tensor in policy.weights()
    ]

    async def reload() -> Completion:
        task = asyncio.ensure_future(ask(engine, 0))
        while len(engine.sampled_so_far("0")) < 5:
            await asyncio.sleep(0)
        await engine.load_weights(changed, 7)
        return await task

    second = asyncio.run(reload())
    assert second.version_spans == ((0, 0), (5, 7))
    assert second.token_ids[:5] == first.token_ids[:5]
    assert second.logprobs[5:] != first.logprobs[5:]


def test_weights_that_do_not_fit_stop_it_until_some_do(policy: HFPolicy) -> None:
    engine = make_engine(policy)
    before = asyncio.run(ask(engine, 1))

    async def broken() -> None:
        with pytest.raises(ModelError, match="tensors are missing"):
            await engine.load_weights(list(policy.weights())[1:], 1)
        with pytest.raises(EngineError, match="not whole"):
            await ask(engine, 1)
        await engine.load_weights(policy.weights(), 2)
        assert (await ask(engine, 1)).token_ids == before.token_ids

    asyncio.run(broken())


def test_stop_strings_limits_and_bad_prompts(policy: HFPolicy) -> None:
    engine = make_engine(policy, max_context=40)
    free = asyncio.run(ask(engine, 2))
    stop = f"[{free.token_ids[3]}]"
    stopped = asyncio.run(ask(engine, 2, Sampling(max_new_tokens=20, stop=(stop,))))
    assert stopped.finish_reason == "stop"
    assert stopped.token_ids == free.token_ids[: free.token_ids.index(free.token_ids[3]) + 1]
    for prompt, error in (((), DataError), ((258,), DataError), (range(40), ContextLengthError)):
        with pytest.raises(error):
            asyncio.run(engine.generate(tuple(prompt), LONG, request_id="bad", seed=0))
    with pytest.raises(ConfigError, match="max_context must be from 2 to 64"):
        make_engine(policy, max_context=65)


def test_bf16_samples_near_the_policy(policy: HFPolicy) -> None:
    exact = asyncio.run(ask(make_engine(policy), 0, Sampling(max_new_tokens=1)))
    engine = HFEngine(policy.serving_module(torch.bfloat16), policy.weights(), stop_token_ids=(), decode=as_text)
    assert engine.uses_cache
    assert {tensor.dtype for tensor in engine.module.parameters()} == {torch.bfloat16}
    rounded = asyncio.run(ask(engine, 0, Sampling(max_new_tokens=1)))
    assert rounded.logprobs != exact.logprobs
    assert rounded.logprobs[0] == pytest.approx(exact.logprobs[0], abs=0.2)


def test_rows_end_together_and_lose_columns_that_nobody_needs() -> None:
    cache = RowCache()
    cache.lengths = [2, 4]
    states = torch.arange(8.0).view(2, 1, 4, 1)
    cache._layers = [(states, -states)]
    other = RowCache()
    other.lengths, other._layers = [1], [(torch.full((1, 1, 1, 1), 9.0), torch.full((1, 1, 1, 1), -9.0))]
    cache.append(other)
    assert cache.mask(torch.device("cpu")).tolist() == [[0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 1, 1]]
    cache.keep([2, 0, 0])
    keys, values = cache._layers[0]
    assert keys.flatten(1).tolist() == [[0, 9], [2, 3], [2, 3]]
    assert torch.equal(values, -keys)
    assert cache.mask(torch.device("cpu")).tolist() == [[0, 1, 1], [1, 1, 1], [1, 1, 1]]


def test_the_engine_that_suits_a_model(tiny_model: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"stop_token_ids": (), "decode": as_text, "dtype": torch.float32}
    gpt2 = write_tiny_causal_lm(tmp_path, "gpt2")
    assert isinstance(open_model(tiny_model).engine(**options), LocalEngine)
    assert isinstance(open_model(gpt2).engine(**options), HFEngine)
    for kind, engine in (("decoder", LocalEngine), ("hf", HFEngine)):
        model = open_model(tiny_model, policy=kind)
        assert isinstance(model.engine_for(model.policy(), **options), engine)
