"""The adapter of a policy that is being opened: the one in its folder, a new one, or none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from assay.errors import ConfigError
from assay.policies.config import DecoderConfig
from assay.policies.layers import weight_shapes
from assay.policies.lora.adapter import Adapter, LinearShape
from assay.policies.lora.document import is_adapter, reference_to
from assay.policies.lora.fingerprint import fingerprint
from assay.policies.lora.folder import read_adapter
from assay.policies.lora.settings import LoraSettings


def linear_shapes(config: DecoderConfig) -> dict[str, LinearShape]:
    """Every weight of our decoder that can have an adapter, by name: the products of attention and MLP."""
    return {
        name: LinearShape(shape[0], shape[1])
        for name, shape in weight_shapes(config).items()
        if name.endswith("_proj.weight")
    }


def open_adapter(
    folder: Path,
    whole: Path,
    weights: Mapping[str, Tensor],
    linear: Mapping[str, LinearShape],
    *,
    model: str,
    lora: LoraSettings | None,
    seed: int,
    device: torch.device | str,
) -> Adapter | None:
    """What is trained in place of the weights; None where they are.

    Args:
        folder: of the adapter, or the same as `whole`.
        whole: of the base, whose weights these are.
        linear, model: as in `Adapter.new`.
        lora, seed: of a new adapter.

    Raises:
        ModelError: the adapter in the folder cannot be used, or is of another base.
        ConfigError: settings that this model cannot have; or for an adapter that has its own.
    """
    if is_adapter(folder):
        if lora is not None:
            raise ConfigError(
                f"model.lora has no effect with {folder}, an adapter with settings of its own: leave [model.lora] out "
                "to train that adapter further, or `assay export` it merged and begin a new one on that"
            )
        adapter = read_adapter(folder, linear, fingerprint(weights), model)
        # It may have moved since: what is saved names it where it is now.
        adapter.config.update(reference_to(whole))
    elif lora is not None:
        adapter = Adapter.new(
            lora, linear, model=model, seed=seed, base=reference_to(whole), fingerprint=fingerprint(weights)
        )
    else:
        return None
    adapter.to(device)
    return adapter
