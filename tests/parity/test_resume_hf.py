"""A run of a model of transformers that is stopped and resumed is, bit for bit, the run that was not."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.config import validate
from assay.errors import ConfigError
from assay.launch import build_run, check_unchanged
from assay.loop import train
from assay.models import open_model
from assay.observe.console import Console
from assay.observe.store import RunStore
from assay.policies.hf import HFPolicy
from assay.policies.tiny import write_tiny_causal_lm
from assay.recipe import RunConfig
from assay.run import Run, StepDone, TrainResult

REWARDS = Path(__file__).parent / "rewards.py"
FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_positions": 512},
    "gemma2": {"intermediate_size": 64, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 16},
}


class Stops:
    """Asks the run to stop with the first step that it is told of."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def step_done(self, done: StepDone) -> None:
        self._run.clock.stop_requested = True


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model: no chat template, no pad token."""
    folder = tmp_path_factory.mktemp(request.param)
    write_tiny_causal_lm(folder, request.param, **FAMILIES[request.param])
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    del settings["chat_template"], settings["pad_token"]
    path.write_text(json.dumps(settings))
    return folder


def config_of(model: Path, **changes: Any) -> RunConfig:
    settings: dict[str, Any] = {
        "num_steps": 2,
        "groups_per_step": 2,
        "group_size": 3,
        "num_threads": 1,
        "model": {"source": str(model), "device": "cpu", "compute_dtype": "fp32", "chat_template": "plain"},
        "verifier": {"name": "python", "function": f"{REWARDS}:share_of_letters", "gold_format": ""},
        "sampling": {"max_new_tokens": 6},
        "trainer": {"learning_rate": 1e-2, "epochs_per_step": 2},
        "evaluation": {"every_steps": 1, "validation_tasks": 2, "test_tasks": 2, "test_max_new_tokens": 6},
        "checkpoint": {"every_steps": 1, "keep_last": 2},
    }
    reading = {"name": "python", "function": f"{REWARDS}:share_of_letters", "gold_format": "", "solved_at": 0.5}
    settings["evaluation"] |= {"strict": reading, "lenient": reading}
    return validate(RunConfig, {**settings, **changes})


def go(config: RunConfig, folder: Path, stop: bool = False, **options: Any) -> TrainResult:
    run = build_run(config, folder, console=Console(stream=io.StringIO(), live=False), **options)
    if stop:
        run.subscribers.insert(0, Stops(run))
    return asyncio.run(train(run))


def fingerprint(folder: Path) -> dict[str, Any]:
    store = RunStore.open_readonly(folder)
    last = folder / "checkpoints" / "step-000002"
    return {
        "metrics": store.comparable_metrics(),
        "rollouts": store.rollouts(),
        "evaluations": store.evaluations(),
        "weights": (last / "model" / "model.safetensors").read_bytes(),
        "optimizer": (last / "optimizer.safetensors").read_bytes(),
    }


def invoke(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def test_stopped_and_resumed_is_bit_for_bit_the_unbroken_run(model: Path, tmp_path: Path) -> None:
    assert go(config_of(model), tmp_path / "unbroken").status == "finished"
    assert go(config_of(model), tmp_path / "run", stop=True).status == "interrupted"
    assert go(config_of(model), tmp_path / "run", resume=True).status == "finished"
    assert fingerprint(tmp_path / "run") == fingerprint(tmp_path / "unbroken")
    checkpoint = tmp_path / "run" / "checkpoints" / "step-000002" / "model"
    trained = open_model(checkpoint).policy()
    assert isinstance(trained, HFPolicy)
    assert any(
        (a != b).any() for (_, a), (_, b) in zip(trained.weights(), open_model(model).policy().weights(), strict=True)
    )
    # The checkpoint is shown conversations as the model was, without being told.
    assert invoke("chat", checkpoint, "--prompt", "hello", "--max-new-tokens", "4", "--device", "cpu")
    exported = tmp_path / "exported"
    invoke("export", tmp_path / "run", exported)
    assert isinstance(open_model(exported).policy(), HFPolicy)
    assert "Assistant:" in (exported / "chat_template.jinja").read_text()
    scores = invoke(
        "eval", exported, "--recipe", tmp_path / "run", "--num-tasks", "2", "--output", tmp_path / "scores",
        "--device", "cpu",
    )  # fmt: skip
    assert "scores.json" in scores


def test_every_other_model_may_be_one_of_transformers(model: Path, tmp_path: Path) -> None:
    quick = {"num_steps": 1, "evaluation": {"every_steps": 0, "test_tasks": 0}}
    for algorithm in (
        {"name": "ppo", "kl_coefficient": 0.1},
        {"name": "distillation", "teacher": str(model)},
    ):
        config = config_of(model, algorithm=algorithm, **quick)
        folder = tmp_path / algorithm["name"]
        assert go(config, folder).status == "finished"


def test_a_resumed_run_keeps_its_policy(model: Path) -> None:
    began = config_of(model)
    now = began.model_copy(update={"model": began.model.model_copy(update={"policy": "hf"})})
    with pytest.raises(ConfigError, match=r"model\.policy: began with 'auto', now 'hf'"):
        check_unchanged(began, now)
