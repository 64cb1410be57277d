"""The engine's log-probabilities are the policy's: fp32, within 1e-5, on every kind of layer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch

from assay.batching import pack
from assay.engines import LocalEngine, Sampling
from assay.models import open_model
from assay.policies.tiny import write_tiny_model
from assay.types import Completion, Sample

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama, biases, untied": {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False},
    "llama, one key-value head, head size of its own": {"num_key_value_heads": 1, "head_dim": 12},
    "smollm3, layers without rope and with windows": {
        "model_type": "smollm3",
        "no_rope_layers": [1, 0],
        "use_sliding_window": True,
        "sliding_window": 7,
    },
    "qwen2, window in layer 1": {
        "model_type": "qwen2",
        "use_sliding_window": True,
        "sliding_window": 9,
        "max_window_layers": 1,
    },
    "qwen3": {"model_type": "qwen3", "head_dim": 16},
    "mistral, window shorter than the prompts": {"model_type": "mistral", "sliding_window": 8},
    "mistral, window longer than the prompts": {"model_type": "mistral", "sliding_window": 40},
    "llama 3 rope": {
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        }
    },
}
PROMPTS = [tuple(range(5, 35)), tuple(range(5, 35)), tuple(range(9, 50)), (3,), (*range(5, 25), 60, 61)]


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("overrides", FAMILIES.values(), ids=FAMILIES)
def test_logprobs_agree(tmp_path: Path, overrides: dict[str, Any], temperature: float) -> None:
    policy = open_model(write_tiny_model(tmp_path / "model", **overrides)).policy()
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if name.endswith(("bias", "norm.weight", "layernorm.weight")):
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    engine = LocalEngine(
        policy.config,
        policy.weights(),
        stop_token_ids=(),
        decode=str,
        dtype=torch.float32,
        num_slots=3,
    )
    sampling = Sampling(temperature=temperature, max_new_tokens=24)

    async def conversation(prompt: tuple[int, ...], index: int) -> list[tuple[tuple[int, ...], Completion]]:
        """Two turns: the second starts from cached keys and values."""
        first = await engine.generate(prompt, sampling, request_id=f"{index}", seed=index)
        longer = (*prompt, *first.token_ids, 1, 2, 3)
        second = await engine.generate(longer, sampling, request_id=f"{index}, turn 2", seed=index)
        return [(prompt, first), (longer, second)]

    async def sample() -> list[tuple[tuple[int, ...], Completion]]:
        played = await asyncio.gather(*(conversation(prompt, index) for index, prompt in enumerate(PROMPTS)))
        return [turn for turns in played for turn in turns]

    turns = asyncio.run(sample())
    samples = [make_sample(index, prompt, completion) for index, (prompt, completion) in enumerate(turns)]
    gaps = []
    for (batch,) in pack(samples, max_tokens=10_000):
        with torch.no_grad():
            gaps.append((policy.forward(batch, temperature=temperature).logprobs - batch.sampling_logprobs).abs())
    assert sum(map(len, gaps)) == 24 * len(turns)
    assert torch.cat(gaps).max() < 1e-5


def make_sample(index: int, prompt: tuple[int, ...], completion: Completion) -> Sample:
    token_ids = torch.tensor((*prompt, *completion.token_ids))
    mask = torch.arange(len(token_ids)) >= len(prompt)
    logprobs = torch.zeros(len(token_ids))
    logprobs[len(prompt) :] = torch.tensor(completion.logprobs)
    return Sample(group_id=index, member=0, token_ids=token_ids, loss_mask=mask, sampling_logprobs=logprobs)
