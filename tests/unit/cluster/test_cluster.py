"""A run over Ray on this machine, with the faults of a cluster, against the same run in one process."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from assay import public
from assay.cli.main import app
from assay.cluster.check import ClusterPlan, check_cluster
from assay.cluster.connect import RayConnection, import_ray
from assay.cluster.ranks import RankGroup
from assay.cluster.settings import ClusterSettings
from assay.config import validate
from assay.errors import CheckpointError, ClusterError, RankError
from assay.launch import build_run
from assay.loop import train
from assay.observe.console import Console
from assay.observe.store import RunStore
from assay.recipe import RunConfig
from assay.run import Run, StepDone, TrainResult

REWARDS = Path(__file__).parents[2] / "parity" / "rewards.py"


@pytest.fixture(scope="module", autouse=True)
def ray() -> Iterator[Any]:
    """One Ray for the module; runs find it started, and leave it."""
    imported = import_ray()
    imported.init(
        address="local",
        num_cpus=12,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.CRITICAL,
        object_store_memory=200 * 2**20,
        _node_ip_address="127.0.0.2",
    )
    yield imported
    imported.shutdown()
    for _ in range(100):
        if not subprocess.run(["pgrep", "-P", str(os.getpid()), "raylet"], capture_output=True, check=False).stdout:
            return
        time.sleep(0.1)
    raise AssertionError("a raylet has outlived the tests")


def config_of(source: Path, **changes: Any) -> RunConfig:
    settings = {
        "num_steps": 4,
        "groups_per_step": 3,
        "group_size": 3,
        "num_threads": 1,
        "tokens_per_microbatch": 64,
        "model": {"source": str(source), "device": "cpu", "compute_dtype": "fp32"},
        "verifier": {"name": "python", "function": f"{REWARDS}:share_of_letters", "gold_format": ""},
        "sampling": {"max_new_tokens": 6},
        "trainer": {"learning_rate": 1e-2},
        "evaluation": {"every_steps": 0, "test_tasks": 0},
        "checkpoint": {"every_steps": 1},
        **changes,
    }
    return validate(RunConfig, settings)


def quiet() -> Console:
    return Console(stream=io.StringIO(), live=False)


@pytest.fixture(scope="module")
def alone(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights after the run in one process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    run = build_run(config_of(tiny_model), folder, console=quiet())
    return weights_of(asyncio.run(train(run)))


def weights_of(result: TrainResult) -> dict[str, torch.Tensor]:
    return load_file(result.model / "model.safetensors")


def close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert float((found[name] - value).abs().max()) <= 1e-4 * float(value.abs().max()), name


def ends(pid: int) -> None:
    """The process ends soon, where it has not."""
    for _ in range(200):
        status = Path(f"/proc/{pid}/status")
        if not status.exists() or "State:\tZ" in status.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} goes on")


@dataclasses.dataclass
class After:
    """Does something once, when a step is done."""

    step: int
    act: Callable[[], None]

    async def step_done(self, done: StepDone) -> None:
        if done.step == self.step:
            self.act()


def test_engines_that_are_killed_change_nothing(tiny_model: Path, tmp_path: Path, alone: dict[str, Any]) -> None:
    """One in sampling, one in a publish, one between publish and proof; two ranks and two engines."""
    run = build_run(config_of(tiny_model, cluster={"learner": 2, "engines": 2}), tmp_path / "run", console=quiet())
    engine: Any = run.engine
    killed: list[str] = []

    def kill(number: int, moment: str) -> None:
        killed.append(moment)
        os.kill(engine._slots[number].far.pid, signal.SIGKILL)

    def disturb() -> None:
        """Wraps what is there now: a replaced engine is not disturbed again."""
        first, second = engine._slots
        sample, load = first.far.generate, second.far.load_weights

        async def generate(*arguments: Any, **options: Any) -> Any:
            asked = asyncio.ensure_future(sample(*arguments, **options))
            await asyncio.sleep(0)
            if "sampling" not in killed and engine.version == 1:
                kill(0, "sampling")
            return await asked

        async def load_weights(weights: Any, version: int) -> None:
            if version == 2 and "publishing" not in killed:
                kill(1, "publishing")
            await load(weights, version)

        first.far.generate, second.far.load_weights = generate, load_weights

    def disturb_proof() -> None:
        slot = engine._slots[0]
        prove = slot.proven.prove

        async def after_load(*arguments: Any) -> Any:
            kill(0, "before the proof")
            return await prove(*arguments)

        slot.proven.prove = after_load

    run.subscribers.append(After(0, disturb))
    run.subscribers.append(After(1, disturb_proof))
    close(weights_of(asyncio.run(train(run))), alone)
    assert killed == ["sampling", "publishing", "before the proof"]
    metrics = RunStore.open_readonly(tmp_path / "run").metrics()
    replaced = [value for _, value in metrics["engine/replaced"]]
    assert sum(replaced) == 3
    assert sum(value for _, value in metrics["engine/moved_requests"]) >= 1
    assert max(value for _, value in metrics["engine/probe_gap_nats"]) < 1e-5
    for pid in run.learner.ranks.pids:
        ends(pid)


def test_assay_train_rebuilds_a_run_whose_rank_is_killed(
    tiny_model: Path, tmp_path: Path, alone: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the newest checkpoint, in the same folder; the command says so."""
    runs: list[Any] = []

    def build_and_disturb(*arguments: Any, **options: Any) -> Run:
        run: Any = build_run(*arguments, **options)
        runs.append(run)
        if len(runs) == 1:
            run.subscribers.append(After(1, lambda: os.kill(run.learner.ranks.pids[1], signal.SIGKILL)))
        return run

    monkeypatch.setattr(public, "build_run", build_and_disturb)
    recipe, folder = tmp_path / "recipe.toml", tmp_path / "run"
    recipe.write_text(
        f"""
        num_steps = 4
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
    sets = ("cluster.learner=2", "cluster.engines=2", "cluster.step_seconds=120.0")
    options = [word for each in sets for word in ("--set", each)]
    result = CliRunner().invoke(app, ["train", str(recipe), "--run-folder", str(folder), *options])
    assert result.exit_code == 0, result.output
    assert len(runs) == 2
    assert "rank 1 of the learner died" in result.output
    assert "going on from the newest checkpoint (1 of at most 2 times)" in result.output.replace("\n", " ")
    close(load_file(folder / "model" / "model.safetensors"), alone)
    assert RunStore.open_readonly(folder).num_steps() == 4


class LightRank:
    """A rank that loads nothing."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def double(self, value: int) -> int:
        return 2 * value + self.rank

    def disk_is_full(self) -> int:
        if self.rank == 0:
            raise CheckpointError("no room")
        return 1

    def breaks(self) -> None:
        if self.rank == 1:
            raise ValueError("a fault of ours")
        time.sleep(60)


def build_light(rank: int, world: int, address: str) -> LightRank:
    if world == 3:
        time.sleep(60)
    return LightRank(rank)


def test_every_wait_for_a_rank_is_bounded_and_names_it(ray: Any) -> None:
    connection = RayConnection(ClusterSettings(learner=2, step_seconds=3.0), num_processes=2)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        group = RankGroup(connection, build_light, 2, {"CPU": 1.0})
        assert asyncio.run(group.call("double", 4)) == 8
        with pytest.raises(CheckpointError, match=r"^no room$"):
            group.call_now("disk_is_full")
        # All ranks had ended that call: they can be asked further.
        assert group.call_now("double", 1) == 2
        os.kill(group.pids[1], signal.SIGSTOP)
        with pytest.raises(RankError, match=r"rank 1 of the learner did not answer in 'double' within 3 s"):
            asyncio.run(group.call("double", 4))
        with pytest.raises(RankError, match="are gone"):
            group.call_now("double", 4)
        for name, act, message in (
            ("double", lambda pids: os.kill(pids[0], signal.SIGKILL), r"rank 0 of the learner died"),
            (
                "breaks",
                lambda pids: None,
                r"rank 1 of the learner failed in 'breaks': .*a fault of ours|did not answer",
            ),
        ):
            group = RankGroup(connection, build_light, 2, {"CPU": 1.0})
            act(group.pids)
            with pytest.raises(RankError, match=message):
                group.call_now(name, *([1] if name == "double" else []))
            assert group.is_lost
        late = RayConnection(ClusterSettings(learner=3, start_seconds=4.0), num_processes=3)
        with pytest.raises(RankError, match=r"ranks 0, 1, 2 of the learner did not answer in 'start' within 4 s"):
            RankGroup(late, build_light, 3, {"CPU": 1.0})
        late.close()
    finally:
        ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
        connection.close()


def test_what_can_never_be_placed_is_said_at_once() -> None:
    connection = RayConnection(ClusterSettings(learner=1), num_processes=1)
    for bundles, message in (
        ([{"CPU": 1.0, "GPU": 1.0}], r"no place for ranks: a process needs 1 CPU and 1 GPU, and no node has it"),
        ([{"CPU": 1.0}] * 99, r"99 CPU are needed together, and the cluster has 12 CPU"),
    ):
        with pytest.raises(ClusterError, match=message):
            connection.place(bundles, "ranks")
    short = RayConnection(ClusterSettings(learner=1, start_seconds=0.2), num_processes=1)
    connection.settings = ClusterSettings(learner=1, start_seconds=30.0)
    connection.place([{"CPU": 12.0}], "all of it")
    try:
        with pytest.raises(ClusterError, match=r"no room for ranks within cluster.start_seconds=0.2"):
            short.place([{"CPU": 1.0}], "ranks")
    finally:
        connection.close()


def test_a_cluster_is_looked_at(tmp_path: Path) -> None:
    plan = ClusterPlan(({"CPU": 1.0}, {"GPU": 1.0}), 1, 1_000_000, 4_000_000, 10_000)
    connection = RayConnection(ClusterSettings(learner=1), num_processes=1)
    report = check_cluster(connection, plan, tmp_path)
    [node] = report.nodes
    assert (node.address, node.cpus, node.gpus, node.sees_folder) == ("127.0.0.2", 12.0, 0.0, True)
    assert node.products_per_second > 1e6
    assert report.problems == (
        "a process needs 1 GPU, and no node has it (the most are 0 GPU); ask for less, or add such a node",
    )
    text = "\n".join(report.lines())
    assert "publish: 4.0 MB" in text
    assert text.endswith("1 nodes, 1 problems")
    assert not list(tmp_path.iterdir())
