from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from assay.evaluation.sweep import Sweep, run_sweep, write_table
from assay.statistics import detectable_difference

SPEC = """
name = "demo"
recipe = "recipe.toml"
seeds = [0, 1, 2]
tabulate = ["gain.value", "name"]
settings.fail = 1
[cells.a]
[cells.b]
settings.rate = 2.0
settings.fail = 9
"""


def test_table(tmp_path: Path, trainer: tuple[str, ...]):
    (tmp_path / "spec.toml").write_text(SPEC)
    sweep, output = Sweep.load(tmp_path / "spec.toml"), tmp_path / "out"
    run_sweep(sweep, output, command=trainer, say=lambda line: None)
    path = write_table(sweep, output)
    a, b = json.loads((output / "table.json").read_text())["cells"]
    # b: 2, 4, 6 over three seeds: 4 +- 4.302653 * 2 / sqrt(3)
    assert b["columns"]["gain.value"]["mean"] == 4.0
    assert b["columns"]["gain.value"]["high"] == pytest.approx(4 + 4.302653 * 2 / math.sqrt(3), abs=1e-5)
    # a failed at seed 1: the mean is over 1 and 3, not over 1, 0 and 3.
    assert (a["num_finished"], a["columns"]["gain.value"]["mean"]) == (2, 2.0)
    # What is not a number has no mean.
    assert a["columns"]["name"] == {"num_seeds": 0, "mean": None}
    text = path.read_text()
    assert "| b | 3 of 3 | 4 [-0.9683, 8.968] | - |" in text
    assert "| a | 2 of 3 | 2 [-10.71, 14.71] (2 of 3 seeds) | - |" in text
    assert "| a | 1 | failed | - | - |" in text
    detectable = detectable_difference([[1, 3], [2, 4, 6]])
    assert f"| smallest detectable difference |  | {detectable:.3g} | - |" in text


def test_table_of_a_sweep_that_never_ran(tmp_path: Path, trainer: tuple[str, ...]):
    (tmp_path / "spec.toml").write_text(SPEC)
    path = write_table(Sweep.load(tmp_path / "spec.toml"), tmp_path / "out")
    assert "| a | 0 of 3 | - | - |" in path.read_text()
    assert "| b | 2 | not started | - | - |" in path.read_text()


def test_a_single_seed_has_no_interval(tmp_path: Path, trainer: tuple[str, ...]):
    (tmp_path / "spec.toml").write_text(SPEC.replace("[0, 1, 2]", "[2]"))
    sweep = Sweep.load(tmp_path / "spec.toml")
    run_sweep(sweep, tmp_path / "out", command=trainer, say=lambda line: None)
    assert "| a | 1 of 1 | 3 | - |" in write_table(sweep, tmp_path / "out").read_text()
