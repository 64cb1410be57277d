"""Run folders of before environments held their own rewards open in show, eval and export, and are not resumed."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import assay
from assay.cli.main import app
from assay.errors import RunFolderError
from assay.observe.console import Console
from assay.observe.store import STORE_NAME


@pytest.fixture(scope="module")
def old_run(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "old"
    settings = {
        "num_steps": 1,
        "groups_per_step": 2,
        "group_size": 2,
        "num_threads": 1,
        "model": {"source": str(tiny_model), "device": "cpu", "compute_dtype": "fp32"},
        "sampling": {"max_new_tokens": 4},
        "evaluation": {"every_steps": 0, "test_tasks": 0},
    }
    assay.train(settings, run_folder=folder, console=Console(live=False))
    for name in ("config.json", "summary.json"):
        path = folder / name
        record = json.loads(path.read_text())
        record["settings"] = _as_it_was(record["settings"])
        for key in ("format", "sources"):
            record.pop(key, None)
        path.write_text(json.dumps(record))
    connection = sqlite3.connect(folder / STORE_NAME)
    connection.executescript("DROP TABLE turns; PRAGMA user_version=1;")
    connection.close()
    return folder


def _as_it_was(settings: dict[str, Any]) -> dict[str, Any]:
    old = {key: value for key, value in settings.items() if key not in ("environment", "engine")}
    old["curriculum"] = {key: value for key, value in old["curriculum"].items() if key != "name"}
    exact = {"name": "exact", "after": None}
    numeric = {"name": "numeric", "reading": "any", "tolerance": 0.0}
    old["evaluation"] = {**old["evaluation"], "test_max_new_tokens": 64, "strict": exact, "lenient": numeric}
    return {**old, "domain": settings["environment"], "verifier": exact}


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_it_opens_in_show_eval_and_export(old_run: Path, tmp_path: Path) -> None:
    assert "finished" in run("show", old_run)
    assert "group 1, member 1" in run("show", old_run, "--rollouts")
    short = ("--num-tasks", "2", "--max-new-tokens", "2", "--output", tmp_path / "eval")
    assert "strict" in run("eval", old_run, "--recipe", old_run, *short)
    run("export", old_run, tmp_path / "exported")
    assert "by grpo on arithmetic for 1 steps" in (tmp_path / "exported" / "README.md").read_text()


def test_it_is_not_resumed_and_told_what_could(old_run: Path) -> None:
    with pytest.raises(RunFolderError, match=r"resume it with commit [0-9a-f]{7}.*--set model\.source="):
        assay.train(resume=old_run, num_steps=2)
