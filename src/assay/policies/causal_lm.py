"""Opens any causal language model that transformers has a class for: its configuration, its weights, its limits.

Nothing is executed that comes with a model: `trust_remote_code` is never set, and weights are read from safetensors.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from assay.errors import ModelError
from assay.policies.config import read_raw_config
from assay.policies.folder import has_own_head, some_names, weight_files

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

UNLIMITED_CONTEXT = 1 << 30
"""Tokens of the context of a model that states no limit (ALiBi, state-space models)."""

_MASKS = (".attn.attention.bias", ".attn.attention.masked_bias")
"""Causal masks, which old checkpoints (GPT-Neo) store beside the weights."""
_LIMIT_NAMES = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length", "n_ctx")
_PROBE_LENGTH, _PROBE_PADDING = 6, 3


def read_config(folder: Path) -> PretrainedConfig:
    """The configuration of a causal language model.

    Raises:
        ModelError: no config.json, an architecture that transformers does not have or has no causal class for, an
            encoder-decoder, quantised weights, or a model that brings code of its own.
    """
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    raw, name = read_raw_config(folder), folder / "config.json"
    model_type = raw.get("model_type")
    if model_type not in CONFIG_MAPPING:
        if raw.get("auto_map"):
            raise ModelError(
                f"{name}: {model_type!r} needs code that comes with the model (auto_map), which is never run: "
                "trust_remote_code is not set; use a version of transformers that has this architecture, or another "
                "model"
            )
        raise ModelError(
            f"{name}: transformers has no model_type {model_type!r}; update transformers, or use another model"
        )
    if raw.get("quantization_config"):
        raise ModelError(f"{name}: the weights are quantised; only fp32, bf16 and fp16 weights can be trained")
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        # Each architecture checks its own values, with errors of every kind; a person does the same about each.
        raise ModelError(f"{name} does not describe a {model_type} model: {_first_line(error)}") from error
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(
            f"{name}: {model_type} is an encoder-decoder; a causal language model (decoder only) is needed"
        )
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ModelError(f"{name}: transformers has no causal language model for {model_type}; use one that generates")
    return config


def load_module(
    folder: Path,
    config: PretrainedConfig,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> PreTrainedModel:
    """The model with its weights, in evaluation mode: no dropout.

    Args:
        config: from `read_config` of the same folder.

    Raises:
        ModelError: weights that are absent, pickled, cut short, of another shape or not expected by config.json, or
            a model whose predictions depend on tokens that come later.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    weight_files(folder)
    try:
        with quiet():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                config=config,
                dtype=dtype,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError, SafetensorError) as error:
        raise ModelError(f"the weights in {folder} cannot be read: {_first_line(error)}") from error
    module, loading = loaded
    found = {label: sorted(loading[f"{label}_keys"]) for label in ("missing", "unexpected")}
    found["unexpected"] = [name for name in found["unexpected"] if not name.endswith(_MASKS)]
    if problems := [f"{label}: {some_names(names)}" for label, names in found.items() if names]:
        raise ModelError(
            f"the weights in {folder} do not fit its config.json ({config.model_type}); {'; '.join(problems)}"
        )
    _untie_config(module)
    module = module.to(device).eval()
    check_causal(module, str(folder))
    return module


def has_own_head_of(config: PretrainedConfig, folder: Path) -> bool:
    """Return whether config.json ties the output matrix to the embedding although the files hold an output matrix with
    other values."""
    return bool(getattr(config.get_text_config(decoder=True), "tie_word_embeddings", False)) and has_own_head(folder)


def _untie_config(module: PreTrainedModel) -> None:
    """Make the configuration agree with the module. Transformers leaves matrices apart that differ in the files, but
    leaves the configuration tied: a copy made from it would be tied."""
    head, embedding = module.get_output_embeddings(), module.get_input_embeddings()
    if head is not None and getattr(head, "weight", None) is not getattr(embedding, "weight", None):
        untie(module.config)


def untie(config: PretrainedConfig) -> None:
    """Have a configuration say that the output matrix is one of its own."""
    for part in (config, config.get_text_config(decoder=True)):
        if getattr(part, "tie_word_embeddings", False):
            part.tie_word_embeddings = False


def empty_like(module: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    """A module of the same configuration in another dtype, on the same device; its weights are not initialised."""
    from transformers.initialization import no_init_weights

    with no_init_weights(), quiet():
        copy = type(module)._from_config(module.config, dtype=dtype)
    copy.tie_weights()  # Part of the initialisation that was left out.
    return copy.to(device=module.device).eval()  # pyright: ignore[reportCallIssue, reportArgumentType]


def empty_module(config: PretrainedConfig) -> PreTrainedModel:
    """The module of a model's configuration without any memory for its weights."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"), quiet():
        return AutoModelForCausalLM.from_config(config)


def context_limit(config: PretrainedConfig) -> int:
    """Longest sequence in tokens.

    Where positions are scaled by the length of the sequence (dynamic rope, LongRoPE) it is the length before scaling.
    Beyond it, what a token computes would depend on the other rows of its batch, and cached keys would be stale.
    """
    text = config.get_text_config(decoder=True)
    stated = [value for name in _LIMIT_NAMES if isinstance(value := getattr(text, name, None), int) and value > 0]
    limit = stated[0] if stated else UNLIMITED_CONTEXT
    rope = getattr(text, "rope_parameters", None) or {}
    for settings in [rope, *(value for value in rope.values() if isinstance(value, dict))]:
        if settings.get("rope_type") in ("dynamic", "longrope"):
            original = settings.get("original_max_position_embeddings") or getattr(
                text, "original_max_position_embeddings", None
            )
            limit = min(limit, original or limit)
    return limit


def takes(module: nn.Module, argument: str) -> bool:
    """Return whether the model's forward names this argument."""
    return argument in inspect.signature(module.forward).parameters


def vocab_size(module: PreTrainedModel) -> int:
    """Rows of the embedding: token ids are below it."""
    return module.get_input_embeddings().weight.shape[0]  # pyright: ignore[reportReturnType, reportAttributeAccessIssue, reportIndexIssue]


@torch.no_grad()
def check_causal(module: PreTrainedModel, name: str) -> None:
    """Makes sure that later tokens do not change what is predicted before them.

    Raises:
        ModelError: they do: an encoder, or a model that mixes positions some other way.
    """
    tokens = probe_tokens(module, _PROBE_LENGTH)
    padded = torch.cat((tokens, torch.zeros(1, _PROBE_PADDING, dtype=torch.int64, device=tokens.device)), 1)
    alone = module(input_ids=tokens, use_cache=False).logits
    beside = module(input_ids=padded, use_cache=False).logits[:, :_PROBE_LENGTH]
    if not torch.isfinite(alone).all():
        raise ModelError(f"{name} computes logits that are not finite; its weights are damaged")
    if (gap := relative_gap(beside, alone)) > 1e-2:
        raise ModelError(
            f"{name}: what {type(module).__name__} predicts depends on tokens that come later (by {gap:.2g} of the "
            "spread of its logits), so it is no causal language model; use one that is"
        )


def probe_tokens(module: PreTrainedModel, length: int, first: int = 1) -> Tensor:
    """[1, length] token ids, different ones, for a trial pass."""
    count = vocab_size(module)
    return torch.tensor([[(first + 7 * i) % count for i in range(length)]], device=module.device)


def relative_gap(found: Tensor, expected: Tensor) -> float:
    """Mean absolute difference of logits over the standard deviation of the expected ones."""
    found, expected = found.float(), expected.float()
    return float((found - expected).abs().mean() / expected.std().clamp(min=1e-30))


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' progress bars and loading reports: what is wrong is raised instead."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
