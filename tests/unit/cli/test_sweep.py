from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from assay.cli.sweep import sweep
from assay.errors import ConfigError

app = typer.Typer()
app.command()(sweep)


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    (tmp_path / "recipe.toml").write_text("no_such_setting = 1\n")
    path = tmp_path / "spec.toml"
    path.write_text('name = "small"\nrecipe = "recipe.toml"\nseeds = [0, 1]\ntabulate = ["gain.value"]\n')
    return path


def finish(output: Path, seed: int, gain: float) -> None:
    results = output / "results" / "small" / f"seed-{seed}"
    results.mkdir(parents=True)
    (results / "run.json").write_text(json.dumps({"state": "finished"}))
    (results / "summary.json").write_text(json.dumps({"gain": {"value": gain}}))


def test_report_only_runs_nothing(spec: Path, tmp_path: Path):
    output = tmp_path / "home" / "sweeps" / "small"
    finish(output, 0, 0.25)
    finish(output, 1, 0.75)
    result = CliRunner().invoke(app, [str(spec), "--report-only"])
    assert result.exit_code == 0
    # 0.5 +- 12.7062 * 0.353553 / sqrt(2)
    assert "| small | 2 of 2 | 0.5 [-2.677, 3.677] |" in result.output
    assert (output / "table.md").is_file()
    assert not (output / "runs").exists()


def test_failing_runs_are_tabulated_and_the_exit_code_says_so(spec: Path, tmp_path: Path):
    """`assay train` itself, given a recipe that it refuses."""
    spec.write_text(spec.read_text().replace("[0, 1]", "[0]"))
    result = CliRunner().invoke(app, [str(spec), "--output", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "| small | 0 | failed | - |" in result.output
    state = json.loads((tmp_path / "out" / "results" / "small" / "seed-0" / "run.json").read_text())
    assert "no_such_setting" in state["output_tail"]


def test_bad_spec(tmp_path: Path):
    result = CliRunner().invoke(app, [str(tmp_path / "gone.toml")])
    assert isinstance(result.exception, ConfigError)


def test_only_chosen_cells_and_seeds_are_run(spec: Path, tmp_path: Path):
    spec.write_text(spec.read_text() + "[cells.a]\n[cells.b]\n")
    output = tmp_path / "out"
    result = CliRunner().invoke(app, [str(spec), "--output", str(output), "--cells", "b", "--seeds", "1"])
    assert result.exit_code == 1
    assert [path.parent for path in output.glob("results/*/*/run.json")] == [output / "results" / "b" / "seed-1"]
    assert "| a | 0 | not started | - |" in result.output
    for options, message in (
        (["--cells", "b,c"], "no cell c; it has a, b"),
        (["--seeds", "2"], "no seed 2; it has 0, 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            CliRunner().invoke(app, [str(spec), *options], catch_exceptions=False)
