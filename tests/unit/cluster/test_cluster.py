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
from assay.errors import CheckpointError, ClusterError, ConfigError, RankError
from assay.launch import build_run
from assay.loop import train
from assay.observe.console import Console
from assay.observe.store import RunStore
from assay.recipe import RunConfig
from assay.run import Run, StepDone, TrainResult

REWARDS = Path(__file__).parents[2] / "parity" / "rewards.py"
STAND_IN = Path(__file__).parents[2] / "foreign" / "vllm_stand_in.py"
NUM_CPUS = 12
NODE: dict[str, Any] = {"include_dashboard": False, "object_store_memory": 100 * 2**20}
LORA = {"rank": 4}


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[Any]:
    """One Ray for the module; runs find it started, and leave it. Nodes are added by addresses of this machine."""
    ray = import_ray()
    from ray.cluster_utils import Cluster

    head = {"node_ip_address": "127.0.0.2", "num_cpus": NUM_CPUS, **NODE}
    started = Cluster(initialize_head=True, head_node_args=head)
    ray.init(
        address=started.address,
        log_to_driver=False,
        logging_level=logging.CRITICAL,
        _node_ip_address="127.0.0.2",
    )
    yield started
    ray.shutdown()
    started.shutdown()
    for _ in range(600):
        if not subprocess.run(["pgrep", "-P", str(os.getpid()), "raylet"], capture_output=True, check=False).stdout:
            return
        time.sleep(0.1)
    raise AssertionError("a raylet has outlived the tests")


@pytest.fixture(scope="module")
def ray(cluster: Any) -> Any:
    return import_ray()


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
    return one_process(config_of(tiny_model), tmp_path_factory.mktemp("alone") / "run")


def one_process(config: RunConfig, folder: Path, **options: Any) -> dict[str, torch.Tensor]:
    return weights_of(asyncio.run(train(build_run(config, folder, console=quiet(), **options))))


def weights_of(result: TrainResult) -> dict[str, torch.Tensor]:
    [file] = result.model.glob("*model.safetensors")
    return load_file(file)


def close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert float((found[name] - value).abs().max()) <= 1e-4 * float(value.abs().max()), name


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """Bit for bit."""
    assert found.keys() == expected.keys()
    assert [name for name, value in expected.items() if not torch.equal(found[name], value)] == []


def ends(pid: int) -> None:
    """The process ends soon, where it has not."""
    for _ in range(1200):
        status = Path(f"/proc/{pid}/status")
        if not status.exists() or "State:\tZ" in status.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} goes on")


@dataclasses.dataclass
class After:
    """Does something once, when a step is done."""

    step: int
    act: Callable[[], object]

    async def step_done(self, done: StepDone) -> None:
        if done.step == self.step:
            self.act()


def test_engines_and_a_node_that_are_lost_change_nothing(
    tiny_model: Path, tmp_path: Path, alone: dict[str, Any], cluster: Any, ray: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rank and two engines on two nodes, bit for bit. In sampling the second node is lost with its engine; one engine
    is killed in a publish, one between publish and proof."""
    second = cluster.add_node(node_ip_address="127.0.0.3", num_cpus=1, **NODE)
    place = RayConnection.place

    def spread(connection: RayConnection, bundles: Any, what: str) -> Any:
        """Leaves room for one engine on the first node."""
        if "engines" not in what:
            return place(connection, bundles, what)
        taken = ray.util.placement_group([{"CPU": NUM_CPUS - 1.0}])
        assert taken.wait(60)
        group = place(connection, bundles, what)
        ray.util.remove_placement_group(taken)
        return group

    monkeypatch.setattr(RayConnection, "place", spread)
    run = build_run(config_of(tiny_model, cluster={"learner": 1, "engines": 2}), tmp_path / "run", console=quiet())
    engine: Any = run.engine
    nodes = ray.util.placement_group_table(engine._group)["bundles_to_node_id"]
    [far] = [number for number, node in nodes.items() if node == second.node_id]
    near, lost = 1 - far, []

    def kill(number: int, moment: str) -> None:
        lost.append(moment)
        os.kill(engine._slots[number].far.pid, signal.SIGKILL)

    def disturb() -> None:
        """Wraps what is there now: a replaced engine is not disturbed again."""
        remote, other = engine._slots[far], engine._slots[near]
        sample, load = remote.far.generate, other.far.load_weights

        async def generate(*arguments: Any, **options: Any) -> Any:
            if not lost and engine.version == 1:
                # Its processes go with a node; here they would outlive its raylet a little, and answer.
                kill(far, "the node")
                cluster.remove_node(second, allow_graceful=False)
            return await sample(*arguments, **options)

        async def load_weights(weights: Any, version: int) -> None:
            if version == 2 and "publishing" not in lost:
                kill(near, "publishing")
            await load(weights, version)

        remote.far.generate, other.far.load_weights = generate, load_weights

    def disturb_proof() -> None:
        slot = engine._slots[near]
        prove = slot.proven.prove

        async def after_load(*arguments: Any) -> Any:
            kill(near, "before the proof")
            return await prove(*arguments)

        slot.proven.prove = after_load

    run.subscribers.append(After(0, disturb))
    run.subscribers.append(After(1, disturb_proof))
    same(weights_of(asyncio.run(train(run))), alone)
    assert lost == ["the node", "publishing", "before the proof"]
    metrics = RunStore.open_readonly(tmp_path / "run").metrics()
    # One more where a publish comes before Ray has seen that the node is gone, and has moved the place.
    assert 3 <= sum(value for _, value in metrics["engine/replaced"]) <= 4
    assert sum(value for _, value in metrics["engine/moved_requests"]) >= 1
    assert max(value for _, value in metrics["engine/probe_gap_nats"]) < 1e-5
    for pid in run.learner.ranks.pids:
        ends(pid)


def workers_of(pid: int) -> list[int]:
    """The processes that an engine's process began."""
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for thread in threads for child in thread.read_text().split()]


def test_engines_that_have_workers_of_their_own(tiny_model: Path, tmp_path: Path, alone: dict[str, Any]) -> None:
    """Two engines as `engine = "vllm"` makes them, bit for bit. The worker of one is killed, and the process of the
    other: its worker ends with it, and leaves nothing."""
    settings = {"engine": {"name": f"{STAND_IN}:StandIn"}, "cluster": {"learner": 1, "engines": 2}}
    run = build_run(config_of(tiny_model, **settings), tmp_path / "run", console=quiet())
    engine: Any = run.engine
    known: dict[int, Path] = {}

    def look() -> list[int]:
        """Process ids of the engines; notes their workers, with the folder that each has."""
        for each in (worker for pid in engine.pids for worker in workers_of(pid)):
            known[each] = Path(f"/proc/{each}/cwd").resolve()
        return engine.pids

    run.subscribers.append(After(0, lambda: os.kill(workers_of(look()[0])[0], signal.SIGKILL)))
    run.subscribers.append(After(1, lambda: os.kill(look()[1], signal.SIGKILL)))
    run.subscribers.append(After(2, look))
    same(weights_of(asyncio.run(train(run))), alone)
    metrics = RunStore.open_readonly(tmp_path / "run").metrics()
    assert sum(value for _, value in metrics["engine/replaced"]) == 2
    assert max(value for _, value in metrics["engine/probe_gap_nats"]) < 1e-5
    assert len(known) == 4
    for pid, folder in known.items():
        ends(pid)
        for _ in range(1200):
            if not folder.exists():
                break
            time.sleep(0.05)
        assert not folder.exists()


def test_an_engine_that_cannot_be_had_ends_the_run_with_its_own_words(tiny_model: Path, tmp_path: Path) -> None:
    config = config_of(tiny_model, engine={"name": "vllm", "python": "/nowhere/python"}, cluster={"engines": 1})
    with pytest.raises(ConfigError, match=r"'/nowhere/python' is no Python: .* install vllm"):
        asyncio.run(train(build_run(config, tmp_path / "run", console=quiet())))


def test_assay_train_rebuilds_a_run_whose_rank_is_killed(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the newest checkpoint, in the same folder; the command says so. What is trained is an adapter."""
    changes = {"model": {"source": str(tiny_model), "device": "cpu", "compute_dtype": "fp32", "lora": LORA}}
    expected = one_process(config_of(tiny_model, **changes), tmp_path / "alone")
    runs: list[Any] = []

    def build_and_disturb(*arguments: Any, **options: Any) -> Run:
        run: Any = build_run(*arguments, **options)
        runs.append(run)
        if len(runs) == 1:
            run.subscribers.append(After(1, lambda: os.kill(run.learner.ranks.pids[1], signal.SIGKILL)))
        return run

    monkeypatch.setattr(public, "build_run", build_and_disturb)
    recipe, folder = recipe_of(tiny_model, tmp_path), tmp_path / "run"
    sets = ("cluster.learner=2", "cluster.step_seconds=120.0", f"model.lora.rank={LORA['rank']}")
    options = [word for each in sets for word in ("--set", each)]
    result = CliRunner().invoke(app, ["train", str(recipe), "--run-folder", str(folder), *options])
    assert result.exit_code == 0, result.output
    assert len(runs) == 2
    assert "rank 1 of the learner died" in result.output
    assert "going on from the newest checkpoint (1 of at most 2 times)" in result.output.replace("\n", " ")
    close(load_file(folder / "model" / "adapter_model.safetensors"), expected)
    store = RunStore.open_readonly(folder)
    assert store.num_steps() == 4
    # The adapter alone is published, in fp32.
    num_bytes = 4 * sum(factor.numel() for factor in expected.values())
    assert [value for _, value in store.metrics()["engine/publish_bytes"]] == [num_bytes] * 4
    assert max(value for _, value in store.metrics()["engine/probe_gap_nats"]) < 1e-5


def recipe_of(tiny_model: Path, folder: Path, rewards: Path = REWARDS) -> Path:
    """`config_of` as a file."""
    path = folder / "recipe.toml"
    path.write_text(
        f"""
        num_steps = 4
        groups_per_step = 3
        group_size = 3
        num_threads = 1
        tokens_per_microbatch = 64
        model = {{source = "{tiny_model}", device = "cpu", compute_dtype = "fp32"}}
        verifier = {{name = "python", function = "{rewards}:share_of_letters", gold_format = ""}}
        sampling = {{max_new_tokens = 6}}
        trainer = {{learning_rate = 1e-2}}
        evaluation = {{every_steps = 0, test_tasks = 0}}
        checkpoint = {{every_steps = 1}}
        """
    )
    return path


HOLDS = """
share = share_of_letters

def share_of_letters(response, answer):
    import pathlib, time

    folder = pathlib.Path("{folder}")
    if (folder / "checkpoints" / "step-000002").exists() and not (folder / "killed").exists():
        time.sleep(600)
    return share(response, answer)
"""
"""What is added to rewards so that a run goes on from its second checkpoint only once it was killed."""


def test_the_loop_is_killed_and_the_run_goes_on_in_one_process(
    tiny_model: Path, tmp_path: Path, alone: dict[str, Any], cluster: Any, ray: Any
) -> None:
    """Its ranks and engines end with it, and a checkpoint knows nothing of a cluster."""
    folder, rewards = tmp_path / "run", tmp_path / "rewards.py"
    rewards.write_text(REWARDS.read_text() + HOLDS.format(folder=folder))  # or it may end before it is killed
    sets = (f"cluster.address={cluster.address}", "cluster.learner=1")
    words = ["train", str(recipe_of(tiny_model, tmp_path, rewards)), "--run-folder", str(folder)]
    command = [sys.executable, "-m", "assay.cli.main", *words, *(word for each in sets for word in ("--set", each))]
    free = ray.cluster_resources()["CPU"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        until = time.monotonic() + 200
        while not (folder / "checkpoints" / "step-000002").exists():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < until
            time.sleep(0.02)
        process.kill()
    until = time.monotonic() + 60
    while ray.available_resources().get("CPU") != free:
        assert time.monotonic() < until, f"processes outlive the loop: {ray.available_resources()}"
        time.sleep(0.1)
    (folder / "killed").touch()
    verifier = {"name": "python", "function": f"{rewards}:share_of_letters", "gold_format": ""}
    found = one_process(config_of(tiny_model, verifier=verifier), folder, resume=True)
    same(found, alone)
    assert RunStore.open_readonly(folder).num_steps() == 4


def test_sampling_goes_on_while_the_learner_is_at_work(tiny_model: Path, tmp_path: Path) -> None:
    """With max_staleness=1: the rank stands still in each update until the groups of the next step are there."""
    algorithm = {"name": "grpo", "ratio_against": "sampling"}
    settings = {"num_steps": 3, "max_staleness": 1, "algorithm": algorithm, "checkpoint": {"every_steps": 0}}
    run: Any = build_run(
        config_of(tiny_model, **settings, cluster={"learner": 1, "engines": 1}), tmp_path / "run", console=quiet()
    )
    update, sampled = run.learner.update, []

    async def slow_update(*arguments: Any) -> Any:
        [rank] = run.learner.ranks.pids
        os.kill(rank, signal.SIGSTOP)
        try:
            updating = asyncio.ensure_future(update(*arguments))
            async with asyncio.timeout(100):
                while not all(issued.result for issued in run.sampler._waiting.values()):
                    await asyncio.sleep(0.01)
            assert not updating.done()
            sampled.append(len(run.sampler._waiting))
        finally:
            os.kill(rank, signal.SIGCONT)
        return await updating

    run.learner.update = slow_update
    asyncio.run(train(run))
    assert sampled == [3, 3, 3]
    metrics = RunStore.open_readonly(tmp_path / "run").metrics()
    assert [value for _, value in metrics["rollout/max_staleness_versions"]] == [0, 1, 1]
    assert [value for _, value in metrics["rollout/mean_staleness_versions"]] == [0, 1, 1]
    assert all(value > 0 for _, value in metrics["time/engines_busy_seconds"])


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
    connection = RayConnection(ClusterSettings(learner=2), num_processes=2)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        group = RankGroup(connection, build_light, 2, {"CPU": 1.0})
        assert asyncio.run(group.call("double", 4)) == 8
        with pytest.raises(CheckpointError, match=r"^no room$"):
            group.call_now("disk_is_full")
        # All ranks had ended that call: they can be asked further.
        assert group.call_now("double", 1) == 2
        os.kill(group.pids[1], signal.SIGSTOP)
        group._settings = ClusterSettings(learner=2, step_seconds=3.0)
        with pytest.raises(RankError, match=r"ranks? (0, )?1 of the learner did not answer in 'double' within 3 s"):
            asyncio.run(group.call("double", 4))
        with pytest.raises(RankError, match="are gone"):
            group.call_now("double", 4)
        for name, act, message in (
            ("double", lambda pids: os.kill(pids[0], signal.SIGKILL), r"rank 0 of the learner died"),
            ("breaks", lambda pids: None, r"rank 0 of .* after rank 1 of .* failed in 'breaks': .*a fault of ours"),
        ):
            group = RankGroup(connection, build_light, 2, {"CPU": 1.0})
            act(group.pids)
            with pytest.raises(RankError, match=message):
                group.call_now(name, *([1] if name == "double" else []))
            assert group.is_lost
        late = RayConnection(ClusterSettings(learner=3, start_seconds=4.0), num_processes=3)
        # On a busy machine rank 0 has not even said where the others are to meet.
        with pytest.raises(RankError, match=r"ranks? 0(, 1, 2)? of the learner did not answer in 'start' within 4 s"):
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
