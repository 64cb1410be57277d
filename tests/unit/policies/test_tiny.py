from __future__ import annotations

from pathlib import Path

import torch
import transformers

from assay.models import open_model
from assay.policies.tiny import write_tiny_model


def test_the_seed_decides_the_weights(tmp_path: Path) -> None:
    def weights(name: str, seed: int) -> dict[str, torch.Tensor]:
        return dict(open_model(write_tiny_model(tmp_path / name, seed=seed)).policy().weights())

    first, again, other = weights("a", 0), weights("b", 0), weights("c", 1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["model.embed_tokens.weight"], other["model.embed_tokens.weight"])


def test_overrides_reach_the_model(tmp_path: Path) -> None:
    config = open_model(write_tiny_model(tmp_path, model_type="qwen3", head_dim=4, num_hidden_layers=1)).policy().config
    assert (config.model_type, config.head_size, config.num_layers, config.qk_norm) == ("qwen3", 4, 1, True)


def test_its_tokenizer_spells_any_text_in_bytes(tiny_model: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    text = " 2 + 2 = 4\n\té😀"
    token_ids = tokenizer(text).input_ids
    assert len(token_ids) == len(text.encode())
    assert tokenizer.decode(token_ids) == text
    assert tokenizer.vocab_size <= open_model(tiny_model).policy().config.vocab_size == 258


def test_its_template_is_chatml(tiny_model: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    assert text == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.eos_token == "<|im_end|>"
    assert len(tokenizer("<|im_start|><|im_end|>").input_ids) == 2
