from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from assay.errors import ModelError
from assay.models import open_model

Q_PROJ = "model.layers.0.self_attn.q_proj.weight"


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may break."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def rewrite(folder: Path, **changes: torch.Tensor | None) -> None:
    """Replaces tensors, or removes those that are None; "__" stands for a dot."""
    weights = load_file(folder / "model.safetensors")
    for name, tensor in changes.items():
        name = name.replace("__", ".")
        weights.pop(name, None)
        if tensor is not None:
            weights[name] = tensor
    save_file(weights, folder / "model.safetensors")


def test_missing_unexpected_and_mismatched_tensors_are_named(folder: Path) -> None:
    rewrite(
        folder,
        model__norm__weight=None,
        model__extra__weight=torch.zeros(2),
        model__layers__0__self_attn__q_proj__weight=torch.zeros(32, 31),
    )
    with pytest.raises(ModelError) as error:
        open_model(folder).policy()
    message = str(error.value)
    assert str(folder) in message
    assert "missing: model.norm.weight;" in message
    assert "unexpected: model.extra.weight;" in message
    assert f"mismatched: {Q_PROJ} is [32, 31], config.json says [32, 32]" in message


def test_what_old_checkpoints_repeat_is_accepted(folder: Path) -> None:
    expected = dict(open_model(folder).policy().weights())
    rewrite(
        folder,
        lm_head__weight=expected["model.embed_tokens.weight"].clone(),
        model__layers__0__self_attn__rotary_emb__inv_freq=torch.zeros(4),
    )
    assert dict(open_model(folder).policy().weights()).keys() == expected.keys()


def test_an_untied_model_needs_its_head(folder: Path) -> None:
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**raw, "tie_word_embeddings": False}))
    with pytest.raises(ModelError, match=r"missing: lm_head\.weight"):
        open_model(folder).policy()


def test_folders_without_readable_weights_are_refused(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"model\.safetensors cannot be read"):
        open_model(folder).policy()
    weights.unlink()
    with pytest.raises(ModelError, match=r"no model\.safetensors"):
        open_model(folder).policy()
    index = folder / "model.safetensors.index.json"
    index.write_text("{}")
    with pytest.raises(ModelError, match="not an index"):
        open_model(folder).policy()
    index.write_text(json.dumps({"weight_map": {Q_PROJ: "model-00001-of-00002.safetensors"}}))
    with pytest.raises(ModelError, match=r"not there: model-00001-of-00002\.safetensors"):
        open_model(folder).policy()


def test_saving_round_trips_weights_config_and_tokenizer(folder: Path, tmp_path: Path) -> None:
    (folder / "chat_template.jinja").write_text("template")
    policy, saved = open_model(folder).policy(), tmp_path / "saved"
    policy.save(saved)
    for name, tensor in open_model(saved).policy().weights():
        assert torch.equal(tensor, dict(policy.weights())[name])
    assert json.loads((saved / "config.json").read_text()) == {**policy.config.raw, "dtype": "float32"}
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (saved / name).read_bytes() == (folder / name).read_bytes()


def test_saving_works_after_the_loaded_folder_is_gone(folder: Path, tmp_path: Path) -> None:
    policy = open_model(folder).policy()
    shutil.rmtree(folder)
    policy.save(tmp_path / "saved")
    assert (tmp_path / "saved" / "tokenizer.json").stat().st_size > 0


def test_saving_over_the_loaded_folder_keeps_it_whole(folder: Path) -> None:
    policy = open_model(folder).policy()
    policy.save(folder)
    assert (folder / "tokenizer.json").stat().st_size > 0
    assert torch.equal(dict(open_model(folder).policy().weights())[Q_PROJ], dict(policy.weights())[Q_PROJ])


def test_saving_in_bf16_rounds_and_says_so(folder: Path, tmp_path: Path) -> None:
    policy = open_model(folder).policy()
    policy.save(tmp_path / "saved", dtype=torch.bfloat16)
    assert load_file(tmp_path / "saved" / "model.safetensors")[Q_PROJ].dtype == torch.bfloat16
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["dtype"] == "bfloat16"
    expected = dict(policy.weights())[Q_PROJ].bfloat16().float()
    assert torch.equal(dict(open_model(tmp_path / "saved").policy().weights())[Q_PROJ], expected)
