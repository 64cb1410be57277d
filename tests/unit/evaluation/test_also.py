"""Other environments beside a run's own: what moved, in pairs, and what may be said of it."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest

from assay.config import load, validate
from assay.environments.arithmetic import Arithmetic
from assay.errors import ConfigError, DataError
from assay.evaluation.also import also_lines, also_moved
from assay.evaluation.held_out import EvaluationSettings
from assay.launch import build_run
from assay.loop import train
from assay.observe.console import Console
from assay.observe.store import BEFORE_TRAINING, RunStore
from assay.recipe import RunConfig
from simulated_transfer import evaluation


def test_what_moved_is_corrected_for_the_number_of_environments() -> None:
    before = {"a": evaluation([True] * 8), "b": evaluation([False] * 8), "c": evaluation([True, False] * 4)}
    after = {"a": evaluation([False] * 8), "b": evaluation([True] * 6 + [False] * 2), "c": before["c"]}
    moved = also_moved(before, after)
    # McNemar's exact test: 2 / 2^8, 2 / 2^6, 1; Holm multiplies by 3, 2, 1.
    assert [each["gain"]["p_holm"] for each in moved.values()] == [6 / 256, 4 / 64, 1.0]
    assert [each["verdict"] for each in moved.values()] == ["forgotten", "gain before correction", "no change shown"]
    lines = also_lines(moved)
    assert lines[0].startswith("a: 100.0 % [67.6, 100.0] before, 0.0 % [0.0, 32.4] after, -100.0 points [")
    assert lines[0].endswith("FORGETTING")
    assert lines[2].endswith("no change is shown")


def test_names_tables_and_what_is_refused() -> None:
    settings = validate(EvaluationSettings, {"also": ["chain:horizon=4", {"name": "arithmetic", "label": "sums"}]})
    assert [each.filed_as for each in settings.also] == ["chain-h4", "sums"]
    assert settings.also[1].environment == Arithmetic()
    assert settings.also_every == 10
    assert validate(EvaluationSettings, settings.plain()) == settings, "as a run folder has them"
    config = load(RunConfig, {}, ['evaluation.also=["units:level=1"]', "evaluation.also_every_steps=3"])
    assert config.evaluation.also_every == 3
    for also, message in (
        (["arithmetik"], "arithmetik"),
        (["chain", "chain"], "two environments are filed as 'chain'"),
        ([], "also_every_steps has no effect"),
    ):
        with pytest.raises(ConfigError, match=message):
            validate(EvaluationSettings, {"also": also, "also_every_steps": 2})


def run_to_end(tiny_model: Path, folder: Path, **changes: Any) -> str:
    config = validate(
        RunConfig,
        {
            "num_steps": 2,
            "groups_per_step": 2,
            "group_size": 2,
            "num_threads": 1,
            "model": {"source": str(tiny_model), "device": "cpu", "compute_dtype": "fp32"},
            "sampling": {"max_new_tokens": 4},
            "evaluation": {
                "every_steps": 0,
                "test_tasks": 0,
                "test_max_new_tokens": 4,
                "also": ["chain:form=single:horizon=2", "units"],
                "also_tasks": 4,
                "also_every_steps": 1,
            },
            "checkpoint": {"every_steps": 0},
            **changes,
        },
    )
    stream = io.StringIO()
    asyncio.run(train(build_run(config, folder, console=Console(stream=stream, live=False))))
    return stream.getvalue()


def test_a_run_measures_others_before_during_and_after(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = run_to_end(tiny_model, tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert set(summary["also"]) == {"chain-h2-form-single", "units"}
    assert "also: chain-h2-form-single 0.0 % [0.0, 49.0]" in said
    assert "since before" in said
    assert "also: units: 0.0 % [0.0, 49.0] before, 0.0 % [0.0, 49.0] after" in said
    with RunStore.open_readonly(tmp_path / "run") as store:
        measured = [(record.step, record.split) for record in store.evaluations() if record.reading == "strict"]
        assert [step for step, split in measured if split == "also/units"][:1] == [BEFORE_TRAINING]
        assert {step for step, split in measured if split == "also/units"} == {BEFORE_TRAINING, 0, 1}
        assert {step for step, split in measured if split == "also_after/units"} == {1}
        ids = [
            [row["task_id"] for row in store.evaluation_rows(step, split, "greedy")]
            for step, split in ((BEFORE_TRAINING, "also/units"), (0, "also/units"), (1, "also_after/units"))
        ]
    assert ids[0] == ids[1] == ids[2]
    assert len(ids[0]) == 4
    page = (tmp_path / "run" / "report" / "index.html").read_text()
    assert "What else moved" in page
    assert "no change shown" in page

    from typer.testing import CliRunner

    from assay.cli.main import app

    shown = CliRunner().invoke(app, ["show", str(tmp_path / "run")]).output
    assert "units: 0.0 %" in shown


def test_an_environment_without_tasks_at_its_dials_ends_the_run_before_it_begins(
    tiny_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="complexity"):
        run_to_end(tiny_model, tmp_path / "run", evaluation={"also": ["units:level=99"], "test_tasks": 0})
