from __future__ import annotations

import csv
import json
import lzma
from pathlib import Path

import pytest

from assay.errors import RunFolderError
from assay.evaluation.sweep import Sweep, publish, read_runs
from assay.evaluation.sweep.publish import draw_gains
from assay.observe.folder import write_json
from assay.observe.store import BEFORE_TRAINING, RunStore

SPEC = """
name = "demo"
recipe = "recipe.toml"
seeds = [0, 1, 2]
tabulate = ["gain.value"]
[cells.a]
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    (tmp_path / "recipe.toml").write_text("")
    (tmp_path / "spec.toml").write_text(SPEC)
    return Sweep.load(tmp_path / "spec.toml")


def finish(sweep: Sweep, output: Path, seed: int, accuracies: list[float]) -> None:
    """Keeps the results of a run whose validation accuracy was this before training and after each step."""
    run = next(run for run in sweep.runs() if run.seed == seed)
    results = output / "results" / run.path
    results.mkdir(parents=True)
    write_json(results / "run.json", {"state": "finished", "fingerprint": run.fingerprint()})
    write_json(results / "summary.json", {"gain": {"value": accuracies[-1] - accuracies[0]}})
    with RunStore(results) as store:
        for step, accuracy in enumerate(accuracies, start=BEFORE_TRAINING):
            if step >= 0:
                store.record_step(step, {"reward/mean": accuracy})
            store.record_evaluation(
                step,
                split="validation",
                decoding="greedy",
                reading="strict",
                level="c2 h1",
                accuracy=accuracy,
                low=0.0,
                high=1.0,
                num_tasks=9,
                num_not_measured=0,
            )
        for step in (BEFORE_TRAINING, len(accuracies) - 2):
            store.record_evaluation(
                step,
                split="test",
                decoding="greedy",
                reading="strict",
                level="all",
                accuracy=0.5,
                low=0.0,
                high=1.0,
                num_tasks=1,
                num_not_measured=0,
            )
            row = {"task_id": "t", "level": "c2 h1", "prompt": "1 + 1 =", "answer": "2", "response": "2"}
            row |= {"ending": "finished", "num_tokens": 3, "scores": {"strict": {"verdict": "solved"}}}
            store.record_evaluation_rows(step, "test", "greedy", [row])
        store.commit()


@pytest.mark.usefixtures("pictures")
def test_what_a_page_shows(sweep: Sweep, tmp_path: Path):
    finish(sweep, tmp_path / "out", 0, [0.25, 0.5])
    finish(sweep, tmp_path / "out", 1, [0.25, 1.0, 1.0])
    folder = publish(sweep, tmp_path / "out", tmp_path / "page")
    assert "2 of 3" in (folder / "table.md").read_text()
    assert (folder / "gains.png").stat().st_size > 1000
    rows = list(csv.DictReader((folder / "a" / "curve.csv").open()))
    assert [(r["updates"], r["num_seeds"], r["accuracy"]) for r in rows] == [
        ("0", "2", "0.2500"),
        ("1", "2", "0.7500"),
        ("2", "1", "1.0000"),
    ]
    # Student's interval of 0.5 and 1: 0.75 +- 12.706 x 0.25. One seed has none.
    assert float(rows[1]["high"]) == pytest.approx(0.75 + 12.7062 * 0.25, abs=1e-3)
    assert rows[2]["low"] == rows[2]["high"] == ""
    assert (folder / "a" / "curve.png").stat().st_size > 1000
    with lzma.open(folder / "rows.jsonl.xz", "rt") as file:
        answers = [json.loads(line) for line in file]
    assert [(answer["cell"], answer["seed"], answer["side"], answer["strict"]) for answer in answers] == [
        (None, None, "before", "solved"),
        ("a", 0, "after", "solved"),
        ("a", 1, "after", "solved"),
    ]
    with lzma.open(folder / "steps.csv.xz", "rt") as file:
        assert file.read() == (
            "cell,seed,step,metric,value\na,0,0,reward/mean,0.5\na,1,0,reward/mean,1\na,1,1,reward/mean,1\n"
        )
    assert {path.name for path in folder.iterdir()} == {
        "a", "gains.png", "rows.jsonl.xz", "steps.csv.xz", "summaries.json", "table.json", "table.md",
    }  # fmt: skip
    runs = read_runs(folder)
    assert [(run.cell, run.seed, run.summary) for run in runs] == [
        ("a", 0, {"gain": {"value": 0.25}}),
        ("a", 1, {"gain": {"value": 0.75}}),
    ]
    assert runs[0].test.claimed.difference.value == 0
    assert runs[0].test.before["greedy"].mean_tokens == 3


def test_what_was_published_before_is_replaced(sweep: Sweep, tmp_path: Path):
    finish(sweep, tmp_path / "out", 0, [0.25, 0.5])
    publish(sweep, tmp_path / "out", tmp_path / "page")
    finish(sweep, tmp_path / "other", 1, [0.25, 1.0])
    assert [run.seed for run in read_runs(publish(sweep, tmp_path / "other", tmp_path / "page"))] == [1]


def test_a_table_without_gains_has_no_picture_of_them(tmp_path: Path):
    run = {"cell": "a", "seed": 0, "state": "finished", "values": {"seconds": 3.0}}
    draw_gains(tmp_path / "gains.png", {"cells": [{"name": "a", "columns": {}}], "runs": [run]})
    assert not list(tmp_path.iterdir())


def test_nothing_to_publish_is_an_error(sweep: Sweep, tmp_path: Path):
    with pytest.raises(RunFolderError, match="no run of demo has finished"):
        publish(sweep, tmp_path / "out", tmp_path / "page")
