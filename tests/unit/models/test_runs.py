"""A run is a model wherever a model is named: RUN means RUN/model."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.config import validate
from assay.errors import AssayError, ModelError
from assay.launch import build_run
from assay.loop import train
from assay.models import open_model
from assay.observe.console import Console
from assay.recipe import RunConfig

REWARDS = Path(__file__).parents[2] / "parity" / "rewards.py"
READING = {"name": "python", "function": f"{REWARDS}:share_of_letters", "gold_format": "", "solved_at": 0.5}


def config_of(source: Path | str, model: dict[str, Any] | None = None, **changes: Any) -> RunConfig:
    settings = {
        "num_steps": 1,
        "groups_per_step": 2,
        "group_size": 2,
        "num_threads": 1,
        "model": {"source": str(source), "device": "cpu", "compute_dtype": "fp32", **(model or {})},
        "verifier": READING,
        "sampling": {"max_new_tokens": 4},
        "evaluation": {"every_steps": 0, "test_tasks": 0, "strict": READING, "lenient": READING},
        **changes,
    }
    return validate(RunConfig, settings)


def run_to_end(config: RunConfig, folder: Path) -> Path:
    asyncio.run(train(build_run(config, folder, console=Console(stream=io.StringIO(), live=False))))
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def run(tiny_model: Path, home: Path) -> Path:
    return run_to_end(config_of(tiny_model), home / "runs" / "first")


@pytest.fixture(autouse=True)
def in_that_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_HOME", str(home))


def command(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, AssayError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_run_by_folder_name_and_latest(run: Path) -> None:
    made = (run / "model").resolve()
    for source in (run, str(run), "first", "latest", run / "model", run / "checkpoints" / "step-000001"):
        assert open_model(source).folder == made
    assert open_model(run).configuration.vocab_size == 258


def test_commands_take_a_run(run: Path, tmp_path: Path) -> None:
    quick = ("--complexity", 1, "--horizon", 1, "--num-tasks", 1, "--max-new-tokens", 2)
    command("eval", run, *quick, "--output", tmp_path / "eval")
    kept = json.loads((tmp_path / "eval" / "scores.json").read_text())
    assert kept["provenance"]["model_folder"] == str((run / "model").resolve())
    command("chat", "first", "--prompt", "hello", "--max-new-tokens", 2)
    command("export", "latest", tmp_path / "out")
    assert "trained with Assay by grpo" in (tmp_path / "out" / "README.md").read_text()


def test_a_run_is_trained_further_teaches_and_is_a_base(run: Path, tmp_path: Path) -> None:
    made = (run / "model").resolve()
    second = run_to_end(config_of(run, {"lora": {"rank": 2}}), tmp_path / "second")
    assert json.loads((second / "config.json").read_text())["model_folder"] == str(made)
    adapter = open_model(second)
    assert adapter.base == made
    assert open_model(second, run).base == made
    run_to_end(config_of(run, algorithm={"name": "distillation", "teacher": str(second)}), tmp_path / "third")


def test_a_run_that_has_moved_or_knows_no_link(run: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(run, tmp_path / "moved", symlinks=True))
    assert open_model(moved).folder == moved / "checkpoints" / "step-000001" / "model"
    (moved / "model").unlink()
    assert open_model(moved).folder == moved / "checkpoints" / "step-000001" / "model", "as its summary names it"


def test_a_run_without_a_model_says_what_to_do(run: Path, tmp_path: Path) -> None:
    unfinished = Path(shutil.copytree(run, tmp_path / "unfinished", symlinks=True))
    (unfinished / "model").unlink()
    (unfinished / "summary.json").unlink()
    for name, rest in (("eval", ["--num-tasks", 1]), ("chat", ["--prompt", "hello"]), ("export", [tmp_path / "out"])):
        with pytest.raises(ModelError, match=rf"{unfinished} has no model yet: .*--resume {unfinished}.*step-000001"):
            command(name, unfinished, *rest)
    with pytest.raises(ModelError, match="has no model yet"):
        build_run(config_of(unfinished), tmp_path / "again")
    shutil.rmtree(unfinished / "checkpoints")
    with pytest.raises(ModelError, match=r"has no model yet: .*goes on with it\)$"):
        open_model(unfinished)


def test_folders_around_a_model_name_what_is_in_them(run: Path, tmp_path: Path) -> None:
    for folder, inside in ((run / "checkpoints", "step-000001"), (run.parent, "first")):
        with pytest.raises(ModelError, match=rf"is no model: it has no config.json; name one .*, such as .*{inside}"):
            open_model(folder)
    with pytest.raises(ModelError, match=r"has no config\.json$"):
        open_model(tmp_path)
    gone = Path(shutil.copytree(run, tmp_path / "gone", symlinks=True))
    shutil.rmtree(gone / "checkpoints")
    summary = json.loads((gone / "summary.json").read_text())
    (gone / "summary.json").write_text(json.dumps({**summary, "model": "/elsewhere/best"}))
    with pytest.raises(ModelError, match="names /elsewhere/best as its model, which is not there any more"):
        open_model(gone)
