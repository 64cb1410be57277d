"""Any causal language model that transformers has a class for, computed by transformers itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from assay.engines.hf import HFEngine
from assay.engines.local import BatchingEngine
from assay.models.adapter import adapter_of, merge_adapter
from assay.models.family import NOT_TIED, Family
from assay.models.model import Model
from assay.policies.causal_lm import empty_module, has_own_head_of, load_module, read_config, untie
from assay.policies.folder import read_tokenizer_files
from assay.policies.hf import HFPolicy, saved_buffers
from assay.policies.lora import LinearShape, LoraSettings
from assay.policies.lora.injected import linear_shapes_of
from assay.policies.shape import ModelShape, count_parameters

if TYPE_CHECKING:
    from transformers import PretrainedConfig


class HFFamily(Family):
    """The family of transformers' causal language models: slower than the decoder, and open to every architecture."""

    name = "hf"

    def configuration(self, folder: Path) -> PretrainedConfig:
        config = read_config(folder)
        if has_own_head_of(config, folder):
            untie(config)
        return config

    def cautions(self, model: Model) -> tuple[str, ...]:
        return (NOT_TIED,) if has_own_head_of(read_config(model.base), model.base) else ()

    def shape(self, model: Model) -> ModelShape:
        text = model.configuration.get_text_config(decoder=True)
        tied = bool(getattr(text, "tie_word_embeddings", False))
        return ModelShape.of_transformers(model.configuration, count_parameters(model.base, tied=tied))

    def linear_shapes(self, model: Model) -> dict[str, LinearShape]:
        return linear_shapes_of(empty_module(model.configuration))

    def weights(self, model: Model) -> dict[str, Tensor]:
        module = load_module(model.base, model.configuration)
        weights = {name: parameter.detach() for name, parameter in module.named_parameters()}
        return {**merge_adapter(model, weights, linear_shapes_of(module)), **dict(saved_buffers(module))}

    def policy(
        self,
        model: Model,
        *,
        lora: LoraSettings | None,
        seed: int,
        device: torch.device | str,
        compute_dtype: torch.dtype,
        gradient_checkpointing: bool,
    ) -> HFPolicy:
        module = load_module(model.base, model.configuration, device=device)
        weights = dict(module.named_parameters())
        return HFPolicy(
            module,
            compute_dtype=compute_dtype,
            tokenizer_files={**read_tokenizer_files(model.base), **read_tokenizer_files(model.folder)},
            gradient_checkpointing=gradient_checkpointing,
            adapter=adapter_of(model, weights, linear_shapes_of(module), lora=lora, seed=seed, device=device),
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
        if model.adapter is not None:
            merged = model.policy(device=device)
            assert isinstance(merged, HFPolicy)
            return self.engine_for(
                merged, stop_token_ids=stop_token_ids, decode=decode, dtype=dtype, num_slots=num_slots, version=0
            )
        module = load_module(model.base, model.configuration, device=device, dtype=dtype)
        return HFEngine(module, stop_token_ids=stop_token_ids, decode=decode, num_slots=num_slots)

    def engine_for(
        self,
        policy: HFPolicy,
        *,
        stop_token_ids: tuple[int, ...],
        decode: Callable[[Sequence[int]], str],
        dtype: torch.dtype,
        num_slots: int,
        version: int,
    ) -> BatchingEngine:
        return HFEngine(
            policy.serving_module(dtype),
            policy.weights(),
            stop_token_ids=stop_token_ids,
            decode=decode,
            num_slots=num_slots,
            version=version,
        )
