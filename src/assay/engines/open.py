"""The engine that suits a model: ours for the decoder, transformers for the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from assay.engines.local import LocalEngine
from assay.engines.local.batching import BatchingEngine
from assay.policies.hf import HFPolicy
from assay.policies.load import PolicyChoice, policy_kind
from assay.policies.lora import is_adapter
from assay.policies.model import DecoderPolicy, read_merged
from assay.policies.registry import base_of


def engine_for_policy(
    policy: DecoderPolicy | HFPolicy,
    *,
    stop_token_ids: tuple[int, ...],
    decode: Callable[[Sequence[int]], str],
    dtype: torch.dtype,
    num_slots: int = 64,
    version: int = 0,
) -> BatchingEngine:
    """An engine with its own copy of a policy's weights, on the policy's device, in `dtype`."""
    if isinstance(policy, HFPolicy):
        from assay.engines.hf import HFEngine

        return HFEngine(
            policy.serving_module(dtype),
            policy.weights(),
            stop_token_ids=stop_token_ids,
            decode=decode,
            num_slots=num_slots,
            version=version,
        )
    return LocalEngine(
        policy.config,
        policy.weights(),
        stop_token_ids=stop_token_ids,
        decode=decode,
        dtype=dtype,
        device=policy.device,
        num_slots=num_slots,
        version=version,
    )


def engine_for_folder(
    folder: Path,
    *,
    base: Path | None = None,
    stop_token_ids: tuple[int, ...],
    decode: Callable[[Sequence[int]], str],
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    num_slots: int = 64,
    policy: PolicyChoice = "auto",
) -> BatchingEngine:
    """An engine for a Hugging Face folder, without a policy beside it.

    Args:
        base: of an adapter, as in `load_policy`.

    Raises:
        ModelError: the folder holds no causal language model.
    """
    if policy_kind(base_of(folder, base), policy) == "hf":
        from assay.engines.hf import HFEngine
        from assay.policies.causal_lm import load_module
        from assay.policies.hf import load_hf_policy

        if is_adapter(folder):
            merged = load_hf_policy(folder, base=base, device=device)
            return engine_for_policy(
                merged, stop_token_ids=stop_token_ids, decode=decode, dtype=dtype, num_slots=num_slots
            )
        module = load_module(folder, device=device, dtype=dtype)
        return HFEngine(module, stop_token_ids=stop_token_ids, decode=decode, num_slots=num_slots)
    config, weights = read_merged(folder, base)
    return LocalEngine(
        config,
        weights.items(),
        stop_token_ids=stop_token_ids,
        decode=decode,
        dtype=dtype,
        device=device,
        num_slots=num_slots,
    )
