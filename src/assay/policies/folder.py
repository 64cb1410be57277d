"""Hugging Face model folders: read and write config.json, safetensors and the tokenizer's files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from assay.errors import ModelError
from assay.policies.config import DecoderConfig
from assay.policies.layers import HEAD, weight_shapes

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "generation_config.json",
)
"""Go as they are from the folder that was loaded to every folder that is saved."""


def read_weights(folder: Path, config: DecoderConfig) -> dict[str, Tensor]:
    """Every tensor of the model, in fp32.

    A tied checkpoint that repeats its embedding as `lm_head.weight` is accepted, as are the rotary frequencies that
    old checkpoints store.

    Raises:
        ModelError: no weights, a file that cannot be read, or tensors that are missing, unexpected or of another shape
            than config.json says. Names the tensors and the folder.
    """
    expected = weight_shapes(config)
    weights: dict[str, Tensor] = {}
    unexpected: list[str] = []
    mismatched: list[str] = []
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118, it is not a mapping
                    if name not in expected:
                        if not _ignored(name, config):
                            unexpected.append(name)
                        continue
                    shape = tuple(file.get_slice(name).get_shape())
                    if shape != expected[name]:
                        mismatched.append(f"{name} is {list(shape)}, config.json says {list(expected[name])}")
                        continue
                    weights[name] = file.get_tensor(name).to(torch.float32)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path} cannot be read ({error}); fetch the model again") from None
    missing = [name for name in expected if name not in weights and not any(m.startswith(name) for m in mismatched)]
    problems = [
        f"{label}: {_some(names)}"
        for label, names in (("missing", missing), ("unexpected", unexpected), ("mismatched", mismatched))
        if names
    ]
    if problems:
        raise ModelError(
            f"the weights in {folder} do not fit its config.json ({config.model_type}); {'; '.join(problems)}"
        )
    return {name: weights[name] for name in expected}


def read_tokenizer_files(folder: Path) -> dict[str, bytes]:
    """Name and contents of each of the tokenizer's files that the folder has."""
    return {name: (folder / name).read_bytes() for name in TOKENIZER_FILES if (folder / name).is_file()}


def write_folder(
    folder: Path,
    config: DecoderConfig,
    weights: Iterable[tuple[str, Tensor]],
    *,
    dtype: torch.dtype = torch.float32,
    tokenizer_files: Mapping[str, bytes] | None = None,
) -> None:
    """Writes a folder that transformers opens.

    Args:
        dtype: of the stored weights, recorded in config.json.
        tokenizer_files: name and contents, from `read_tokenizer_files`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    raw = {key: value for key, value in config.raw.items() if key != "torch_dtype"}
    raw["dtype"] = str(dtype).removeprefix("torch.")
    (folder / "config.json").write_text(json.dumps(raw, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in weights}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    for name, contents in (tokenizer_files or {}).items():
        (folder / name).write_bytes(contents)


def set_stored_dtype(folder: Path, dtype: torch.dtype) -> None:
    """Has config.json say in which dtype the weights are stored."""
    path = folder / "config.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**raw, "dtype": str(dtype).removeprefix("torch.")}, indent=2, sort_keys=True) + "\n")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model.

    Raises:
        ModelError: there are none, or the index names one that is not there.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    index = folder / INDEX
    if not index.is_file():
        raise ModelError(f"no {WEIGHTS} or {INDEX} in {folder}; only safetensors are read, as a pickle can run code")
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{index} is not an index of safetensors files: {error!r}") from None
    if absent := [name for name in names if not (folder / name).is_file()]:
        raise ModelError(f"{index} names files that are not there: {_some(absent)}; fetch the model again")
    return [folder / name for name in names]


def _ignored(name: str, config: DecoderConfig) -> bool:
    return name.endswith("rotary_emb.inv_freq") or (name == HEAD and config.tie_embeddings)


def _some(names: list[str], most: int = 5) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
