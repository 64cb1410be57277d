"""check_engine over every engine, and over engines that break the contract in one way each."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from assay.engines import HFEngine, LocalEngine, Sampling, ScriptedEngine, check_engine
from assay.errors import ContractError
from assay.models import open_model
from assay.policies import DecoderConfig
from assay.policies.folder import read_weights
from assay.policies.tiny import write_tiny_causal_lm
from assay.types import Completion

PROMPTS = [(1, 2, 3), (1, 2, 3, 4), tuple(range(20))]
STOP = 9


def script(prompt_ids: tuple[int, ...], seed: int, sampled: tuple[int, ...]) -> dict[int, float]:
    """Depends on the prompt and on what was sampled; one token in ten ends it."""
    first = (sum(prompt_ids) + sum(sampled)) % 4
    return {first: 0.5, first + 4: 0.3, STOP - 1: 0.1, STOP: 0.1}


def make_scripted(engine: type[ScriptedEngine] = ScriptedEngine) -> ScriptedEngine:
    return engine(script, stop_token_ids=(STOP,), max_context=40)


def test_scripted_engine() -> None:
    asyncio.run(check_engine(make_scripted(), PROMPTS, stop_token_ids=(STOP,), max_context=40))


@pytest.mark.parametrize("num_slots", [1, 4, 64])
def test_local_engine(tiny_model: Path, num_slots: int) -> None:
    config = DecoderConfig.from_folder(tiny_model)
    weights = read_weights(tiny_model, config)
    # Many end tokens, so that completions of every length come up.
    stops = tuple(range(0, config.vocab_size, 9))
    engine = LocalEngine(
        config,
        weights.items(),
        stop_token_ids=stops,
        decode=str,
        dtype=torch.float32,
        num_slots=num_slots,
        max_context=48,
    )
    asyncio.run(check_engine(engine, PROMPTS, stop_token_ids=stops, weights=weights.items(), max_context=48))


@pytest.mark.parametrize("family", ["gpt2", "mamba"])
@pytest.mark.parametrize("num_slots", [1, 4])
def test_hf_engine(tmp_path: Path, family: str, num_slots: int) -> None:
    """With a key-value cache (gpt2) and reading whole sequences (mamba)."""
    policy = open_model(write_tiny_causal_lm(tmp_path, family), policy="hf").policy()
    stops = tuple(range(0, 258, 9))
    engine = HFEngine(
        policy.serving_module(torch.float32),
        policy.weights(),
        stop_token_ids=stops,
        decode=str,
        num_slots=num_slots,
        max_context=48,
    )
    asyncio.run(check_engine(engine, PROMPTS, stop_token_ids=stops, weights=policy.weights(), max_context=48))


Change = Callable[[Completion, Sampling, int, tuple[int, ...]], Completion]


def resample(completion: Completion, token_ids: Sequence[int], **changes: Any) -> Completion:
    logprobs = (*completion.logprobs, *[-1.0] * len(token_ids))[: len(token_ids)]
    return dataclasses.replace(completion, token_ids=tuple(token_ids), logprobs=logprobs, **changes)


def without_end_token(completion: Completion, *_: Any) -> Completion:
    if completion.finish_reason != "stop" or len(completion.token_ids) < 2:
        return completion
    return resample(completion, completion.token_ids[:-1])


def one_too_many(completion: Completion, sampling: Sampling, *_: Any) -> Completion:
    full = len(completion.token_ids) == sampling.max_new_tokens
    return resample(completion, (*completion.token_ids, 0)) if full else completion


def positive_logprobs(completion: Completion, *_: Any) -> Completion:
    return dataclasses.replace(completion, logprobs=tuple(-logprob for logprob in completion.logprobs))


def old_version(completion: Completion, *_: Any) -> Completion:
    return dataclasses.replace(completion, version_spans=((0, 0),))


def late_spans(completion: Completion, *_: Any) -> Completion:
    return dataclasses.replace(completion, version_spans=((1, completion.version_spans[0][1]),))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_end_token, "end token is part"),
        (one_too_many, "13 tokens|2 tokens"),
        (positive_logprobs, "at most 0"),
        (old_version, "version_spans is"),
        (late_spans, "do not cover"),
    ],
)
def test_a_wrong_completion_is_found(change: Change, message: str) -> None:
    class Wrong(ScriptedEngine):
        async def generate(
            self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, seed: int
        ) -> Completion:
            completion = await super().generate(prompt_ids, sampling, request_id=request_id, seed=seed)
            return change(completion, sampling, seed, tuple(prompt_ids))

    with pytest.raises(ContractError, match=message):
        asyncio.run(check_engine(make_scripted(Wrong), PROMPTS, stop_token_ids=(STOP,), max_context=40))


@pytest.mark.parametrize(
    ("rewrite", "message"),
    [
        (lambda engine, options: {**options, "seed": 5}, "seed is ignored"),
        (lambda engine, options: {**options, "seed": options["seed"] + len(engine.requests)}, "beside other requests"),
        (lambda engine, options: {**options, "sampling": as_sampled(options["sampling"])}, "greedy"),
        (lambda engine, options: {**options, "sampling": without_top_k(options["sampling"])}, "top_k=1"),
        (
            lambda engine, options: {**options, "prompt_ids": options["prompt_ids"][-30:]},
            "ContextLengthError|room for 1",
        ),
    ],
)
def test_an_engine_that_reads_requests_wrongly_is_found(rewrite: Any, message: str) -> None:
    class Wrong(ScriptedEngine):
        async def generate(
            self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, seed: int
        ) -> Completion:
            options = {"prompt_ids": tuple(prompt_ids), "sampling": sampling, "request_id": request_id, "seed": seed}
            return await super().generate(**rewrite(self, options))

    with pytest.raises(ContractError, match=message):
        asyncio.run(check_engine(make_scripted(Wrong), PROMPTS, stop_token_ids=(STOP,), max_context=40))


def as_sampled(sampling: Sampling) -> Sampling:
    return sampling.model_copy(update={"temperature": sampling.temperature or 1.0})


def without_top_k(sampling: Sampling) -> Sampling:
    return sampling.model_copy(update={"top_k": 0})


def test_an_engine_that_reads_kept_turns_wrongly_is_found() -> None:
    class Wrong(ScriptedEngine):
        kept: frozenset[tuple[int, ...]] = frozenset()

        def forget(self) -> None:
            self.kept = frozenset()

        async def generate(
            self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, seed: int
        ) -> Completion:
            prompt = tuple(prompt_ids)
            # A token is lost where a kept conversation ends and its next turn begins.
            read = next((prompt[1:] for kept in self.kept if len(kept) > 4 and prompt[: len(kept)] == kept), prompt)
            completion = await super().generate(read, sampling, request_id=request_id, seed=seed)
            self.kept |= {(*prompt, *completion.token_ids)}
            return completion

    with pytest.raises(ContractError, match=r"a turn after .* with the turns before it kept"):
        asyncio.run(check_engine(make_scripted(Wrong), PROMPTS, stop_token_ids=(STOP,), max_context=40))


def test_an_engine_that_keeps_its_version_is_found() -> None:
    class Wrong(ScriptedEngine):
        async def load_weights(self, weights: Any, version: int) -> None:
            pass

    with pytest.raises(ContractError, match=r"after load_weights\(version=1\) the engine says version 0"):
        asyncio.run(check_engine(make_scripted(Wrong), PROMPTS, stop_token_ids=(STOP,)))


def test_two_prompts_are_needed() -> None:
    with pytest.raises(ValueError, match="two prompts"):
        asyncio.run(check_engine(make_scripted(), PROMPTS[:1], stop_token_ids=(STOP,)))
