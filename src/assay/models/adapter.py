"""The adapter of a model that is being loaded: the one in its folder, a new one, or none."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from assay.errors import ConfigError
from assay.models.model import Model
from assay.policies.lora import Adapter, LinearShape, LoraSettings, read_adapter
from assay.policies.lora.document import reference_to
from assay.policies.lora.fingerprint import fingerprint


def adapter_of(
    model: Model,
    weights: Mapping[str, Tensor],
    linear: Mapping[str, LinearShape],
    *,
    lora: LoraSettings | None,
    seed: int,
    device: torch.device | str,
) -> Adapter | None:
    """Return the adapter that is trained in place of the weights; None where the weights are trained.

    Args:
        weights: of the whole model, by name.
        linear: every weight that may have an adapter, by name.
        lora, seed: of a new adapter.

    Raises:
        ModelError: the adapter in the folder cannot be used, or is of another base.
        ConfigError: settings that this model cannot have; or for an adapter that has its own.
    """
    if model.adapter is not None:
        if lora is not None:
            raise ConfigError(
                f"model.lora has no effect with {model.folder}, an adapter with settings of its own: leave "
                "[model.lora] out to train that adapter further, or `assay export` it merged and begin a new one on "
                "that"
            )
        adapter = read_adapter(model.folder, linear, fingerprint(weights), model.model_type)
        # It may have moved since: what is saved names it where it is now.
        adapter.config.update(reference_to(model.base))
    elif lora is not None:
        adapter = Adapter.new(
            lora,
            linear,
            model=model.model_type,
            seed=seed,
            base=reference_to(model.base),
            fingerprint=fingerprint(weights),
        )
    else:
        return None
    adapter.to(device)
    return adapter


def merge_adapter(model: Model, weights: dict[str, Tensor], linear: Mapping[str, LinearShape]) -> dict[str, Tensor]:
    """The weights of a whole model, each that the model's adapter changes replaced; the same dictionary.

    Raises:
        ModelError: the adapter cannot be used, or is of another base.
    """
    if model.adapter is not None:
        read_adapter(model.folder, linear, fingerprint(weights), model.model_type).merge_into(weights)
    return weights
