"""adapter_config.json: what PEFT says of an adapter, read strictly.

What Assay does not compute is refused by name. A setting that is not known here is refused unless it is off, since it
may change what is computed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.errors import ModelError

CONFIG = "adapter_config.json"

_MAX_CONFIG_BYTES = 1 << 20
_MAX_RANK = 1 << 14
_MAX_TARGETS = 10_000
_READ = {
    *("peft_type", "task_type", "base_model_name_or_path", "revision", "bias", "init_lora_weights"),
    *("r", "lora_alpha", "use_rslora", "target_modules", "rank_pattern", "alpha_pattern"),
}
"""Settings that are read."""
_WITHOUT_EFFECT = {
    *("auto_mapping", "peft_version", "inference_mode", "lora_dropout", "ensure_weight_tying", "eva_config"),
    *(
        "exclude_modules",
        "fan_in_fan_out",
        "layers_to_transform",
        "layers_pattern",
        "megatron_core",
        "qalora_group_size",
    ),
}
"""Settings that change nothing once an adapter has its tensors."""
_INITS = (True, False, None, "gaussian", "orthogonal", "eva")
"""Ways to begin that leave the base as it is; the others (PiSSA, OLoRA, ...) change it."""
_ATOM = r"(?:[\w-]|\\[.dw\-]|\.|\[[\w-]+\])"
_PATTERN = re.compile(rf"\^?(?:{_ATOM}[*+?]?|\((?:\?:)?{_ATOM}+(?:\|{_ATOM}+)*\)\??)+\$?")
"""Keys of rank_pattern and alpha_pattern: letters, digits, escaped dots, classes and repeats of one of these, and
choices without repeats. PEFT takes any regular expression, and one may never end."""
_MAX_PATTERN, _MAX_REPEATS = 200, 3
"""Characters of such a key, and its repeats without bound: matching takes the length of a name to that power."""
MERGE_WITH_PEFT = (
    "merge it with PEFT, and name the merged model. Where the base has one matrix for its embedding and its output "
    "(tie_word_embeddings), give it two first: PEFT's merge adds the change to both, and with ensure_weight_tying "
    "twice (docs/guides/04-lora.md)"
)
"""Remedy for an adapter of more than the products of attention and MLP."""


def is_adapter(folder: Path) -> bool:
    """Return whether a folder holds an adapter. Some tools write the base's config.json beside it; weights tell them
    apart.

    Raises:
        ModelError: it holds a whole model too: which of the two is meant?
    """
    if not (folder / CONFIG).is_file():
        return False
    if (folder / "model.safetensors").is_file() or (folder / "model.safetensors.index.json").is_file():
        raise ModelError(f"{folder} holds an adapter ({CONFIG}) and a whole model; move one of them to another folder")
    return True


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """Contents of adapter_config.json, once it is sure that they say something that is computed here.

    Raises:
        ModelError: there is none, it is not JSON, or it asks for more than plain LoRA.
    """
    path = folder / CONFIG
    try:
        if path.stat().st_size > _MAX_CONFIG_BYTES:
            raise ModelError(f"{path} has more than {_MAX_CONFIG_BYTES:,} bytes: it is no adapter's settings")
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise ModelError(f"{path} is not a JSON object")
        _check_config(document, path)
    except FileNotFoundError:
        raise ModelError(f"no {CONFIG} in {folder}: it is no adapter") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from None
    return document


def reference_to(base: Path) -> dict[str, str | None]:
    """Return the base's name as adapter_config.json states it: a hub id and its revision, or a folder."""
    parts = base.parts
    if len(parts) > 3 and parts[-2] == "snapshots" and parts[-3].startswith("models--"):
        return {
            "base_model_name_or_path": parts[-3].removeprefix("models--").replace("--", "/", 1),
            "revision": parts[-1],
        }
    return {"base_model_name_or_path": str(base), "revision": None}


def of_pattern(pattern: Mapping[str, Any] | None, weight_name: str, default: Any) -> Any:
    """The first entry whose key matches the end of the module's name, or all of it, as PEFT matches them: each key is
    a regular expression, so that the dot in "layers.1.mlp" stands for any character."""
    module = weight_name.removesuffix(".weight")
    for key, value in (pattern or {}).items():
        if re.match(rf"(.*\.)?({key})$", module):
            return value
    return default


def shown(value: Any, most: int = 100) -> str:
    """Return a value from a file as text that is safe to print and not too long."""
    text = ascii(value)
    return text if len(text) <= most else f"{text[:most]}..."


def _check_config(document: Mapping[str, Any], path: Path) -> None:
    def refuse(what: str) -> ModelError:
        return ModelError(f"{path}: {what}")

    if document.get("peft_type") != "LORA":
        raise refuse(f"peft_type {shown(document.get('peft_type'))} is not supported; LORA adapters are read")
    if document.get("task_type") not in ("CAUSAL_LM", None):
        raise refuse(
            f"task_type {shown(document['task_type'])} is not supported; adapters of CAUSAL_LM models are read"
        )
    if document.get("bias", "none") != "none":
        raise refuse(
            f"bias {shown(document['bias'])} is not supported: biases are those of the base; train with 'none'"
        )
    if document.get("init_lora_weights", True) not in _INITS:
        raise refuse(
            f"init_lora_weights {shown(document['init_lora_weights'])} changes the base too; have PEFT save it as "
            "a plain adapter (save_pretrained with path_initial_model_for_weight_conversion)"
        )
    unknown = [key for key, value in document.items() if value and key not in _READ | _WITHOUT_EFFECT]
    if unknown:
        raise refuse(
            f"{', '.join(map(shown, sorted(unknown)[:5]))} {'is' if len(unknown) == 1 else 'are'} not supported; "
            f"adapters of plain LoRA are read, without whole modules or embeddings beside it; {MERGE_WITH_PEFT}"
        )
    for key in ("base_model_name_or_path", "revision"):
        if not isinstance(document.get(key), str | None):
            raise refuse(f"{key} must be a text, got {shown(document[key])}")
    _check_rank(document.get("r"), "r", refuse)
    _check_alpha(document.get("lora_alpha"), "lora_alpha", refuse)
    for key, check in (("rank_pattern", _check_rank), ("alpha_pattern", _check_alpha)):
        pattern = document.get(key) or {}
        if not isinstance(pattern, dict):
            raise refuse(f"{key} must be an object, got {shown(pattern)}")
        for name, value in pattern.items():
            repeats = len(re.findall(r"(?<!\\)[*+]", name))
            if len(name) > _MAX_PATTERN or repeats > _MAX_REPEATS or not _PATTERN.fullmatch(name):
                raise refuse(
                    f"{key}: {shown(name)} is neither the name of a module nor a simple regular expression (classes, "
                    f"choices, at most {_MAX_REPEATS} of * and +, {_MAX_PATTERN} characters): write out the names"
                )
            check(value, f"{key}[{shown(name)}]", refuse)
    named = document.get("target_modules")
    if isinstance(named, str):
        return
    if not isinstance(named, list) or len(named) > _MAX_TARGETS or not all(isinstance(name, str) for name in named):
        raise refuse(f"target_modules must be a list of names, at most {_MAX_TARGETS:,}, got {shown(named)}")


def _check_rank(value: Any, name: str, refuse: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MAX_RANK:
        raise refuse(f"{name} must be a whole number from 1 to {_MAX_RANK:,}, got {shown(value)}")


def _check_alpha(value: Any, name: str, refuse: Any) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e9:
        raise refuse(f"{name} must be a number below 1e9, got {shown(value)}")
