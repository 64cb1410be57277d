"""The engine that suits a model: ours for the decoder, transformers for the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from assay.engines.local import LocalEngine
from assay.engines.local.batching import BatchingEngine
from assay.policies.config import DecoderConfig
from assay.policies.folder import read_weights
from assay.policies.hf import HFPolicy
from assay.policies.load import PolicyChoice, policy_kind
from assay.policies.model import DecoderPolicy


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
    stop_token_ids: tuple[int, ...],
    decode: Callable[[Sequence[int]], str],
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    num_slots: int = 64,
    policy: PolicyChoice = "auto",
) -> BatchingEngine:
    """An engine for a Hugging Face folder, without a policy beside it.

    Raises:
        ModelError: the folder holds no causal language model.
    """
    if policy_kind(folder, policy) == "hf":
        from assay.engines.hf import HFEngine
        from assay.policies.causal_lm import load_module

        module = load_module(folder, device=device, dtype=dtype)
        return HFEngine(module, stop_token_ids=stop_token_ids, decode=decode, num_slots=num_slots)
    config = DecoderConfig.from_folder(folder)
    return LocalEngine(
        config,
        read_weights(folder, config).items(),
        stop_token_ids=stop_token_ids,
        decode=decode,
        dtype=dtype,
        device=device,
        num_slots=num_slots,
    )
