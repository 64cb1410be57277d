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
from assay.policies.layers import EMBEDDING, HEAD, weight_shapes

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_EMBEDDINGS = (
    EMBEDDING,
    "transformer.wte.weight",
    "transformer.word_embeddings.weight",
    "gpt_neox.embed_in.weight",
    "model.decoder.embed_tokens.weight",
    "backbone.embeddings.weight",
)
"""Names of the embedding in architectures whose output matrix is `lm_head.weight`."""
_ROWS_AT_ONCE = 4096
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
"""Files that are copied as they are from the folder that was loaded to every folder that is saved."""


def read_weights(folder: Path, config: DecoderConfig) -> dict[str, Tensor]:
    """Every tensor of the model, in fp32.

    A tied model may repeat its embedding as `lm_head.weight`, or have only the one under that name. The rotary
    frequencies that old checkpoints store are ignored.

    Raises:
        ModelError: no weights, a file that cannot be read, or tensors that are missing, unexpected or of another shape
            than config.json says. Names the tensors and the folder.
    """
    expected = weight_shapes(config)
    weights: dict[str, Tensor] = {}
    second: Tensor | None = None
    unexpected: list[str] = []
    mismatched: list[str] = []
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118, it is not a mapping
                    if name == HEAD and config.tie_embeddings:
                        second = file.get_tensor(name).to(torch.float32)
                        continue
                    if name not in expected:
                        if not name.endswith("rotary_emb.inv_freq"):
                            unexpected.append(name)
                        continue
                    shape = tuple(file.get_slice(name).get_shape())
                    if shape != expected[name]:
                        mismatched.append(f"{name} is {list(shape)}, config.json says {list(expected[name])}")
                        continue
                    weights[name] = file.get_tensor(name).to(torch.float32)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path} cannot be read ({error}); fetch the model again") from None
    if second is not None and second.shape == expected[EMBEDDING]:
        # One matrix under either name; where both are there and differ, the model is not tied (`has_own_head`).
        if not torch.equal(weights.setdefault(EMBEDDING, second), second):
            unexpected.append(f"{HEAD}, which differs from {EMBEDDING} though tie_word_embeddings is true")
    elif second is not None:
        mismatched.append(f"{HEAD} is {list(second.shape)}, config.json says {list(expected[EMBEDDING])}")
    missing = [name for name in expected if name not in weights and not any(m.startswith(name) for m in mismatched)]
    problems = [
        f"{label}: {some_names(names)}"
        for label, names in (("missing", missing), ("unexpected", unexpected), ("mismatched", mismatched))
        if names
    ]
    if problems:
        raise ModelError(
            f"the weights in {folder} do not fit its config.json ({config.model_type}); {'; '.join(problems)}"
        )
    return {name: weights[name] for name in expected}


def has_own_head(folder: Path) -> bool:
    """Return whether the files of a model hold an output matrix whose values differ from its embedding's.

    Then the two are not tied, whatever `tie_word_embeddings` in config.json says: transformers 5 computes with both.
    False where the files cannot be read, which is for whoever reads the weights to report.
    """
    places: dict[str, Path] = {}
    try:
        for path in weight_files(folder):
            with safe_open(path, framework="pt") as file:
                places |= {name: path for name in file.keys() if name in (HEAD, *_EMBEDDINGS)}  # noqa: SIM118
        embedding = next((name for name in places if name != HEAD), None)
        if embedding is None or HEAD not in places:
            return False
        with safe_open(places[HEAD], framework="pt") as one, safe_open(places[embedding], framework="pt") as other:
            head, words = one.get_slice(HEAD), other.get_slice(embedding)
            if head.get_shape() != words.get_shape():
                return True
            # Part by part: each of a large vocabulary's matrices is a gigabyte.
            parts = [slice(start, start + _ROWS_AT_ONCE) for start in range(0, head.get_shape()[0], _ROWS_AT_ONCE)]
            return not all(torch.equal(head[part].float(), words[part].float()) for part in parts)
    except (ModelError, SafetensorError, OSError):
        return False


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
    write_config(folder, config, dtype)
    tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in weights}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    for name, contents in (tokenizer_files or {}).items():
        (folder / name).write_bytes(contents)


def write_config(folder: Path, config: DecoderConfig, dtype: torch.dtype = torch.float32) -> None:
    """Writes config.json alone.

    Args:
        dtype: of the weights that are stored beside it.
    """
    raw = {key: value for key, value in config.raw.items() if key != "torch_dtype"}
    raw["dtype"] = str(dtype).removeprefix("torch.")
    (folder / "config.json").write_text(json.dumps(raw, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def set_stored_dtype(folder: Path, dtype: torch.dtype) -> None:
    """Set the dtype that config.json states for the stored weights."""
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
        raise ModelError(f"{index} names files that are not there: {some_names(absent)}; fetch the model again")
    return [folder / name for name in names]


def some_names(names: list[str], most: int = 5) -> str:
    """The first names of a list, and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
