from __future__ import annotations

import fcntl
import json
from pathlib import Path

import pytest

from assay.errors import RunFolderError
from assay.evaluation.sweep import Sweep, run_sweep

SPEC = 'name = "demo"\nrecipe = "recipe.toml"\nseeds = [0, 1]\ntabulate = ["gain.value"]\n'


def load(tmp_path: Path, more: str = "") -> Sweep:
    (tmp_path / "spec.toml").write_text(SPEC + more)
    return Sweep.load(tmp_path / "spec.toml")


def calls(tmp_path: Path) -> list[list]:
    return [json.loads(line) for line in (tmp_path / "calls.txt").read_text().splitlines()]


def state(output: Path, run: str) -> dict:
    return json.loads((output / "results" / run / "run.json").read_text())


def test_runs_each_cell_and_seed_and_keeps_raw_results(tmp_path: Path, trainer: tuple[str, ...]):
    output = tmp_path / "out"
    sweep = load(tmp_path, "[cells.a]\n[cells.b]\nsettings.rate = 2.5\n")
    lines: list[str] = []
    assert run_sweep(sweep, output, command=trainer, say=lines.append)
    told = [line for line in lines if " runs ended after " in line]
    assert [line.split(" runs")[0] for line in told] == ["1 of 4", "2 of 4", "3 of 4", "4 of 4"]
    assert [" left" in line for line in told] == [True, True, True, False]
    assert next(line for line in lines if "step 1/1" in line) == "a seed 0: step 1/1  reward 0.5"
    assert calls(tmp_path) == [[0, 1.0, False], [0, 2.5, False], [1, 1.0, False], [1, 2.5, False]]
    results = output / "results" / "b" / "seed-1"
    assert sorted(p.name for p in results.iterdir()) == ["config.json", "rows.jsonl", "run.json", "summary.json"]
    assert json.loads((results / "summary.json").read_text())["gain"]["value"] == 5.0
    assert state(output, "b/seed-1")["state"] == "finished"
    assert "training" in (output / "runs" / "b" / "seed-1.output.txt").read_text()


def test_finished_runs_are_skipped_and_failed_ones_tried_again(tmp_path: Path, trainer: tuple[str, ...]):
    output, lines = tmp_path / "out", []
    assert not run_sweep(load(tmp_path, "settings.fail = 0\n"), output, command=trainer, say=lines.append)
    failed = state(output, "demo/seed-0")
    assert (failed["state"], failed["exit_code"]) == ("failed", 1)
    assert "the reason it failed" in failed["output_tail"]
    assert state(output, "demo/seed-1")["state"] == "finished", "a failure does not stop the others"
    assert any("failed with exit code 1" in line for line in lines)

    assert not run_sweep(load(tmp_path, "settings.fail = 0\n"), output, command=trainer, say=lines.append)
    assert calls(tmp_path)[2:] == [[0, 1.0, True]], "only the failed run, from its checkpoint"
    assert state(output, "demo/seed-0")["attempts"] == 2


@pytest.mark.parametrize("kept", [False, True])
def test_optimizer_states_of_finished_runs_go(tmp_path: Path, trainer: tuple[str, ...], kept: bool):
    output = tmp_path / "out"
    more = ("keep_optimizer = true\n" if kept else "") + "settings.fail = 0\n"
    run_sweep(load(tmp_path, more), output, command=trainer, say=lambda line: None)
    failed, finished = (output / "runs" / "demo" / f"seed-{seed}" / "checkpoints" / "step-000001" for seed in (0, 1))
    assert (failed / "optimizer.safetensors").exists(), "it may go on"
    assert (finished / "optimizer.safetensors").exists() == kept
    assert (finished / "model.safetensors").exists()


def test_interrupted_run_is_resumed(tmp_path: Path, trainer: tuple[str, ...]):
    output = tmp_path / "out"
    sweep = load(tmp_path, "settings.kill_at_first = true\n")
    assert not run_sweep(sweep, output, command=trainer, say=lambda line: None)
    assert state(output, "demo/seed-0")["exit_code"] == -9
    lines: list[str] = []
    assert run_sweep(sweep, output, command=trainer, say=lines.append)
    assert calls(tmp_path) == [[0, 1.0, False], [1, 1.0, False], [0, 1.0, True], [1, 1.0, True]]
    assert "1 of 2 runs ended" in " ".join(lines)
    assert not any(" left" in line for line in lines), "the rest of a run says nothing of how long a whole one takes"


def test_run_without_a_checkpoint_starts_again(tmp_path: Path, trainer: tuple[str, ...]):
    output = tmp_path / "out"
    left = output / "runs" / "demo" / "seed-0"
    (left / "checkpoints" / ".writing-step-000001").mkdir(parents=True)
    assert run_sweep(load(tmp_path), output, command=trainer, say=lambda line: None)
    assert calls(tmp_path)[0] == [0, 1.0, False]
    assert not (left / "checkpoints" / ".writing-step-000001").exists()


def test_unfinished_run_with_changed_settings_starts_again(tmp_path: Path, trainer: tuple[str, ...]):
    output = tmp_path / "out"
    run_sweep(load(tmp_path, "settings.fail = 0\n"), output, command=trainer, say=lambda line: None)
    changed = load(tmp_path, "settings.rate = 4.0\n")
    with pytest.raises(RunFolderError, match=r"demo seed 1 has finished .*fail=0"):
        run_sweep(changed, output, command=trainer, say=lambda line: None)
    (output / "results" / "demo" / "seed-1" / "run.json").unlink()
    assert run_sweep(changed, output, command=trainer, say=lambda line: None)
    assert calls(tmp_path)[2:] == [[0, 4.0, False], [1, 4.0, False]]


def test_two_jobs(tmp_path: Path, trainer: tuple[str, ...]):
    assert run_sweep(load(tmp_path), tmp_path / "out", command=trainer, num_jobs=2, say=lambda line: None)
    assert sorted(calls(tmp_path)) == [[0, 1.0, False], [1, 1.0, False]]


def test_one_sweep_at_a_time(tmp_path: Path, trainer: tuple[str, ...]):
    output = tmp_path / "out"
    output.mkdir()
    with (output / "sweep.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(RunFolderError, match="another sweep"):
            run_sweep(load(tmp_path), output, command=trainer)
    assert run_sweep(load(tmp_path), output, command=trainer, say=lambda line: None)


def test_unreadable_state(tmp_path: Path, trainer: tuple[str, ...]):
    folder = tmp_path / "out" / "results" / "demo" / "seed-0"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{")
    with pytest.raises(RunFolderError, match=r"run\.json cannot be read"):
        run_sweep(load(tmp_path), tmp_path / "out", command=trainer)
