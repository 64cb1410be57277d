"""A disk too small for a run's checkpoints is found out before the first step."""

from __future__ import annotations

import asyncio
import io
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.config import validate
from assay.errors import CheckpointError
from assay.launch import build_run, named_model, run_disk
from assay.loop import train
from assay.observe.console import Console
from assay.policies.tiny import write_tiny_causal_lm
from assay.recipe import RunConfig
from assay.training.disk import check_disk, disk_estimate

REWARDS = Path(__file__).parents[2] / "parity" / "rewards.py"
READING = {"name": "python", "function": f"{REWARDS}:share_of_letters", "gold_format": "", "solved_at": 0.5}


def config_of(source: Path, model: dict[str, Any] | None = None, **changes: Any) -> RunConfig:
    settings = {
        "num_steps": 3,
        "groups_per_step": 1,
        "group_size": 2,
        "num_threads": 1,
        "model": {"source": str(source), "device": "cpu", "compute_dtype": "fp32", **(model or {})},
        "verifier": READING,
        "sampling": {"max_new_tokens": 3},
        "evaluation": {"every_steps": 0, "test_tasks": 0, "strict": READING, "lenient": READING},
        "checkpoint": {"every_steps": 1},
        **changes,
    }
    return validate(RunConfig, settings)


def free_bytes(monkeypatch: pytest.MonkeyPatch, num_bytes: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=num_bytes))


def tensors_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ({}, {}),
        ({}, {"checkpoint": {"every_steps": 1, "keep_last": 2}}),
        ({"lora": {"rank": 8}}, {}),
        ({}, {"algorithm": {"name": "ppo"}}),
        ({"lora": {"rank": 8}}, {"algorithm": {"name": "ppo"}}),
        ({"policy": "hf"}, {}),
    ],
    ids=["whole", "two kept", "adapter", "critic", "adapter and critic", "transformers"],
)
def test_the_estimate_is_what_the_checkpoints_take(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: dict[str, Any], changes: dict[str, Any]
) -> None:
    from assay.run import keeping

    config = config_of(tiny_model, model, **changes)
    estimate = run_disk(config, named_model(config))
    most: list[int] = []
    prune = keeping.prune

    def watched(folder: Path, *arguments: Any) -> list[Path]:
        most.append(tensors_in(folder))
        return prune(folder, *arguments)

    monkeypatch.setattr(keeping, "prune", watched)
    run = build_run(config, tmp_path / "run", console=Console(stream=io.StringIO(), live=False))
    asyncio.run(train(run))
    assert max(most) == pytest.approx(estimate.total_bytes, rel=0.2 if "lora" in model else 0.06)


def test_what_is_written_once_is_counted_once() -> None:
    once = disk_estimate(1000, critic=False, keep_last=3, num_written=1, validates=False)
    assert once.total_bytes == 12_000
    assert disk_estimate(1000, critic=False, keep_last=3, num_written=9, validates=True).total_bytes == 52_000
    merged = disk_estimate(10, critic=False, keep_last=3, num_written=1, validates=False, num_merged=1000)
    assert merged.total_bytes == 3 * 40 + 4000
    assert disk_estimate(1000, critic=True, keep_last=1, num_written=9, validates=True).total_bytes == 52_000


def test_a_run_that_cannot_be_kept_is_refused_before_anything_is_loaded(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tiny_model)
    needed = run_disk(config, named_model(config)).total_bytes + 16 * 2**20
    free_bytes(monkeypatch, needed - 1)
    monkeypatch.setattr("assay.models.Model.policy", lambda *_, **__: pytest.fail("loaded"))
    for folder in (tmp_path / "run", tmp_path / "new" / "place" / "run"):
        with pytest.raises(
            CheckpointError, match=rf"no room for this run in {folder}: about .*keep_last.*--run-folder"
        ):
            build_run(config, folder)
        assert not folder.exists()
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'model = {{ source = "{tiny_model}" }}\n')
    result = CliRunner().invoke(app, ["train", str(recipe), "--dry-run", "--run-folder", str(tmp_path / "run")])
    assert isinstance(result.exception, CheckpointError)
    assert "disk: about" in result.output
    free_bytes(monkeypatch, needed)
    check_disk(tmp_path / "run", run_disk(config, named_model(config)))


def test_an_adapter_needs_little_and_a_resumed_run_has_some_already(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, adapter = config_of(tiny_model), config_of(tiny_model, {"lora": {"rank": 1}})
    estimate = run_disk(whole, named_model(whole))
    assert run_disk(adapter, named_model(adapter)).total_bytes < estimate.total_bytes / 10
    gpt2 = config_of(write_tiny_causal_lm(tmp_path / "gpt2"), {"lora": {"rank": 1}})
    assert 0 < run_disk(gpt2, named_model(gpt2)).total_bytes < estimate.total_bytes
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "held").write_bytes(bytes(1000))
    free_bytes(monkeypatch, estimate.total_bytes + 16 * 2**20 - 1000)
    check_disk(tmp_path / "run", estimate)
    (tmp_path / "run" / "checkpoints" / "held").write_bytes(bytes(999))
    with pytest.raises(CheckpointError, match="of earlier checkpoints"):
        check_disk(tmp_path / "run", estimate)
