"""`open_model`: one value, whatever the model was called; families that register; no pair of folders anywhere else."""

from __future__ import annotations

import ast
import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

import assay
from assay.errors import ConfigError, ModelError
from assay.models import DecoderFamily, family, open_model, register_family
from assay.policies import DecoderConfig, DecoderPolicy, HFPolicy
from assay.policies.lora import LoraSettings
from assay.policies.tiny import write_tiny_causal_lm, write_tiny_model


@pytest.fixture
def adapter(tiny_model: Path, tmp_path: Path) -> Path:
    open_model(tiny_model).policy(lora=LoraSettings(rank=2)).save(tmp_path / "adapter")
    return tmp_path / "adapter"


def test_a_whole_model_is_its_own_base(tiny_model: Path) -> None:
    model = open_model(tiny_model)
    assert (model.folder, model.base, model.adapter) == (tiny_model, tiny_model, None)
    assert (model.kind, model.model_type, model.tokenizer) == ("decoder", "llama", tiny_model)
    assert model.configuration == DecoderConfig.from_folder(tiny_model)
    policy = model.policy()
    assert isinstance(policy, DecoderPolicy)
    assert model.shape.num_parameters == sum(parameter.numel() for parameter in policy.parameters())
    assert model.memory == sum(parameter.nbytes for parameter in policy.parameters())
    assert all(torch.equal(model.weights()[name], weight) for name, weight in policy.weights())
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.folder = tiny_model.parent  # pyright: ignore[reportAttributeAccessIssue]


def test_an_adapter_has_the_base_it_names_or_is_given(tiny_model: Path, adapter: Path, tmp_path: Path) -> None:
    model = open_model(adapter)
    assert (model.folder, model.base) == (adapter, tiny_model)
    assert model.adapter is not None
    assert model.adapter["r"] == 2
    assert model.num_trained() == 2 * 2 * (64 + 48 + 48 + 64 + 96 + 96 + 96)
    moved = Path(shutil.copytree(tiny_model, tmp_path / "moved"))
    assert open_model(adapter, moved).base == moved
    assert open_model(adapter, moved).identity == model.identity, "where the base lies does not count"


def test_a_tokenizer_is_the_adapters_own_or_that_of_its_base(tiny_model: Path, adapter: Path) -> None:
    assert open_model(adapter).tokenizer == adapter
    for file in adapter.glob("tokenizer*"):
        file.unlink()
    assert open_model(adapter).tokenizer == tiny_model
    assert open_model(adapter).renderer().stop_token_ids == open_model(tiny_model).renderer().stop_token_ids


def test_a_link_that_is_turned_elsewhere_changes_no_model(tiny_model: Path, tmp_path: Path) -> None:
    link, other = tmp_path / "best", write_tiny_model(tmp_path / "other", seed=4)
    link.symlink_to(tiny_model)
    model = open_model(link)
    expected = model.identity
    link.unlink()
    link.symlink_to(other)
    assert model.folder == tiny_model
    assert open_model(tiny_model).identity == expected
    assert open_model(link).identity != expected


def test_identity_is_of_what_is_computed(adapter: Path) -> None:
    before = open_model(adapter).identity
    path = adapter / "adapter_config.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "inference_mode": False}))
    assert open_model(adapter).identity == before
    path.write_text(json.dumps({**document, "lora_alpha": 64}))
    assert open_model(adapter).identity != before


def test_the_same_model_by_both_families(tiny_model: Path, tmp_path: Path) -> None:
    decoder, hf = open_model(tiny_model), open_model(tiny_model, policy="hf")
    assert (decoder.kind, hf.kind) == ("decoder", "hf")
    assert isinstance(hf.policy(), HFPolicy)
    assert decoder.shape == dataclasses.replace(hf.shape, kind="decoder")
    assert decoder.weights().keys() == hf.weights().keys()
    gpt2 = write_tiny_causal_lm(tmp_path / "gpt2")
    assert open_model(gpt2).kind == "hf"
    with pytest.raises(ModelError, match=r"model_type 'gpt2' is not supported.*model\.policy='hf'"):
        open_model(gpt2, policy="decoder")
    with pytest.raises(ConfigError, match="policy 'vllm' is unknown; use one of 'auto', 'decoder', 'hf'"):
        open_model(gpt2, policy="vllm")


def test_a_family_that_is_registered_is_asked_and_named(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Renamed(DecoderFamily):
        """Reads what a config.json calls "our-llama"."""

        name = "renamed"

        def configuration(self, folder: Path) -> DecoderConfig:
            raw = json.loads((folder / "config.json").read_text())
            if raw.get("model_type") != "our-llama":
                raise ModelError("not ours")
            return DecoderConfig.from_dict({**raw, "model_type": "llama"})

    monkeypatch.setattr(family, "_FAMILIES", dict(family._FAMILIES))
    folder = Path(shutil.copytree(tiny_model, tmp_path / "ours"))
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**raw, "model_type": "our-llama"}))
    with pytest.raises(ModelError, match="our-llama"):
        open_model(folder)
    register_family(Renamed())
    model = open_model(folder)
    assert model.kind == "renamed"
    tokens = torch.arange(8)
    assert torch.equal(model.policy().logits(tokens), open_model(tiny_model).policy().logits(tokens))
    assert open_model(tiny_model).kind == "decoder", "others are asked as before"
    assert open_model(write_tiny_causal_lm(tmp_path / "gpt2")).kind == "hf"
    with pytest.raises(ConfigError, match="'renamed' is registered already"):
        register_family(Renamed())


def test_what_training_wrote_is_on_the_same_base(tiny_model: Path, adapter: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(tiny_model, tmp_path / "moved"))
    assert open_model(moved).trained(adapter).base == moved
    whole = write_tiny_model(tmp_path / "whole", seed=2)
    assert open_model(moved).trained(whole).base == whole


def test_only_open_model_takes_the_pair_of_folders() -> None:
    """A folder and a base in one signature must be resolved again by whoever has them."""
    package = Path(assay.__path__[0])
    folders, bases = {"folder", "model_folder", "whole", "source", "model"}, {"base", "base_folder", "whole"}
    found = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names = {argument.arg for argument in [*node.args.args, *node.args.kwonlyargs]}
                if names & folders and names & bases and len(names & (folders | bases)) > 1:
                    found.add(f"{path.relative_to(package)}:{node.name}")
    resolving = {"models/model.py:open_model", "models/source.py:base_of"}
    # The command's two options, and `base` of a new adapter, which is what adapter_config.json says of it.
    assert found == resolving | {"cli/export.py:export", "policies/lora/adapter.py:new"}
