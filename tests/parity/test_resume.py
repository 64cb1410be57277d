"""A run that is killed and resumed is, bit for bit, the run that was never killed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from assay.observe.metrics import OF_THE_MACHINE
from assay.observe.store import RunStore

HERE = Path(__file__).parent
RECIPE = """
name = "resumed"
seed = 3
num_steps = 6
groups_per_step = 3
group_size = 4
minibatches_per_step = 2
num_threads = 1
max_staleness = 0
model = {{ source = "{model}", device = "cpu", compute_dtype = "fp32"{more} }}
verifier = {{ name = "python", function = "{rewards}:share_of_letters", gold_format = "{{answer}}x", solved_at = 0.2 }}
curriculum = {{ levels = [{{ complexity = 1 }}, {{ complexity = 2 }}], advance_at = 0.05, window = 4 }}
sampling = {{ max_new_tokens = 10 }}
algorithm = {{ name = "grpo" }}
trainer = {{ learning_rate = 1e-2, warmup_steps = 3, epochs_per_step = 2 }}
checkpoint = {{ every_steps = 2, keep_last = 2 }}

[evaluation]
every_steps = 2
validation_tasks = 8
test_tasks = 8
test_max_new_tokens = 8

[evaluation.strict]
name = "python"
function = "{rewards}:share_of_letters"
gold_format = "{{answer}}xxxxxxxx"
solved_at = 0.7
"""


def recipe(folder: Path, model: Path, more: str = "") -> Path:
    path = folder / "recipe.toml"
    path.write_text(RECIPE.format(model=model, rewards=HERE / "rewards.py", more=more))
    return path


class Server:
    """The process that forks the runs; its hash seed decides the order of its sets of strings."""

    def __init__(self, output: Path, hash_seed: int) -> None:
        self._output = output
        command = [sys.executable, str(HERE / "train_and_die.py")]
        environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.communicate(timeout=60)

    def run(self, moment: str, count: int, *arguments: str | Path) -> int:
        """The exit code of a run."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"moment": moment, "count": count, "arguments": [*map(str, arguments)], "output": str(self._output)}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    @property
    def said(self) -> str:
        """What the last run printed."""
        return self._output.read_text()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server") / "output.txt", hash_seed=1) as server:
        yield server


@pytest.fixture(scope="module")
def other_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Where runs are resumed, so that nothing may depend on what a process happens to hash strings to."""
    with Server(tmp_path_factory.mktemp("server") / "output.txt", hash_seed=2) as server:
        yield server


def fingerprint(folder: Path) -> dict[str, Any]:
    """Everything that must not depend on whether the run was killed."""
    store = RunStore.open_readonly(folder)
    summary = json.loads((folder / "summary.json").read_text())
    last = max((folder / "checkpoints").glob("step-*"))
    return {
        "metrics": store.comparable_metrics(),
        "rollouts": store.rollouts(),
        "evaluations": store.evaluations(),
        "events": store.events(),
        "curves": _points(folder / "events"),
        "weights": _hash(*(last / "model").glob("*.safetensors")),
        "optimizer": _hash(last / "optimizer.safetensors"),
        "best": [_hash(file) for file in (folder / "checkpoints").glob("best/*.safetensors")],
        "kept": sorted(path.name for path in (folder / "checkpoints").glob("step-*")),
        "summary": {
            key: summary.get(key) for key in ("status", "num_steps", "best_step", "groups_by_level", "gain", "readings")
        },
    }


def _points(folder: Path) -> list[tuple[str, int, float]]:
    """(metric, step, value) of every point in the event files, repeats included."""
    points = []
    for path in folder.glob("events.out.tfevents.*"):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if not value.tag.startswith(OF_THE_MACHINE):
                    points.append((value.tag, event.step, value.tensor.float_val[0]))
    return sorted(points)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def unbroken(server: Server, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("unbroken")
    assert server.run("never", 0, recipe(folder, tiny_model), "--run-folder", folder / "run") == 0, server.said
    return fingerprint(folder / "run")


@pytest.mark.parametrize(
    ("moment", "count"),
    [
        ("sampling", 40),  # before the first checkpoint: the run begins again
        ("update", 18),  # between two checkpoints
        ("record", 6),
        ("sync", 20),  # inside the write of a checkpoint
        ("rename", 3),  # a checkpoint written whole, and not yet in place
    ],
)
def test_killed_and_resumed_is_bit_for_bit_the_unbroken_run(
    server: Server,
    other_server: Server,
    unbroken: dict[str, Any],
    tiny_model: Path,
    tmp_path: Path,
    moment: str,
    count: int,
) -> None:
    folder = tmp_path / "run"
    killed = server.run(moment, count, recipe(tmp_path, tiny_model), "--run-folder", folder)
    assert killed == -signal.SIGKILL, server.said
    assert other_server.run("never", 0, "--resume", folder) == 0, other_server.said
    assert fingerprint(folder) == unbroken


def test_a_run_that_trains_an_adapter_is_resumed_bit_for_bit(
    server: Server, other_server: Server, tiny_model: Path, tmp_path: Path
) -> None:
    text = recipe(tmp_path, tiny_model, ", lora = { rank = 3 }")
    assert server.run("never", 0, text, "--run-folder", tmp_path / "unbroken") == 0, server.said
    killed = server.run("update", 18, text, "--run-folder", tmp_path / "broken")
    assert killed == -signal.SIGKILL, server.said
    assert other_server.run("never", 0, "--resume", tmp_path / "broken") == 0, other_server.said
    assert fingerprint(tmp_path / "broken") == fingerprint(tmp_path / "unbroken")


@pytest.mark.slow  # each of its processes compiles the passes around 8-bit products: half a minute
def test_a_run_that_samples_with_8_bit_weights_is_resumed_bit_for_bit(
    server: Server, other_server: Server, tiny_model: Path, tmp_path: Path
) -> None:
    """What the view holds follows from the weights alone: its loud columns are found anew at each publish."""
    text = recipe(tmp_path, tiny_model)
    options = ("engine.name=int8", "engine.loud_columns=8", "algorithm.correction.kind=truncate")
    settings = [part for option in options for part in ("--set", option)]
    assert server.run("never", 0, text, *settings, "--run-folder", tmp_path / "unbroken") == 0, server.said
    killed = server.run("update", 18, text, *settings, "--run-folder", tmp_path / "broken")
    assert killed == -signal.SIGKILL, server.said
    assert other_server.run("never", 0, "--resume", tmp_path / "broken") == 0, other_server.said
    assert fingerprint(tmp_path / "broken") == fingerprint(tmp_path / "unbroken")
