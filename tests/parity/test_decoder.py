"""Our decoder against transformers: the same logits for every family and rope scaling, in both directions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from assay.models import open_model

TOLERANCE = 1e-4
SHAPE = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
}
FAMILIES: dict[str, tuple[type, dict[str, Any]]] = {
    "llama": (transformers.LlamaConfig, {}),
    "llama, biases, tied": (
        transformers.LlamaConfig,
        {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    ),
    "llama, one key-value head, head size of its own": (
        transformers.LlamaConfig,
        {"num_key_value_heads": 1, "head_dim": 12},
    ),
    "smollm3, every second layer without rope": (transformers.SmolLM3Config, {"no_rope_layer_interval": 2}),
    "smollm3, listed layers, windows": (
        transformers.SmolLM3Config,
        {"no_rope_layers": [0, 1, 0], "use_sliding_window": True, "sliding_window": 7, "attention_bias": True},
    ),
    "qwen2": (transformers.Qwen2Config, {}),
    "qwen2, windows from layer 1": (
        transformers.Qwen2Config,
        {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1, "tie_word_embeddings": True},
    ),
    "qwen3, head size of its own": (transformers.Qwen3Config, {"head_dim": 16}),
    "qwen3, biases, layer types": (
        transformers.Qwen3Config,
        {
            "head_dim": 8,
            "attention_bias": True,
            "use_sliding_window": True,
            "sliding_window": 5,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
    ),
    "mistral, window": (transformers.MistralConfig, {"sliding_window": 8, "head_dim": 16}),
    "mistral, no window": (transformers.MistralConfig, {"sliding_window": None}),
}
SCALINGS: dict[str, dict[str, Any]] = {
    "linear": {"rope_type": "linear", "factor": 2.5},
    "dynamic": {"rope_type": "dynamic", "factor": 2.0},
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    },
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
    "yarn, ramp and attention factor": {
        "rope_type": "yarn",
        "factor": 2.0,
        "original_max_position_embeddings": 32,
        "beta_fast": 8.0,
        "beta_slow": 0.5,
        "attention_factor": 1.3,
        "truncate": False,
    },
    "yarn, mscale": {"rope_type": "yarn", "factor": 4.0, "mscale": 1.5, "mscale_all_dim": 0.5},
}


def write(folder: Path, config: transformers.PretrainedConfig) -> transformers.PreTrainedModel:
    """Saves a random model whose norms and biases are random as well: ones and zeros would hide mistakes."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(folder)
    return model


@torch.no_grad()
def assert_same_logits(folder: Path, model: transformers.PreTrainedModel, *lengths: int) -> None:
    policy = open_model(folder).policy()
    for length in lengths:
        token_ids = torch.randint(
            0, policy.config.vocab_size, (length,), generator=torch.Generator().manual_seed(length)
        )
        expected = model(token_ids[None]).logits[0]
        assert expected.std() > 0.1, "a model that says nothing would agree with anything"
        torch.testing.assert_close(policy.logits(token_ids), expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", FAMILIES)
def test_family_has_the_logits_of_transformers_both_ways(name: str, tmp_path: Path) -> None:
    config_class, changes = FAMILIES[name]
    model = write(tmp_path / "theirs", config_class(**{**SHAPE, "pad_token_id": 0, **changes}))
    # 40 tokens are several sliding windows long.
    assert_same_logits(tmp_path / "theirs", model, 1, 6, 40)

    open_model(tmp_path / "theirs").policy().save(tmp_path / "ours")
    reopened = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours")
    assert reopened.dtype == torch.float32
    assert_same_logits(tmp_path / "theirs", reopened.eval(), 40)


@pytest.mark.parametrize("spelling", ["rope_parameters", "rope_scaling"])
@pytest.mark.parametrize("name", SCALINGS)
def test_rope_scaling_has_the_logits_of_transformers_beyond_its_context(
    name: str, spelling: str, tmp_path: Path
) -> None:
    parameters = {**SCALINGS[name], "rope_theta": 5000.0}
    model = write(tmp_path, transformers.LlamaConfig(**SHAPE, rope_parameters=dict(parameters)))
    if spelling == "rope_scaling":
        raw = json.loads((tmp_path / "config.json").read_text())
        del raw["rope_parameters"]
        raw["rope_theta"] = parameters.pop("rope_theta")
        raw["rope_scaling"] = {"type" if key == "rope_type" else key: value for key, value in parameters.items()}
        (tmp_path / "config.json").write_text(json.dumps(raw))
    assert_same_logits(tmp_path, model, 20, 64, 100, 20)


def test_weights_in_several_files_are_read(tmp_path: Path) -> None:
    model = write(tmp_path, transformers.LlamaConfig(**SHAPE))
    (tmp_path / "model.safetensors").unlink()
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    assert_same_logits(tmp_path, model, 12)


def test_bf16_folder_opens_in_both_with_the_same_weights(tiny_model: Path, tmp_path: Path) -> None:
    open_model(tiny_model).policy().save(tmp_path, dtype=torch.bfloat16)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert model.dtype == torch.bfloat16
    assert_same_logits(tmp_path, model.float().eval(), 12)


def test_saved_folder_keeps_the_tokenizer(tiny_model: Path, tmp_path: Path) -> None:
    open_model(tiny_model).policy().save(tmp_path)
    ours, theirs = (transformers.AutoTokenizer.from_pretrained(folder) for folder in (tmp_path, tiny_model))
    messages = [{"role": "user", "content": "2 + 2, é?"}]
    assert ours.apply_chat_template(messages, tokenize=False) == theirs.apply_chat_template(messages, tokenize=False)
    assert ours("2 + 2 = é").input_ids == theirs("2 + 2 = é").input_ids


PROMPTS = ("What is 17 + 26?", "Name three colours.", "Write a haiku about rain.")


@pytest.mark.model
def test_default_model_has_the_logits_and_greedy_text_of_transformers() -> None:
    opened = open_model("default")
    folder, policy = opened.folder, opened.policy()
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for prompt in PROMPTS:
        encoded = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        prompt_length = encoded["input_ids"].shape[1]
        token_ids = model.generate(**encoded, max_new_tokens=20, do_sample=False)[0]
        logits = policy.logits(token_ids)
        # Choosing every next token of a text greedily is generating that text greedily, in one forward pass.
        greedy = logits[prompt_length - 1 : -1].argmax(-1)
        assert tokenizer.decode(greedy) == tokenizer.decode(token_ids[prompt_length:])
        with torch.no_grad():
            torch.testing.assert_close(logits, model(token_ids[None]).logits[0], atol=TOLERANCE, rtol=0)
