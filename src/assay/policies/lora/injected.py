"""Adapters in a model of transformers, injected by PEFT: its layers compute x W^T + scale * x A^T B^T."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from torch import nn

from assay.errors import ConfigError
from assay.policies.lora.adapter import Adapter, LinearShape

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_NAME = "default"
"""Name that PEFT gives the adapter inside the module; stored names lack it."""
_MAMBA_TYPES = ("mamba", "mamba2", "falcon_mamba", "falcon_h1", "nemotron_h")
BASE_LAYER = ".base_layer"
"""Infix that PEFT puts into the name of a weight that has an adapter."""


def linear_shapes_of(module: PreTrainedModel) -> dict[str, LinearShape]:
    """Every weight that can have an adapter, by name: PEFT's "all-linear", which leaves out the output matrix."""
    from transformers.pytorch_utils import Conv1D

    shapes: dict[str, LinearShape] = {}
    head = module.get_output_embeddings()
    # PEFT refuses these there: their kernels take the weights past the layer that an adapter would wrap.
    closed = ("out_proj", "conv1d") if module.config.model_type in _MAMBA_TYPES else ()
    for name, layer in module.named_modules():
        if layer is head or name.rpartition(".")[2] in closed:
            continue
        if isinstance(layer, nn.Linear):
            shapes[f"{name}.weight"] = LinearShape(layer.out_features, layer.in_features)
        elif isinstance(layer, Conv1D):
            inputs, outputs = layer.weight.shape
            shapes[f"{name}.weight"] = LinearShape(outputs, inputs, transposed=True)
    return shapes


def inject(module: PreTrainedModel, adapter: Adapter) -> None:
    """Puts an adapter into a module, which from then on computes with its factors; only they are trained.

    Raises:
        ConfigError: PEFT is not installed, or refuses this model.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise ConfigError(
            "LoRA on a model of transformers needs PEFT: pip install 'assay[lora]' (our own decoder does not)"
        ) from None
    modules = {name.removesuffix(".weight"): pair for name, pair in adapter.pairs.items()}
    # Spelled out module by module, so that what was read strictly is not matched again by other rules.
    config: Any = LoraConfig(
        task_type="CAUSAL_LM",
        r=1,
        lora_alpha=1,
        target_modules=list(modules),
        rank_pattern={re.escape(name): len(pair.a) for name, pair in modules.items()},
        alpha_pattern={re.escape(name): pair.scale * len(pair.a) for name, pair in modules.items()},
        fan_in_fan_out=any(pair.transposed for pair in modules.values()),
    )
    try:
        inject_adapter_in_model(config, module, adapter_name=_NAME)
    except ValueError as error:
        raise ConfigError(f"PEFT cannot put this adapter on {type(module).__name__}: {error}") from None
    for name, pair in modules.items():
        layer: Any = module.get_submodule(name)
        layer.lora_A[_NAME].weight = pair.a
        layer.lora_B[_NAME].weight = pair.b


def base_name(name: str) -> str | None:
    """The name that a parameter has without an adapter; None for a factor."""
    return None if f".lora_A.{_NAME}" in name or f".lora_B.{_NAME}" in name else name.replace(BASE_LAYER, "")
