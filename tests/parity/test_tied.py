"""Output matrices and embeddings that are one, or two, whatever config.json says: as transformers reads the files."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor
from typer.testing import CliRunner

from assay.cli.main import app
from assay.config import validate
from assay.engines import Sampling
from assay.errors import ModelError
from assay.launch import build_run
from assay.loop import train
from assay.models import open_model
from assay.observe.console import Console
from assay.policies.lora import LoraSettings
from assay.policies.tiny import write_tiny_causal_lm, write_tiny_model
from assay.recipe import RunConfig

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
TOKENS = torch.arange(3, 40)
FAMILIES = {
    "llama": {},
    "qwen2": {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]},
    "qwen3": {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "head_dim": 8},
    "smollm3": {"model_type": "smollm3", "architectures": ["SmolLM3ForCausalLM"]},
}


def rewrite(folder: Path, **tensors: Tensor | None) -> Path:
    """Adds tensors to a model's file, or removes those that are None; "__" stands for a dot."""
    path = folder / "model.safetensors"
    kept = {**load_file(path), **{name.replace("__", "."): tensor for name, tensor in tensors.items()}}
    save_file({name: tensor for name, tensor in kept.items() if tensor is not None}, path, metadata={"format": "pt"})
    return folder


def own_head(folder: Path, embedding: str = EMBEDDING) -> Path:
    """A model whose config.json ties its matrices, and whose file has two that differ."""
    shape = load_file(folder / "model.safetensors")[embedding].shape
    return rewrite(folder, lm_head__weight=torch.randn(shape, generator=torch.Generator().manual_seed(3)) * 0.2)


def their_logits(folder: Path) -> Tensor:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return model(TOKENS[None]).logits[0]


def greedy(folder: Path, kind: str) -> tuple[int, ...]:
    engine = open_model(folder, policy=kind).engine(stop_token_ids=(), decode=str, dtype=torch.float32)
    sampling = Sampling(temperature=0.0, max_new_tokens=8)
    return asyncio.run(engine.generate(TOKENS.tolist(), sampling, request_id="0", seed=0)).token_ids


def their_greedy(folder: Path) -> tuple[int, ...]:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    found = model.generate(TOKENS[None], max_new_tokens=8, do_sample=False, eos_token_id=None, pad_token_id=0)
    return tuple(found[0, len(TOKENS) :].tolist())


def command(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("kind", ["decoder", "hf"])
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_an_own_output_matrix_is_computed_with_whatever_the_configuration_says(
    family: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    folder = own_head(write_tiny_model(tmp_path / "model", **family))
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"] is True
    model = open_model(folder, policy=kind)
    policy, expected = model.policy(), their_logits(folder)
    torch.testing.assert_close(policy.logits(TOKENS), expected, atol=1e-4, rtol=0)
    assert {EMBEDDING, HEAD} <= model.weights().keys()
    assert model.shape.num_parameters == sum(parameter.numel() for parameter in policy.parameters())
    assert "are not tied" in model.cautions[0]
    assert greedy(folder, kind) == their_greedy(folder)

    policy.save(tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["tie_word_embeddings"] is False
    torch.testing.assert_close(their_logits(tmp_path / "saved"), expected, atol=1e-4, rtol=0)
    assert open_model(tmp_path / "saved", policy=kind).cautions == ()


@pytest.mark.parametrize("kind", ["decoder", "hf"])
def test_one_matrix_under_either_name_or_both_is_tied(kind: str, tmp_path: Path) -> None:
    plain = write_tiny_model(tmp_path / "plain")
    matrix = load_file(plain / "model.safetensors")[EMBEDDING]
    both = rewrite(Path(shutil.copytree(plain, tmp_path / "both")), lm_head__weight=matrix.clone())
    rounded = Path(shutil.copytree(plain, tmp_path / "rounded"))
    rewrite(rounded, model__embed_tokens__weight=matrix.bfloat16(), lm_head__weight=matrix.bfloat16().float())
    second = Path(shutil.copytree(plain, tmp_path / "second"))
    rewrite(second, model__embed_tokens__weight=None, lm_head__weight=matrix.clone())
    for folder in (plain, both, rounded, second):
        model = open_model(folder, policy=kind)
        assert model.cautions == ()
        assert HEAD not in model.weights()
        torch.testing.assert_close(model.policy().logits(TOKENS), their_logits(folder), atol=1e-4, rtol=0)


def test_an_own_matrix_in_another_file_of_several(tmp_path: Path) -> None:
    folder = own_head(write_tiny_model(tmp_path / "model"))
    expected = their_logits(folder)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places = {name: f"part-{int(name == HEAD)}.safetensors" for name in tensors}
    for file in sorted(set(places.values())):
        save_file({name: tensors[name] for name in tensors if places[name] == file}, folder / file, {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    torch.testing.assert_close(open_model(folder).policy().logits(TOKENS), expected, atol=1e-4, rtol=0)


def test_an_own_matrix_of_another_architecture(tmp_path: Path) -> None:
    folder = own_head(write_tiny_causal_lm(tmp_path / "gpt2"), "transformer.wte.weight")
    policy, expected = open_model(folder).policy(), their_logits(folder)
    torch.testing.assert_close(policy.logits(TOKENS), expected, atol=1e-4, rtol=0)
    assert greedy(folder, "auto") == their_greedy(folder)
    policy.save(tmp_path / "saved")
    torch.testing.assert_close(their_logits(tmp_path / "saved"), expected, atol=1e-4, rtol=0)


def test_commands_say_so_and_write_what_was_computed(tmp_path: Path) -> None:
    folder = own_head(write_tiny_model(tmp_path / "model"))
    assert "caution: config.json says tie_word_embeddings" in command(
        "export", folder, tmp_path / "out", "--dtype", "fp32"
    )
    torch.testing.assert_close(their_logits(tmp_path / "out"), their_logits(folder), atol=1e-4, rtol=0)
    assert "are not tied" in command("chat", folder, "--prompt", "hello", "--max-new-tokens", 2)
    reading = {
        "name": "python",
        "function": f"{Path(__file__).parent / 'rewards.py'}:share_of_letters",
        "gold_format": "",
        "solved_at": 0.5,
    }
    settings = {
        "num_steps": 1,
        "groups_per_step": 2,
        "group_size": 3,
        "num_threads": 1,
        "model": {"source": str(folder), "device": "cpu", "compute_dtype": "fp32"},
        "verifier": reading,
        "sampling": {"max_new_tokens": 6},
        "trainer": {"learning_rate": 1e-2},
        "evaluation": {"every_steps": 0, "test_tasks": 0, "strict": reading, "lenient": reading},
    }
    said = io.StringIO()
    run = build_run(
        validate(RunConfig, settings), tmp_path / "run", console=Console(stream=said, live=False, width=400)
    )
    asyncio.run(train(run))
    assert "are not tied" in said.getvalue()
    trained = open_model(tmp_path / "run")
    before, after = open_model(folder).weights(), trained.weights()
    assert all(not torch.equal(before[name], after[name]) for name in (EMBEDDING, HEAD)), "both are trained"
    torch.testing.assert_close(trained.policy().logits(TOKENS), their_logits(trained.folder), atol=1e-4, rtol=0)


def test_an_adapter_on_it_is_the_same_to_peft(tmp_path: Path) -> None:
    import peft

    folder = own_head(write_tiny_model(tmp_path / "model"))
    policy = open_model(folder).policy(lora=LoraSettings(rank=2))
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
    policy.save(tmp_path / "adapter")
    theirs = peft.PeftModel.from_pretrained(
        transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), tmp_path / "adapter"
    ).eval()
    torch.testing.assert_close(theirs(TOKENS[None]).logits[0], policy.logits(TOKENS), atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["decoder", "hf"])
def test_tensors_that_the_configuration_does_not_expect_are_named(kind: str, tmp_path: Path) -> None:
    plain = write_tiny_model(tmp_path / "plain")
    cases = {
        "value head": {"v_head__summary__weight": torch.zeros(1, 32)},
        "bias": {"model__layers__0__self_attn__q_proj__bias": torch.ones(32)},
        "norm": {"model__layers__1__self_attn__q_norm__weight": torch.ones(8)},
        "experts": {"model__layers__0__mlp__experts__0__up_proj__weight": torch.ones(64, 32)},
    }
    for label, tensors in cases.items():
        folder = rewrite(Path(shutil.copytree(plain, tmp_path / label)), **tensors)
        name = next(iter(tensors)).replace("__", ".")
        with pytest.raises(ModelError, match=rf"do not fit its config.json \(llama\); unexpected: {name}"):
            open_model(folder, policy=kind).policy()
    fewer = Path(shutil.copytree(plain, tmp_path / "fewer"))
    raw = json.loads((fewer / "config.json").read_text())
    (fewer / "config.json").write_text(json.dumps({**raw, "num_hidden_layers": 1}))
    with pytest.raises(ModelError, match=r"unexpected: model\.layers\.1\..* and 4 more"):
        open_model(fewer, policy=kind).weights()
    old = rewrite(
        Path(shutil.copytree(plain, tmp_path / "old")),
        model__layers__0__self_attn__rotary_emb__inv_freq=torch.zeros(4),
    )
    assert open_model(old, policy=kind).policy()


def test_an_output_matrix_of_another_shape_is_no_copy(tmp_path: Path) -> None:
    folder = rewrite(write_tiny_model(tmp_path / "model"), lm_head__weight=torch.zeros(7, 32))
    with pytest.raises(ModelError, match=r"mismatched: lm_head\.weight is \[7, 32\], config\.json says \[258, 32\]"):
        open_model(folder).policy()
