"""Engines in processes of their own, proved against a policy in this one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from assay.batching.pack import pack
from assay.engines.engine import Engine, EngineSettings, FarSettings
from assay.engines.pool import EnginePool, PoolLimits
from assay.engines.proof import Asked, Probe
from assay.engines.stored import StoredWeights
from assay.models import Model
from assay.policies.policy import Policy
from assay.render import ChatRenderer
from assay.types import Sample

GAP_FP32, GAP_BELOW = 1e-3, 0.1
"""Allowed gaps of the probe, in nats, where the settings state none: in fp32, and in bf16 and fp16."""
PROMPT_TOKENS = 24
"""Tokens of each prompt of the probe."""
_MAX_TOKENS = 4096
"""Tokens of one pass of the policy over what was asked."""


def samples_of(asked: Sequence[Asked]) -> list[Sample]:
    """Prompts with what was sampled after them, as samples without credit."""
    samples = []
    for place, (prompt, tokens) in enumerate(asked):
        ids = torch.tensor([*prompt, *tokens])
        samples.append(Sample(place, 0, ids, torch.arange(len(ids)) >= len(prompt), torch.zeros(len(ids))))
    return samples


def logprobs_of(policy: Policy, asked: Sequence[Asked], temperature: float) -> list[list[float]]:
    """Return what a policy says of sampled tokens: the log-probability of each, at a temperature."""
    found: list[list[float]] = [[] for _ in asked]
    batches = pack(samples_of(asked), _MAX_TOKENS, share_prompts=policy.shares_prompts)
    with torch.no_grad():
        for batch in (each.to(policy.device) for part in batches for each in part):
            output = policy.forward(batch, temperature=temperature)
            samples = batch.sample_ids[batch.sequence_ids].tolist()
            for sample, logprob in zip(samples, output.logprobs.tolist(), strict=True):
                found[sample].append(logprob)
    return found


def open_engine(
    model: Model,
    renderer: ChatRenderer,
    settings: EngineSettings | None = None,
    *,
    dtype: torch.dtype,
    device: str,
    num_slots: int = 64,
) -> Engine:
    """An engine that samples from a model as it is, to measure it.

    Args:
        settings: of the engine; None for the one in this process that the model's family has.

    Raises:
        ConfigError: the engine is not installed, or an option that it cannot follow.
        ModelError: weights that are missing or do not fit.
    """
    options: dict[str, Any] = {
        "stop_token_ids": renderer.stop_token_ids,
        "decode": renderer.decode,
        "dtype": dtype,
        "num_slots": num_slots,
    }
    if settings is None:
        return model.engine(device=device, **options)
    policy = model.policy(device=device, compute_dtype=dtype)
    if isinstance(settings, FarSettings):
        return open_proven(settings, policy, version=0, **options)
    return settings.open(policy, version=0, **options)


def open_proven(
    settings: FarSettings,
    policy: Policy,
    *,
    stop_token_ids: tuple[int, ...],
    decode: Callable[[Sequence[int]], str],
    dtype: torch.dtype,
    num_slots: int,
    version: int,
    temperature: float = 1.0,
) -> EnginePool:
    """An engine in another process that samples with a policy's weights: they are published, and proved against the
    policy, before the first request.

    Args:
        version: of the policy's weights.
        temperature: of the probe; the one that is trained at.
        others: see `EngineSettings.open`.

    Raises:
        ConfigError: the engine is not installed, or an option that it cannot follow.
    """

    async def learned(asked: Sequence[Asked]) -> list[list[float]]:
        return logprobs_of(policy, asked, temperature)

    def open_far(number: int) -> Any:
        return settings.open(
            policy,
            stop_token_ids=stop_token_ids,
            decode=decode,
            dtype=dtype,
            num_slots=num_slots,
            version=-1,
        )

    allowed = GAP_FP32 if dtype == torch.float32 and not settings.needs_correction else GAP_BELOW
    probe = Probe(
        num_prompts=settings.probe_prompts,
        prompt_tokens=min(PROMPT_TOKENS, policy.max_context // 2),
        temperature=temperature,
        vocab_size=policy.vocab_size,
        max_gap_nats=allowed if settings.max_gap_nats is None else settings.max_gap_nats,
    )
    limits = PoolLimits(
        settings.max_restarts,
        settings.start_seconds,
        settings.request_seconds,
        settings.publish_seconds,
        settings.remedy,
    )
    return EnginePool(
        open_far,
        1,
        lambda weights: StoredWeights(weights, dtype),
        probe,
        limits,
        first=(policy.weights(), version, learned),
        name=f"the engine {settings.name!r}",
    )
