"""Whole runs that train an adapter: what they keep, what they go on from, and what bad input gets."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from assay.cli.main import app
from assay.config import validate
from assay.errors import AssayError, CheckpointError, ConfigError, ModelError
from assay.launch import build_run
from assay.loop import train
from assay.losses.kl import REFERENCE_KL
from assay.models import open_model
from assay.observe.console import Console
from assay.observe.store import RunStore
from assay.policies.lora import LoraSettings
from assay.policies.tiny import write_tiny_causal_lm, write_tiny_model
from assay.recipe import RunConfig

REWARDS = Path(__file__).parents[1] / "parity" / "rewards.py"
READING = {"name": "python", "function": f"{REWARDS}:share_of_letters", "gold_format": "", "solved_at": 0.5}
LORA = {"rank": 2, "alpha": 4.0}


def config_of(source: Path, model: dict[str, Any] | None = None, **changes: Any) -> RunConfig:
    settings = {
        "num_steps": 2,
        "groups_per_step": 2,
        "group_size": 3,
        "num_threads": 1,
        "model": {"source": str(source), "device": "cpu", "compute_dtype": "fp32", "lora": LORA, **(model or {})},
        "verifier": READING,
        "sampling": {"max_new_tokens": 6},
        "trainer": {"learning_rate": 5e-2},
        "evaluation": {"every_steps": 0, "test_tasks": 2, "strict": READING, "lenient": READING},
        "checkpoint": {"every_steps": 0},
        **changes,
    }
    return validate(RunConfig, settings)


def run_to_end(config: RunConfig, folder: Path, resume: bool = False) -> tuple[Path, str]:
    """The trained model's folder, and what the console said."""
    said = io.StringIO()
    run = build_run(config, folder, console=Console(stream=said, live=False, width=200), resume=resume)
    asyncio.run(train(run))
    return Path(json.loads((folder / "summary.json").read_text())["model"]), said.getvalue()


def command(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, AssayError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def first_kl(folder: Path) -> float | None:
    return RunStore.open_readonly(folder).metrics()[REFERENCE_KL][0][1]


def test_all_linear_on_mamba_leaves_out_what_peft_refuses(tmp_path: Path) -> None:
    model = write_tiny_causal_lm(tmp_path / "mamba", "mamba", state_size=4)
    policy = open_model(model).policy(lora=LoraSettings(rank=2))
    adapted = {name for name, parameter in policy.named_parameters() if parameter.requires_grad}
    assert any("in_proj" in name for name in adapted)
    assert not any("out_proj" in name for name in adapted)


def test_scale_decides_which_adapter_an_evaluation_is_of(tiny_model: Path, tmp_path: Path) -> None:
    open_model(tiny_model).policy(lora=LoraSettings(rank=2)).save(tmp_path / "adapter")
    arguments = ["eval", tmp_path / "adapter", "--num-tasks", 1, "--complexity", 1, "--max-new-tokens", 2]
    first = command(*arguments, "--output", tmp_path / "eval")
    assert "1 of 1 samples were there before" in command(*arguments, "--output", tmp_path / "eval")
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "lora_alpha": 64}))
    with pytest.raises(AssayError, match="other settings"):
        command(*arguments, "--output", tmp_path / "eval")
    assert first


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lora") / "run"
    run_to_end(config_of(tiny_model), folder)
    return folder


def model_of(run: Path) -> Path:
    return next((run / "checkpoints").glob("step-*")) / "model"


@pytest.mark.parametrize("kind", ["decoder", "hf"])
def test_a_run_trains_and_keeps_the_adapter_alone(tiny_model: Path, tmp_path: Path, kind: str) -> None:
    base = tiny_model if kind == "decoder" else write_tiny_causal_lm(tmp_path / "gpt2")
    model, said = run_to_end(config_of(base), tmp_path / "run")
    assert {path.name for path in model.iterdir()} - {"generation_config.json"} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    factors = load_file(model / "adapter_model.safetensors")
    assert all(tensor.any() for tensor in factors.values()), "B has left 0"
    moments = load_file(model.parent / "optimizer.safetensors")
    assert {name.split("/", 1)[1] for name in moments} == factors.keys()
    count = sum(tensor.numel() for tensor in factors.values())
    for file in ("summary.json", "config.json"):
        kept = json.loads((tmp_path / "run" / file).read_text())
        assert kept["num_trained_parameters"] == count
        assert kept["num_parameters"] == sum(p.numel() for p in open_model(base).policy().parameters())
    assert f"LoRA: {count:,} parameters are trained" in said


def test_the_reference_is_what_training_began_with(tiny_model: Path, trained: Path, tmp_path: Path) -> None:
    """Of a new adapter the base, and of one that is trained further the base with that adapter."""
    kl = {"name": "grpo", "kl_coefficient": 0.1}
    run_to_end(config_of(tiny_model, algorithm=kl), tmp_path / "new")
    assert first_kl(tmp_path / "new") == pytest.approx(0.0, abs=1e-6)
    further = config_of(model_of(trained), {"lora": None}, algorithm=kl)
    model, _ = run_to_end(further, tmp_path / "further")
    assert first_kl(tmp_path / "further") == pytest.approx(0.0, abs=1e-6)
    before, after = (load_file(folder / "adapter_model.safetensors") for folder in (model_of(trained), model))
    assert before.keys() == after.keys()
    assert not any(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("kind", ["decoder", "hf"])
def test_a_critic_trains_an_adapter_of_its_own(tiny_model: Path, tmp_path: Path, kind: str) -> None:
    base = tiny_model if kind == "decoder" else write_tiny_causal_lm(tmp_path / "gpt2")
    algorithm = {"name": "ppo", "kl_coefficient": 0.1}
    run_to_end(config_of(base, algorithm=algorithm, group_size=2), tmp_path / "run")
    state = load_file(next((tmp_path / "run" / "checkpoints").glob("step-*")) / "optimizer.safetensors")
    critic = [name for name in state if name.startswith("critic/model/")]
    assert "critic/model/value_head" in critic
    assert all("lora_" in name or name.endswith("value_head") for name in critic)
    assert any(bool(state[name].any()) for name in critic if "lora_B" in name)
    run_to_end(config_of(base, algorithm=algorithm, group_size=2, num_steps=3), tmp_path / "run", resume=True)


def test_a_teacher_may_be_an_adapter(tiny_model: Path, trained: Path, tmp_path: Path) -> None:
    algorithm = {"name": "distillation", "teacher": str(model_of(trained))}
    run_to_end(config_of(tiny_model, algorithm=algorithm), tmp_path / "run")


def test_an_adapter_can_be_measured_talked_to_and_exported(tiny_model: Path, trained: Path, tmp_path: Path) -> None:
    import peft
    from transformers import AutoModelForCausalLM

    model = model_of(trained)
    quick = ("--complexity", 1, "--horizon", 1, "--num-tasks", 2, "--max-new-tokens", 4)
    command("eval", model, *quick, "--output", tmp_path / "eval")
    kept = json.loads((tmp_path / "eval" / "scores.json").read_text())
    assert kept["provenance"]["base_folder"] == str(tiny_model)
    command("chat", model, "--prompt", "hello", "--max-new-tokens", 4)

    command("export", trained, tmp_path / "merged", "--dtype", "fp32")
    command("export", trained, tmp_path / "adapter", "--adapter")
    tokens = torch.arange(20)
    expected = open_model(model).policy().logits(tokens)
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    torch.testing.assert_close(whole(tokens[None]).logits[0], expected, atol=1e-4, rtol=0)
    on_base = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model), tmp_path / "adapter")
    torch.testing.assert_close(on_base.eval()(tokens[None]).logits[0], expected, atol=1e-4, rtol=0)
    card = (tmp_path / "merged" / "README.md").read_text()
    assert "library_name: transformers" in card
    assert f"its LoRA adapter is merged into the weights of `{tiny_model.name}`, in fp32" in card
    card = (tmp_path / "adapter" / "README.md").read_text()
    assert "library_name: peft" in card
    assert f'base_model: "{tiny_model.name}"' in card
    assert "a LoRA adapter of rank 2 and alpha 4" in card


def test_what_cannot_be_exported(tiny_model: Path, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="whole model without an adapter"):
        command("export", tiny_model, tmp_path / "out", "--adapter")
    with pytest.raises(ConfigError, match="--dtype fp32 has no effect with --adapter"):
        command("export", trained, tmp_path / "out", "--adapter", "--dtype", "fp32")
    with pytest.raises(ModelError, match="a base has no effect"):
        command("export", tiny_model, tmp_path / "out", "--base", tiny_model)
    other = write_tiny_model(tmp_path / "other", seed=3)
    for name in ("export", "eval", "chat"):
        rest = {"export": [tmp_path / "out"], "eval": ["--num-tasks", 1], "chat": ["--prompt", "hello"]}[name]
        with pytest.raises(ModelError, match="trained on another base"):
            command(name, model_of(trained), *rest, "--base", other)
    assert not (tmp_path / "out").exists()


def test_a_base_that_moved_is_named_by_an_option(tiny_model: Path, tmp_path: Path) -> None:
    first = shutil.copytree(tiny_model, tmp_path / "first")
    model, _ = run_to_end(config_of(first), tmp_path / "run")
    second = first.rename(tmp_path / "second")
    with pytest.raises(ModelError, match=r"is not here: no model .*model\.base in a recipe"):
        command("chat", model, "--prompt", "hello")
    command("chat", model, "--prompt", "hello", "--max-new-tokens", 4, "--base", second)
    with pytest.raises(ModelError, match="is not here"):
        build_run(config_of(model, {"lora": None}), tmp_path / "without")
    assert not (tmp_path / "without").exists()
    again, _ = run_to_end(config_of(model, {"lora": None, "base": str(second)}), tmp_path / "with")
    assert json.loads((again / "adapter_config.json").read_text())["base_model_name_or_path"] == str(second)


def test_recipes_that_cannot_be(tiny_model: Path, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'query' names no product"):
        build_run(config_of(tiny_model, {"lora": {"target_modules": ["query"]}}), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"model\.lora has no effect"):
        build_run(config_of(model_of(trained)), tmp_path / "run")
    with pytest.raises(ModelError, match="a base has no effect"):
        build_run(config_of(tiny_model, {"base": str(tiny_model)}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_resumed_on_a_base_that_has_changed(tiny_model: Path, tmp_path: Path) -> None:
    base = shutil.copytree(tiny_model, tmp_path / "base")
    run_to_end(config_of(base), tmp_path / "run")
    shutil.copy(write_tiny_model(tmp_path / "other", seed=3) / "model.safetensors", base)
    with pytest.raises(CheckpointError, match=r"the base has changed .* another base"):
        build_run(config_of(base, num_steps=3), tmp_path / "run", resume=True)


def test_a_dry_run_reckons_with_the_adapter(tiny_model: Path, trained: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    count = json.loads((trained / "summary.json").read_text())["num_trained_parameters"]
    gpt2 = write_tiny_causal_lm(tmp_path / "gpt2")
    of_gpt2 = sum(p.numel() for p in open_model(gpt2).policy(lora=LoraSettings(rank=2)).parameters() if p.requires_grad)
    for model, expected in (
        (f'{{ source = "{tiny_model}", lora = {{ rank = 2 }} }}', count),
        (f'{{ source = "{model_of(trained)}" }}', count),
        (f'{{ source = "{gpt2}", lora = {{ rank = 2 }} }}', of_gpt2),
    ):
        recipe.write_text(f"model = {model}\n")
        assert f"{expected:,} parameters in fp32: only they are trained" in command("train", recipe, "--dry-run")
