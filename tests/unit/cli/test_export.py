from __future__ import annotations

import asyncio
import io
import json
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from assay.cli.main import app
from assay.config import validate
from assay.errors import AssayError
from assay.launch import build_run
from assay.loop import train
from assay.observe.console import Console
from assay.recipe import RunConfig

REWARDS = Path(__file__).parents[2] / "parity" / "rewards.py"


@pytest.fixture(scope="module")
def run_folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "run"
    reading = {"name": "python", "function": f"{REWARDS}:share_of_letters", "gold_format": "", "solved_at": 0.5}
    settings = {
        "num_steps": 2,
        "groups_per_step": 2,
        "group_size": 2,
        "num_threads": 1,
        "model": {"source": str(tiny_model), "device": "cpu", "compute_dtype": "fp32"},
        "verifier": reading,
        "sampling": {"max_new_tokens": 6},
        "evaluation": {"every_steps": 1, "validation_tasks": 2, "test_tasks": 4, "strict": reading, "lenient": reading},
    }
    run = build_run(validate(RunConfig, settings), folder, console=Console(stream=io.StringIO(), live=False))
    asyncio.run(train(run))
    return folder


def export(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, ["export", *map(str, arguments)])
    if isinstance(result.exception, AssayError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_run_opens_in_transformers_with_the_same_logits(run_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    export(run_folder, tmp_path / "out", "--dtype", "fp32")
    trained = json.loads((run_folder / "summary.json").read_text())["model"]
    tokens = torch.arange(20)[None]
    first, second = (AutoModelForCausalLM.from_pretrained(f).eval()(tokens).logits for f in (trained, tmp_path / "out"))
    assert torch.equal(first, second)
    assert AutoTokenizer.from_pretrained(tmp_path / "out").chat_template
    card = (tmp_path / "out" / "README.md").read_text()
    assert "trained with Assay by grpo on arithmetic for 2 steps" in card
    assert "The claimed gain is the smallest of these" in card


def test_half_precision_and_a_run_that_has_moved(run_folder: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(run_folder, tmp_path / "moved")
    export(moved, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"
    assert "assay chat" in export(tmp_path / "out", tmp_path / "again", "--dtype", "fp16")


def test_what_cannot_be_exported(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(AssayError, match="not empty"):
        export(run_folder, tmp_path / "full")
    unfinished = shutil.copytree(run_folder, tmp_path / "unfinished")
    (unfinished / "summary.json").unlink()
    shutil.rmtree(unfinished / "model")
    with pytest.raises(AssayError, match=r"has no model yet: .*train --resume .*; what it has so far: .*step-000002"):
        export(unfinished, tmp_path / "out")
    with pytest.raises(AssayError, match=r"a run \(its folder, its name in"):
        export("nothing-of-that-name", tmp_path / "out")
