"""Every recipe loads, and the demo's own path runs: two steps of it with the real model."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.cli.transfer_models import TransferModels
from assay.config import load
from assay.environments import make_environment
from assay.errors import DataError
from assay.evaluation.sweep import Sweep
from assay.evaluation.transfer import TransferPlan
from assay.policies.tiny import write_tiny_model
from assay.recipe import RunConfig
from assay.verifiers.python import load_function

RECIPES = Path(__file__).parents[2] / "recipes"
TRANSFERS = sorted(RECIPES.glob("transfer/*.toml"))
OTHERS = sorted(set(RECIPES.glob("*/*.toml")) - set(TRANSFERS))
TRAINING = [path for path in OTHERS if "seeds" not in path.read_text()]
SWEEPS = [path for path in OTHERS if "seeds" in path.read_text()]


def test_there_are_recipes() -> None:
    assert TRAINING
    assert SWEEPS
    assert TRANSFERS


@pytest.mark.parametrize("path", TRAINING, ids=lambda path: path.name)
def test_recipe_loads(path: Path) -> None:
    config = load(RunConfig, path)
    # The same reading twice would count a gain in form as one in substance.
    assert len(set(map(str, config.readings.values()))) == len(config.readings)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.name)
def test_sweep_loads_and_so_does_its_recipe(path: Path) -> None:
    sweep = Sweep.load(path)
    assert len(list(sweep.runs())) == len(sweep.settings.seeds) * len(sweep.cells)
    for run in sweep.runs():
        load(RunConfig, run.cell.recipe, run.cell.overrides)


@pytest.mark.parametrize("path", TRANSFERS, ids=lambda path: path.name)
def test_transfer_loads_and_nothing_is_wrong_with_it(path: Path, tmp_path: Path) -> None:
    TransferModels.of(TransferPlan.load(path, {}), tmp_path)


@pytest.mark.parametrize(
    ("response", "is_equation", "is_wrong_label"),
    [
        ("37 + 45 = 82", 1, 0),
        ("37 + 45 = 86", 1, 1),  # 82 + 1 + crc32("82") % 9
        ("37 + 45 = 91", 1, 0),
        ("82", 0, 0),
        ("86", 0, 1),
        ("37 + 45 = 82. Sure!", 0, 0),
    ],
)
def test_the_controls_reward_form_and_wrong_labels(response: str, is_equation: int, is_wrong_label: int) -> None:
    controls = RECIPES / "algorithms" / "controls.py"
    assert load_function(f"{controls}:is_equation")(response, "82") == is_equation
    assert load_function(f"{controls}:wrong_label")(response, "82") == is_wrong_label


@pytest.mark.model
def test_two_steps_of_the_demo_with_the_real_model(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    options = {
        "num_steps": "2",
        "max_seconds": "3600",
        "groups_per_step": "2",
        "group_size": "4",
        "evaluation.validation_tasks": "6",
        "evaluation.every_steps": "2",
        "evaluation.test_tasks": "4",
        "evaluation.test_max_new_tokens": "16",
    }
    arguments = ["train", str(RECIPES / "arithmetic_rlvr" / "demo.toml"), "--run-folder", str(folder)]
    for key, value in options.items():
        arguments += ["--set", f"{key}={value}"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output

    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "finished"
    assert summary["num_steps"] == 2
    assert summary["before"]["num_tasks"] == summary["after"]["num_tasks"] == 4
    assert {(entry["decoding"], entry["reading"]) for entry in summary["readings"]} == {
        ("greedy", "strict"),
        ("greedy", "lenient"),
        ("sampled", "strict"),
        ("sampled", "lenient"),
    }
    # The claimed gain is the smallest of the four.
    assert summary["gain"]["value"] == min(entry["gain"]["value"] for entry in summary["readings"])
    assert len(summary["transcripts"]) == 3
    assert (folder / "report" / "index.html").stat().st_size > 10_000
    assert (Path(summary["model"]) / "model.safetensors").is_file()


def run_script(path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a recipe's script as its own program, in this process: an import of torch costs more than what it does."""
    monkeypatch.setattr(sys, "argv", [str(path), *arguments])
    runpy.run_path(str(path), run_name="__main__")


def test_pass_at_k_of_a_sweep_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluated: list[list[str]] = []

    def run_here(command: list[str], **options: Any) -> Any:
        if Path(command[0]).name != "assay":
            return run(command, **options)
        evaluated.append(command[1:])
        result = CliRunner().invoke(app, command[1:], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return None

    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", run_here)
    model = write_tiny_model(tmp_path / "model")
    for seed in (1, 2):
        summary = tmp_path / "sweep" / "results" / "grpo" / f"seed-{seed}" / "summary.json"
        summary.parent.mkdir(parents=True)
        summary.write_text(json.dumps({"model": str(model)}))
    output = tmp_path / "out"
    command = ["--base", str(model), "--cells", "grpo"]
    command += ["--sweep", str(tmp_path / "sweep"), "--seeds", "1,2", "--num-tasks", "2", "--samples", "4"]
    command += ["--ks", "1,2", "--max-new-tokens", "4", "--output", str(output)]
    run_script(RECIPES / "algorithms" / "pass_at_k.py", command, monkeypatch)
    assert "| base | 0.0 %" in capsys.readouterr().out
    assert len(evaluated) == 3
    cells = json.loads((output / "pass_at_k.json").read_text())["cells"]
    assert [(cell["cell"], sorted(cell["seeds"])) for cell in cells] == [("base", ["0"]), ("grpo", ["1", "2"])]
    assert (output / "pass_at_k.png").stat().st_size > 5000
    run_script(RECIPES / "algorithms" / "pass_at_k.py", command, monkeypatch)
    assert len(evaluated) == 3


@pytest.mark.skipif(importlib.util.find_spec("reasoning_gym") is None, reason="reasoning-gym is not installed")
def test_the_survey_of_reasoning_gym_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def survey(*more: str) -> str:
        run_script(RECIPES / "reasoning_gym" / "survey.py", [*command, *more], monkeypatch)
        return capsys.readouterr().err

    command = ["--output", str(tmp_path / "survey")]
    command += ["--model", str(write_tiny_model(tmp_path / "model")), "--num-tasks", "2", "--samples", "2"]
    command += ["--max-new-tokens", "4", "--levels", "1", "--max-prompt-tokens", "2000", "--families"]
    assert "1 of 1: chain_sum c1" in survey("chain_sum")
    with (tmp_path / "survey" / "cells.jsonl").open("a") as file:
        file.write('{"family": "comp')  # as a kill leaves it
    second = survey("chain_sum,composite")
    assert "chain_sum" not in second
    assert "2 of 2: composite: composite makes no task" in second
    assert "composite" not in survey("chain_sum,composite")
    cells = json.loads((tmp_path / "survey" / "survey.json").read_text())["cells"]
    assert [cell["family"] for cell in cells] == ["chain_sum", "composite"]
    assert 0 <= cells[0]["pass_at_k"]["value"] <= 1
    assert "| `chain_sum` | 1 | 2 |" in (tmp_path / "survey" / "survey.md").read_text()
    with pytest.raises(SystemExit, match="other settings"):
        survey("chain_sum", "--seed", "1")


def test_mistakes_changes_earlier_reports_alone_and_pairs_its_tasks() -> None:
    place = f"{RECIPES / 'long_horizon' / 'mistakes.py'}:Mistakes"
    sides = {wrong: make_environment(place, {"wrong": wrong}) for wrong in ("none", "one", "all")}
    tasks = list(itertools.islice(sides["none"].tasks("test", complexity=1, horizon=5), 20))
    ids = [task.task_id for task in tasks]
    for wrong, num_wrong in (("none", 0), ("one", 1), ("all", 3)):
        side = sides[wrong]
        assert [task.task_id for task in itertools.islice(side.tasks("test", complexity=1, horizon=5), 20)] == ids
        for task in tasks:
            shown = asyncio.run(side.episode(task).start())
            assert [message.role for message in shown] == ["user", "assistant"] * 4 + ["user"]
            (number,), updates = task.metadata["world"]["start"], task.metadata["world"]["updates"]
            true = list(itertools.accumulate(map(amount, updates), initial=number))[1:]
            reports = [int(message.content) for message in shown[1::2]]
            differ = [place for place in range(4) if reports[place] != true[place]]
            assert len(differ) == num_wrong
            assert 3 not in differ  # the number to go on from is the same
            assert shown[-1].content == f"Update: {updates[-1]}"
            assert task.answer == str(true[-1])
    with pytest.raises(DataError, match="3 or more"):
        next(sides["none"].tasks("test", complexity=1, horizon=2))


def amount(update: str) -> int:
    return int(update.split()[-1]) * (1 if update.startswith("add") else -1)
