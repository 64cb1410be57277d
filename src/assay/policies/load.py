"""From a model folder to the policy that computes it: our decoder where it can, transformers where it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from assay.errors import ConfigError, ModelError
from assay.policies.config import DecoderConfig, read_raw_config
from assay.policies.lora.settings import LoraSettings
from assay.policies.model import DecoderPolicy, load_decoder
from assay.policies.registry import base_of

if TYPE_CHECKING:
    from assay.policies.hf import HFPolicy

PolicyChoice = Literal["auto", "decoder", "hf"]
PolicyKind = Literal["decoder", "hf"]


def policy_kind(folder: Path | str, policy: PolicyChoice = "auto") -> PolicyKind:
    """Which policy computes the model of a folder; "auto" is the decoder where it reads the config.json.

    Raises:
        ConfigError: an unknown choice.
        ModelError: no config.json, or one that the decoder does not read where it was asked for.
    """
    if policy not in ("auto", "decoder", "hf"):
        raise ConfigError(f"policy {policy!r} is unknown; use 'auto', 'decoder' or 'hf'")
    if policy == "hf":
        return "hf"
    raw = read_raw_config(Path(folder))
    try:
        DecoderConfig.from_dict(raw, name=str(Path(folder) / "config.json"))
    except ModelError as error:
        if policy == "decoder":
            raise ModelError(f"{error}; any causal language model is opened by model.policy='hf'") from None
        return "hf"
    return "decoder"


def load_policy(
    folder: Path | str,
    *,
    base: Path | None = None,
    lora: LoraSettings | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    compute_dtype: torch.dtype = torch.float32,
    policy: PolicyChoice = "auto",
    gradient_checkpointing: bool = False,
) -> DecoderPolicy | HFPolicy:
    """The policy of a Hugging Face folder, with fp32 parameters: all are trained, unless it is or gets an adapter.

    Args:
        folder: a whole model, or an adapter, which is then what is trained.
        base: the whole model that an adapter is put on, where its adapter_config.json names none that is here.
        lora: settings of a new adapter for a whole model.
        seed: of the run; a new adapter is drawn from it.
        policy: "decoder" (ours: packs without padding, computes shared prompts once), "hf" (any causal language model
            that transformers opens), or "auto": the first where it reads the model.
        gradient_checkpointing: keep only each layer's input for the backward pass: less memory, a third more work.

    Raises:
        ModelError: the folder holds no model that can be trained, tensors are missing or do not fit, or the adapter is
            of another model.
        ConfigError: an unknown choice, gradient checkpointing of a model that transformers cannot checkpoint, or
            settings of a new adapter that this model cannot have, or that has one already.
    """
    if policy_kind(base_of(Path(folder), base), policy) == "decoder":
        load = load_decoder
    else:
        from assay.policies.hf import load_hf_policy as load
    return load(
        folder,
        base=base,
        lora=lora,
        seed=seed,
        device=device,
        compute_dtype=compute_dtype,
        gradient_checkpointing=gradient_checkpointing,
    )
