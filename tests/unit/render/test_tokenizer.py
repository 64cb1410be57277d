"""A tokenizer is read as AutoTokenizer reads it, and without the modules of its model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assay.render.tokenizer import read_tokenizer

TEXT = "Ein süßes Wort <|im_end|>\n  12 + 3 = 15"


@pytest.mark.parametrize("own", ["PreTrainedTokenizerFast", "GPT2Tokenizer", "Qwen2Tokenizer", "LlamaTokenizer", None])
@pytest.mark.parametrize("model_type", ["llama", "qwen3", "mistral", "gpt2"])
def test_it_is_the_one_that_transformers_finds(tiny_model: Path, tmp_path: Path, own: str | None, model_type: str):
    from transformers import AutoTokenizer

    folder = shutil.copytree(tiny_model, tmp_path / "model")
    for name, key, value in (("tokenizer_config", "tokenizer_class", own), ("config", "model_type", model_type)):
        path = folder / f"{name}.json"
        known: dict[str, Any] = json.loads(path.read_text())
        path.write_text(json.dumps({k: v for k, v in {**known, key: value}.items() if v is not None}))
    expected: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    found: Any = read_tokenizer(folder)
    assert type(found) is type(expected)
    assert found(TEXT).input_ids == expected(TEXT).input_ids
    assert found.special_tokens_map == expected.special_tokens_map
    assert found.chat_template == expected.chat_template


def test_nothing_of_the_model_is_imported(tiny_model: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from assay.render import load_renderer; "
        "load_renderer(Path(sys.argv[1])); print([m for m in ('transformers.activations', 'torch._dynamo') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tiny_model)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stdout
