"""What only whole processes show: the process of the loop is killed, and a rank stands still."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from assay.cluster.connect import TRY_SECONDS, RayConnection
from assay.cluster.settings import ClusterSettings
from assay.errors import ClusterError

REWARDS = Path(__file__).parents[1] / "parity" / "rewards.py"
pytestmark = pytest.mark.slow


def recipe_of(tiny_model: Path, folder: Path) -> Path:
    path = folder / "recipe.toml"
    path.write_text(
        f"""
        num_steps = 6
        groups_per_step = 3
        group_size = 3
        num_threads = 1
        tokens_per_microbatch = 64
        model = {{source = "{tiny_model}", device = "cpu", compute_dtype = "fp32"}}
        verifier = {{name = "python", function = "{REWARDS}:share_of_letters", gold_format = ""}}
        sampling = {{max_new_tokens = 6}}
        trainer = {{learning_rate = 1e-2}}
        evaluation = {{every_steps = 0, test_tasks = 0}}
        checkpoint = {{every_steps = 1}}
        """
    )
    return path


def start(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "assay.cli.main", "train", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(path: Path, process: subprocess.Popen[str], seconds: float = 300.0) -> None:
    until = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until, f"{path} did not come"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = task.read_text()
        except OSError:
            continue
        if int(text.rsplit(")", 1)[1].split()[1]) == pid:
            child = int(task.parent.name)
            found += [child, *children(child)]
    return found


def named(pids: list[int], part: str) -> list[int]:
    found = []
    for pid in pids:
        try:
            if part in Path(f"/proc/{pid}/cmdline").read_text():
                found.append(pid)
        except OSError:
            continue
    return found


def weights(folder: Path) -> dict[str, Any]:
    return load_file(folder / "model" / "model.safetensors")


def same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        assert float((found[name] - value).abs().max()) <= 1e-4 * float(value.abs().max()), name


def test_the_loop_is_killed_and_the_run_resumed(tiny_model: Path, tmp_path: Path) -> None:
    recipe, cluster = recipe_of(tiny_model, tmp_path), ["--set", "cluster.learner=2", "--set", "cluster.engines=1"]
    alone = start(str(recipe), "--run-folder", str(tmp_path / "alone"))
    assert alone.wait(300) == 0, alone.communicate()[0]
    killed = start(str(recipe), "--run-folder", str(tmp_path / "run"), *cluster)
    wait_for(tmp_path / "run" / "checkpoints" / "step-000002", killed)
    workers = named(children(killed.pid), "ray::")
    assert len(workers) >= 3
    killed.kill()
    killed.wait(60)
    until = time.monotonic() + 60
    while left := [pid for pid in named(workers, "Process") if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < until, f"{left} outlive the loop"
        time.sleep(0.2)
    resumed = start("--resume", str(tmp_path / "run"))
    output, _ = resumed.communicate(timeout=400)
    assert resumed.returncode == 0, output
    same(weights(tmp_path / "run"), weights(tmp_path / "alone"))


def test_a_rank_that_stands_still_ends_the_run_in_time(tiny_model: Path, tmp_path: Path) -> None:
    settings = ("cluster.learner=1", "cluster.max_restarts=0", "cluster.step_seconds=15.0")
    words = [word for each in settings for word in ("--set", each)]
    process = start(str(recipe_of(tiny_model, tmp_path)), "--run-folder", str(tmp_path / "run"), *words)
    wait_for(tmp_path / "run" / "checkpoints" / "step-000001", process)
    [rank] = named(children(process.pid), "ray::RankProcess")
    os.kill(rank, signal.SIGSTOP)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 2
    text = " ".join(output.split())
    assert "rank 0 of the learner did not answer" in text
    assert "go on with: assay train --resume" in text
    assert json.loads((tmp_path / "run" / "config.json").read_text())


def test_an_address_where_something_else_listens_is_an_error_in_time() -> None:
    """Ray by itself tries for a quarter of an hour."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.2", 0))
        listener.listen()
        address, start = f"127.0.0.2:{listener.getsockname()[1]}", time.monotonic()
        with pytest.raises(ClusterError, match=rf"Ray cannot be used at cluster.address='{address}'"):
            RayConnection(ClusterSettings(learner=1, start_seconds=2.0, address=address), num_processes=1)
        assert time.monotonic() - start < 2 * TRY_SECONDS
