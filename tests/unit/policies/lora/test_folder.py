"""Adapter folders of others: what is read, and what broken, hostile or foreign ones get."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from assay.errors import ConfigError, ModelError
from assay.models import open_model
from assay.policies.lora import LoraSettings, is_adapter
from assay.policies.lora.folder import num_stored_parameters
from assay.policies.tiny import write_tiny_model

FIRST = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.fixture
def adapter(tiny_model: Path, tmp_path: Path) -> Path:
    policy = open_model(tiny_model).policy(lora=LoraSettings(rank=2, target_modules=("q_proj", "down_proj")))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    policy.save(tmp_path / "adapter")
    return tmp_path / "adapter"


def change(adapter: Path, **settings: Any) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def tiny_model_of(adapter: Path) -> str:
    return json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"]


def change_tensors(adapter: Path, **tensors: Any) -> None:
    """Replaces, adds or (where None) removes tensors."""
    path = adapter / "adapter_model.safetensors"
    names = {"first": FIRST}
    kept = {**load_file(path), **{names.get(name, name): tensor for name, tensor in tensors.items()}}
    save_file({name: tensor for name, tensor in kept.items() if tensor is not None}, path)


def test_what_was_saved_is_loaded(tiny_model: Path, adapter: Path) -> None:
    assert is_adapter(adapter)
    assert not is_adapter(tiny_model)
    assert sorted(path.name for path in adapter.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert num_stored_parameters(adapter) == 2 * 2 * ((32 + 32) + (64 + 32))
    policy = open_model(adapter).policy()
    policy.save(adapter.parent / "again")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (adapter / name).read_bytes() == (adapter.parent / "again" / name).read_bytes()
    model = open_model(adapter)
    assert model.configuration == policy.config
    merged = model.weights()
    assert all(torch.equal(merged[name], weight) for name, weight in policy.weights())
    assert not torch.equal(merged["model.layers.0.self_attn.q_proj.weight"], policy.get_parameter(name_of("q_proj")))
    assert torch.equal(merged[name_of("v_proj")], policy.get_parameter(name_of("v_proj")))


def name_of(module: str) -> str:
    return f"model.layers.0.self_attn.{module}.weight"


def test_an_adapter_with_settings_takes_no_new_ones(adapter: Path) -> None:
    with pytest.raises(ConfigError, match=r"model.lora has no effect .*leave .* out"):
        open_model(adapter).policy(lora=LoraSettings())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"peft_type": "LOHA"}, "peft_type 'LOHA' is not supported"),
        ({"peft_type": ["LORA"]}, r"peft_type \['LORA'\] is not supported"),
        ({"task_type": "SEQ_CLS"}, "task_type 'SEQ_CLS' is not supported"),
        ({"use_dora": True}, "'use_dora' is not supported"),
        (
            {"modules_to_save": ["lm_head"]},
            "'modules_to_save' is not supported; .*without whole modules or embeddings.*two first",
        ),
        ({"trainable_token_indices": [1]}, "'trainable_token_indices' is not supported"),
        ({"lora_bias": True, "layer_replication": [[0, 1]]}, "'layer_replication', 'lora_bias' are not supported"),
        ({"invented_next_year": {"x": 1}}, "'invented_next_year' is not supported"),
        ({"bias": "lora_only"}, "bias 'lora_only' is not supported"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights 'pissa' changes the base too"),
        ({"r": 0}, "r must be a whole number"),
        ({"r": True}, "r must be a whole number"),
        ({"r": 10**9}, "r must be a whole number"),
        ({"r": None}, "r must be a whole number"),
        ({"lora_alpha": "16"}, "lora_alpha must be a number"),
        ({"lora_alpha": float("nan")}, "lora_alpha must be a number"),
        ({"lora_alpha": 10**400}, "lora_alpha must be a number"),
        ({"rank_pattern": {"(a+)+$": 4}}, "neither the name of a module nor a simple regular expression"),
        ({"alpha_pattern": {".*.*.*.*q_proj": 4}}, "at most 3 of .* write out the names"),
        ({"alpha_pattern": {"(?=.*q_proj).*": 4}}, "neither the name of a module nor a simple regular expression"),
        ({"alpha_pattern": {r"(q)\1_proj": 4}}, "neither the name of a module nor a simple regular expression"),
        ({"alpha_pattern": {"q" * 201: 4}}, "neither the name of a module nor a simple regular expression"),
        ({"alpha_pattern": {"q_proj)|(.": 4}}, "neither the name of a module nor a simple regular expression"),
        ({"rank_pattern": {"q_proj": -1}}, r"rank_pattern\['q_proj'\] must be a whole number"),
        ({"alpha_pattern": [1]}, r"alpha_pattern must be an object, got \[1\]"),
        ({"target_modules": {"q_proj": 1}}, "target_modules must be a list of names"),
        ({"target_modules": ["q_proj"] * 20_000}, "target_modules must be a list of names, at most 10,000"),
        ({"base_model_name_or_path": 7}, "base_model_name_or_path must be a text, got 7"),
        ({"base_model_name_or_path": None}, "does not say of which model; name its base: --base"),
        ({"base_model_name_or_path": "/no\x1b[31msuch"}, r"is not here: no model '/no\\x1b\[31msuch'"),
        ({"r": 3}, r"mismatched: .* is \[2, 32\], should be \[3, 32\]"),
        ({"target_modules": ["q_proj", "down_proj", "k_proj"]}, "missing: any tensor of 'k_proj'"),
        ({"peft_type": "\x1b[2J" * 1000}, r"peft_type '\\x1b\[2J"),
    ],
)
def test_settings_that_are_refused(adapter: Path, settings: dict[str, Any], message: str) -> None:
    change(adapter, **settings)
    with pytest.raises(ModelError, match=message) as raised:
        open_model(adapter).policy()
    assert "\x1b" not in str(raised.value)
    assert len(str(raised.value)) < 1800


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '{"r": ' + "9" * 10_000 + "}", "\x00\xff"])
def test_a_settings_file_that_does_not_parse(adapter: Path, text: str) -> None:
    (adapter / "adapter_config.json").write_text(text, encoding="latin-1")
    with pytest.raises(ModelError, match=r"adapter_config.json"):
        open_model(adapter).policy()


def test_a_settings_file_that_is_enormous(adapter: Path) -> None:
    (adapter / "adapter_config.json").write_text(" " * (1 << 20) + "{}")
    with pytest.raises(ModelError, match="has more than 1,048,576 bytes"):
        open_model(adapter).policy()


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"first": torch.zeros(2, 31)}, r"mismatched: .*q_proj.lora_A.weight is \[2, 31\], should be \[2, 32\]"),
        ({"first": torch.full((2, 32), torch.inf)}, "not finite numbers: .*q_proj.lora_A.weight"),
        ({"first": torch.zeros(2, 32, dtype=torch.int64)}, "not finite numbers: .*q_proj.lora_A.weight"),
        ({"first": None}, "missing: .*layers.0.self_attn.q_proj.lora_A.weight"),
        ({"\x1b[31m" * 100: torch.zeros(2)}, r"unexpected: '\\x1b"),
        ({FIRST.replace("layers.0", "layers.7"): torch.zeros(2, 32)}, "unexpected: .*layers.7"),
    ],
)
def test_tensors_that_are_refused(adapter: Path, tiny_model: Path, tensors: dict[str, Any], message: str) -> None:
    change_tensors(adapter, **tensors)
    with pytest.raises(ModelError, match=message) as raised:
        open_model(adapter).policy()
    assert "does not fit this llama model of 14 products" in str(raised.value)
    assert str(tiny_model) in str(raised.value)


def test_adapters_of_more_than_products_are_refused_as_what_they_are(adapter: Path) -> None:
    change_tensors(adapter, **{"base_model.model.lm_head.lora_A.weight": torch.zeros(2, 32)})
    with pytest.raises(
        ModelError,
        match=r"adapts embeddings, the output matrix .*lm_head.*merge it with PEFT.*tie_word.* give it two first",
    ):
        open_model(adapter).policy()


def test_the_bases_settings_beside_an_adapter_make_it_no_whole_model(tiny_model: Path, adapter: Path) -> None:
    shutil.copy(tiny_model / "config.json", adapter)
    assert is_adapter(adapter)
    assert open_model(adapter).policy().adapter is not None
    shutil.copy(tiny_model / "model.safetensors", adapter)
    with pytest.raises(ModelError, match=r"holds an adapter .* and a whole model; move one of them"):
        open_model(adapter).policy()


def test_a_base_of_a_name_that_is_no_name(adapter: Path) -> None:
    change(adapter, base_model_name_or_path="x" * 5000)
    with pytest.raises(ModelError, match=r"names a base of 5,000 characters.*--base"):
        open_model(adapter).policy()
    change(adapter, base_model_name_or_path="openai:gpt")
    with pytest.raises(ModelError, match=r"the base of the adapter .* is not here.*--base"):
        open_model(adapter).policy()


def test_weights_that_are_no_weights(adapter: Path) -> None:
    weights = adapter / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    for read in (lambda folder: open_model(folder).policy(), num_stored_parameters):
        with pytest.raises(ModelError, match=r"cannot be read .*fetch the adapter again"):
            read(adapter)
    weights.unlink()
    with pytest.raises(ModelError, match=r"no adapter_model.safetensors"):
        open_model(adapter).policy()
    (adapter / "adapter_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelError, match=r"is a pickle, which can run code .*safe_serialization=True"):
        open_model(adapter).policy()


def test_another_base_is_refused_by_shape_and_by_weights(adapter: Path, tmp_path: Path) -> None:
    larger = write_tiny_model(tmp_path / "larger", num_hidden_layers=1)
    with pytest.raises(ModelError, match="does not fit this llama model of 7 products; unexpected"):
        open_model(adapter, larger).policy()
    other = write_tiny_model(tmp_path / "other", seed=7)
    with pytest.raises(ModelError, match=r"trained on another base: .*fingerprint .*--base") as raised:
        open_model(adapter, other).policy()
    assert str(tiny_model_of(adapter)) in str(raised.value)
    with pytest.raises(ModelError, match="another base"):
        open_model(adapter, other).weights()


def test_a_base_may_have_moved_or_be_a_copy_in_bf16(tiny_model: Path, adapter: Path, tmp_path: Path) -> None:
    change(adapter, base_model_name_or_path="organisation/gone")
    moved = shutil.copytree(tiny_model, tmp_path / "moved")
    policy = open_model(adapter, moved).policy()
    policy.save(tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "adapter_config.json").read_text())["base_model_name_or_path"] == str(moved)
    open_model(tiny_model).policy().save(tmp_path / "half", dtype=torch.bfloat16)
    open_model(adapter, tmp_path / "half").policy()


def test_a_base_that_is_none(tiny_model: Path, adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is an adapter itself"):
        open_model(adapter, shutil.copytree(adapter, tmp_path / "second")).policy()
    with pytest.raises(ModelError, match="a base has no effect"):
        open_model(tiny_model, tiny_model).policy()


def test_others_adapters_without_a_fingerprint_or_a_tokenizer(tiny_model: Path, adapter: Path) -> None:
    """As PEFT leaves them: bf16 tensors, a regular expression of targets, training-only settings."""
    for file in adapter.glob("tokenizer*"):
        file.unlink()
    path = adapter / "adapter_model.safetensors"
    save_file({name: tensor.bfloat16() for name, tensor in load_file(path).items()}, path)
    change(adapter, target_modules=r".*(q|down)_proj", lora_dropout=0.1, peft_version="0.21.2", layers_pattern="layers")
    policy = open_model(adapter).policy()
    assert set(policy.tokenizer_files) >= {"tokenizer.json", "tokenizer_config.json"}
    assert policy.adapter is not None
    assert len(policy.adapter.pairs) == 4


def test_patterns_are_read_as_peft_reads_them(adapter: Path) -> None:
    scales = {"model.layers.0.self_attn.q_proj": 1.0, "model.layers.1.self_attn.q_proj": 4.0, "down_proj": 16.0}
    change(adapter, lora_alpha=2, alpha_pattern={"layers.1.self_attn.q_proj": 8, "down_proj": 32, "own_proj": 1000})
    policy = open_model(adapter).policy()
    assert policy.adapter is not None
    for name, pair in policy.adapter.pairs.items():
        (expected,) = (scale for end, scale in scales.items() if name.removesuffix(".weight").endswith(end))
        assert pair.scale == expected
