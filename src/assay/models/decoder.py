"""The Llama family (Llama, SmolLM2 and 3, Qwen2, 2.5 and 3, Mistral) on the decoder and the engine of our own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from assay.engines.local import BatchingEngine, LocalEngine
from assay.models.adapter import adapter_of, merge_adapter
from assay.models.family import NOT_TIED, Family
from assay.models.model import Model
from assay.policies.config import DecoderConfig
from assay.policies.folder import has_own_head, read_tokenizer_files, read_weights
from assay.policies.lora import LinearShape, LoraSettings, linear_shapes
from assay.policies.model import DecoderPolicy
from assay.policies.shape import ModelShape


class DecoderFamily(Family):
    """Packs without padding, computes shared prompts once, and samples with continuous batching."""

    name = "decoder"

    def configuration(self, folder: Path) -> DecoderConfig:
        config = DecoderConfig.from_folder(folder)
        return config.untied() if config.tie_embeddings and has_own_head(folder) else config

    def cautions(self, model: Model) -> tuple[str, ...]:
        tied = DecoderConfig.from_folder(model.base).tie_embeddings
        return (NOT_TIED,) if tied and not model.configuration.tie_embeddings else ()

    def shape(self, model: Model) -> ModelShape:
        return ModelShape.of_decoder(model.configuration)

    def linear_shapes(self, model: Model) -> dict[str, LinearShape]:
        return linear_shapes(model.configuration)

    def weights(self, model: Model) -> dict[str, Tensor]:
        return merge_adapter(model, read_weights(model.base, model.configuration), self.linear_shapes(model))

    def policy(
        self,
        model: Model,
        *,
        lora: LoraSettings | None,
        seed: int,
        device: torch.device | str,
        compute_dtype: torch.dtype,
        gradient_checkpointing: bool,
    ) -> DecoderPolicy:
        weights = {name: tensor.to(device) for name, tensor in read_weights(model.base, model.configuration).items()}
        return DecoderPolicy(
            model.configuration,
            weights,
            compute_dtype=compute_dtype,
            tokenizer_files={**read_tokenizer_files(model.base), **read_tokenizer_files(model.folder)},
            gradient_checkpointing=gradient_checkpointing,
            adapter=adapter_of(model, weights, self.linear_shapes(model), lora=lora, seed=seed, device=device),
        )

    def engine(
        self,
        model: Model,
        *,
        stop_token_ids: tuple[int, ...],
        decode: Callable[[Sequence[int]], str],
        dtype: torch.dtype,
        device: torch.device | str,
        num_slots: int,
    ) -> BatchingEngine:
        return LocalEngine(
            model.configuration,
            self.weights(model).items(),
            stop_token_ids=stop_token_ids,
            decode=decode,
            dtype=dtype,
            device=device,
            num_slots=num_slots,
        )

    def engine_for(
        self,
        policy: DecoderPolicy,
        *,
        stop_token_ids: tuple[int, ...],
        decode: Callable[[Sequence[int]], str],
        dtype: torch.dtype,
        num_slots: int,
        version: int,
    ) -> BatchingEngine:
        return LocalEngine(
            policy.config,
            policy.weights(),
            stop_token_ids=stop_token_ids,
            decode=decode,
            dtype=dtype,
            device=policy.device,
            num_slots=num_slots,
            version=version,
            fp32_head=policy.fp32_head,
        )
