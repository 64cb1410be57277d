"""Adapter folders as PEFT reads and writes them: adapter_config.json and adapter_model.safetensors.

They may come from anybody: they are parsed and checked, never run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from assay.errors import ModelError
from assay.policies.lora.adapter import FACTOR_NAMES, PREFIX, Adapter, LinearShape, LowRank, factor_name, targets
from assay.policies.lora.document import CONFIG, MERGE_WITH_PEFT, of_pattern, read_adapter_config, shown
from assay.policies.lora.settings import scale_of

WEIGHTS = "adapter_model.safetensors"
PICKLE = "adapter_model.bin"
_NOT_PRODUCTS = ("lm_head", "embed_tokens", "lora_embedding_", "modules_to_save")
FINGERPRINT = "base_fingerprint"
"""Key of the base's fingerprint in the file's metadata. PEFT and others ignore it."""


def read_adapter(folder: Path, linear: Mapping[str, LinearShape], fingerprint: str, model: str) -> Adapter:
    """The adapter in a folder, for a model with these products.

    Args:
        linear: every weight that may have one, by name.
        model: what errors call it.
        fingerprint: of the weights that it is to be put on.

    Raises:
        ModelError: files that are missing, broken, unsupported, or of an adapter for another model.
    """
    document = read_adapter_config(folder)
    tensors = _read_tensors(folder, document, linear, model)
    check_base(folder, fingerprint)
    pairs = {}
    for name, shape in linear.items():
        a, b = (tensors.get(factor_name(name, factor)) for factor in FACTOR_NAMES)
        if a is not None and b is not None:
            alpha = float(of_pattern(document.get("alpha_pattern"), name, document["lora_alpha"]))
            scale = scale_of(len(a), alpha, bool(document.get("use_rslora")))
            pairs[name] = LowRank(nn.Parameter(a), nn.Parameter(b), scale, shape.transposed)
    return Adapter(document, pairs, fingerprint)


def check_base(folder: Path, fingerprint: str) -> None:
    """Makes sure that an adapter was trained on the model with this fingerprint, where its file says on which.

    Raises:
        ModelError: it was trained on another, or the file cannot be read.
    """
    path = folder / WEIGHTS
    try:
        with safe_open(path, framework="pt") as file:
            trained_on = (file.metadata() or {}).get(FINGERPRINT, fingerprint)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read ({error}); fetch the adapter again") from None
    if trained_on != fingerprint:
        name = read_adapter_config(folder).get("base_model_name_or_path")
        raise ModelError(
            f"the adapter in {folder} was trained on another base: one with fingerprint {shown(trained_on[:12])} that "
            f"it calls {shown(name)}; this one has {fingerprint[:12]!r}. Name the base that it was trained on: --base "
            "FOLDER, or model.base in a recipe"
        )


def num_stored_parameters(folder: Path) -> int:
    """Return the number of parameters of the adapter in a folder, without reading its tensors.

    Raises:
        ModelError: the file cannot be read.
    """
    path = folder / WEIGHTS
    try:
        with safe_open(path, framework="pt") as file:
            return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read ({error}); fetch the adapter again") from None


def write_adapter(folder: Path, adapter: Adapter, tokenizer_files: Mapping[str, bytes]) -> None:
    """Writes a folder that PEFT opens; the tokenizer's files go beside it. Factors are fp32."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {**adapter.config, "inference_mode": True, "lora_dropout": 0.0}
    (folder / CONFIG).write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    tensors = {name: parameter.detach().cpu().contiguous() for name, parameter in adapter.named_parameters()}
    # One entry only: safetensors writes several in any order, and the same adapter would be another file.
    save_file(tensors, folder / WEIGHTS, metadata={FINGERPRINT: adapter.fingerprint})
    for name, contents in tokenizer_files.items():
        (folder / name).write_bytes(contents)


def _read_tensors(
    folder: Path, document: Mapping[str, Any], linear: Mapping[str, LinearShape], model: str
) -> dict[str, Tensor]:
    """Factors in fp32, by name."""
    path = folder / WEIGHTS
    if not path.is_file():
        if (folder / PICKLE).is_file():
            raise ModelError(
                f"{folder / PICKLE} is a pickle, which can run code when it is opened; save the adapter with PEFT as "
                f"{WEIGHTS} (save_pretrained with safe_serialization=True)"
            )
        raise ModelError(f"no {WEIGHTS} in {folder}; the adapter is not whole")
    expected = _expected_shapes(document, linear)
    tensors: dict[str, Tensor] = {}
    problems: dict[str, list[str]] = {"unexpected": [], "mismatched": [], "not finite numbers": [], "missing": []}
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118, it is not a mapping
                shape = tuple(file.get_slice(name).get_shape())
                if name not in expected:
                    problems["unexpected"].append(shown(name))
                elif shape != expected[name]:
                    problems["mismatched"].append(f"{name} is {list(shape)}, should be {list(expected[name])}")
                else:
                    tensor = file.get_tensor(name)
                    tensors[name] = tensor.to(torch.float32)
                    if not tensor.is_floating_point() or not torch.isfinite(tensors[name]).all():
                        problems["not finite numbers"].append(name)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read ({error}); fetch the adapter again") from None
    problems["missing"] = _missing(tensors, document) if not any(problems.values()) else []
    if beside := [name for name in problems["unexpected"] if any(part in name for part in _NOT_PRODUCTS)]:
        raise ModelError(
            f"the adapter in {folder} adapts embeddings, the output matrix or whole modules ({_some(beside)}), which "
            f"is not supported; {MERGE_WITH_PEFT}"
        )
    if any(problems.values()):
        said = "; ".join(f"{label}: {_some(names)}" for label, names in problems.items() if names)
        raise ModelError(
            f"the adapter in {folder} does not fit this {model} model of {len(linear)} products; {said}. "
            f"It was trained on {shown(document.get('base_model_name_or_path'))}: name that base (--base FOLDER, or "
            "model.base in a recipe), or fetch the adapter again"
        )
    return tensors


def _expected_shapes(document: Mapping[str, Any], linear: Mapping[str, LinearShape]) -> dict[str, tuple[int, int]]:
    """Return the shape of every factor that an adapter may have, by name."""
    shapes = {}
    for name, (outputs, inputs, _) in linear.items():
        rank = of_pattern(document.get("rank_pattern"), name, document["r"])
        shapes[factor_name(name, FACTOR_NAMES[0])] = (rank, inputs)
        shapes[factor_name(name, FACTOR_NAMES[1])] = (outputs, rank)
    return shapes


def _missing(tensors: Iterable[str], document: Mapping[str, Any]) -> list[str]:
    """Factors whose other half is there, and targets that have none at all."""
    found = {name.removeprefix(PREFIX).rsplit(".", 2)[0] for name in tensors}
    halves = [factor_name(f"{module}.weight", factor) for module in sorted(found) for factor in FACTOR_NAMES]
    missing = [name for name in halves if name not in set(tensors)]
    named = document["target_modules"]
    if not isinstance(named, str):
        weights = [f"{module}.weight" for module in found]
        missing += [
            f"any tensor of {shown(target)}" for target in named if not any(targets(target, w) for w in weights)
        ]
    return missing if found else ["every tensor"]


def _some(names: list[str], most: int = 3) -> str:
    listed = ", ".join(names[:most])
    return listed if len(names) <= most else f"{listed} and {len(names) - most} more"
