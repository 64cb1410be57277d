"""Random kills of the loop, of ranks and of engines leave the run that was never killed, and its books.

$CLUSTER_KILLS is their number, a hundred without it; $CLUSTER_RANKS that of the learner's ranks.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from assay.cluster.connect import import_ray
from assay.observe.store import RunStore

REWARDS = Path(__file__).parents[1] / "parity" / "rewards.py"
NUM_KILLS, NUM_RANKS = int(os.environ.get("CLUSTER_KILLS", "100")), int(os.environ.get("CLUSTER_RANKS", "1"))
NUM_STEPS, GROUPS, MEMBERS = 20, 3, 3
KINDS = ("the loop", "a rank", "an engine")
pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A Ray that outlives the runs."""
    ray = import_ray()
    from ray.cluster_utils import Cluster

    head = {"node_ip_address": "127.0.0.2", "num_cpus": 6, "include_dashboard": False}
    started = Cluster(initialize_head=True, head_node_args={**head, "object_store_memory": 100 * 2**20})
    ray.init(address=started.address, log_to_driver=False, logging_level=logging.CRITICAL, _node_ip_address="127.0.0.2")
    yield started
    ray.shutdown()
    started.shutdown()


def recipe_of(tiny_model: Path, folder: Path) -> Path:
    path = folder / "recipe.toml"
    path.write_text(
        f"""
        num_steps = {NUM_STEPS}
        groups_per_step = {GROUPS}
        group_size = {MEMBERS}
        num_threads = 1
        tokens_per_microbatch = 64
        model = {{source = "{tiny_model}", device = "cpu", compute_dtype = "fp32"}}
        verifier = {{name = "python", function = "{REWARDS}:share_of_letters", gold_format = ""}}
        sampling = {{max_new_tokens = 6}}
        trainer = {{learning_rate = 1e-3}}
        evaluation = {{every_steps = 0, test_tasks = 0}}
        checkpoint = {{every_steps = 1}}
        """
    )
    return path


def start(log: Path, *words: str) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        command = [sys.executable, "-m", "assay.cli.main", "train", *words]
        return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)


def processes(name: str) -> list[int]:
    """Process ids of Ray's actors of a class on this machine, under this test's Ray."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"ray::{name}".encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def kill_one(kind: str, loop: subprocess.Popen[bytes], rng: random.Random) -> bool:
    """Kill one of a kind; return whether there was one."""
    if kind == "the loop":
        loop.kill()
        loop.wait()
        return True
    actors = processes("RankProcess" if kind == "a rank" else "EngineProcess")
    if not actors:
        return False
    try:
        os.kill(rng.choice(actors), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def books(folder: Path) -> Counter[tuple[int, int, int]]:
    """How often each rollout was trained on, by step, group and member."""
    store = RunStore.open_readonly(folder)
    assert store.num_steps() == NUM_STEPS
    return Counter((each.step, each.group_id, each.member) for each in store.rollouts())


def test_random_kills_leave_the_same_weights_and_books(tiny_model: Path, tmp_path: Path, cluster: Any) -> None:
    recipe, whole, log = recipe_of(tiny_model, tmp_path), tmp_path / "whole", tmp_path / "log"
    settings = (f"cluster.address={cluster.address}", f"cluster.learner={NUM_RANKS}", "cluster.engines=1")
    sets = [word for each in (*settings, "cluster.max_restarts=1000") for word in ("--set", each)]
    # One rank computes what one process computes, bit for bit; more sum in another order.
    unbroken = start(log, str(recipe), "--run-folder", str(whole), *(sets if NUM_RANKS > 1 else []))
    assert unbroken.wait(1800) == 0, log.read_text()
    expected = load_file(whole / "model" / "model.safetensors")

    rng, killed, number = random.Random(0), Counter[str](), 0
    while sum(killed.values()) < NUM_KILLS:
        folder, number = tmp_path / f"run-{number}", number + 1
        done = False
        while not done:
            goes_on = (folder / "config.json").exists()
            words = ["--resume", str(folder), *sets] if goes_on else [str(recipe), "--run-folder", str(folder), *sets]
            loop = start(log, *words)
            while loop.poll() is None:
                time.sleep(rng.uniform(1.0, 20.0))
                kind = rng.choice(KINDS)
                if sum(killed.values()) < NUM_KILLS and loop.poll() is None and kill_one(kind, loop, rng):
                    killed[kind] += 1
                    print(f"{sum(killed.values())} killed: {kind}", flush=True)
            assert loop.returncode in (0, -signal.SIGKILL), log.read_text()[-5000:]
            done = loop.returncode == 0
        found = load_file(folder / "model" / "model.safetensors")
        for name, value in expected.items():
            gap = float((found[name] - value).abs().max())
            assert gap <= (0.0 if NUM_RANKS == 1 else 1e-6 * float(value.abs().max())), (name, gap)
        assert books(folder) == books(whole)
        assert set(books(folder).values()) == {1}
        assert len(books(folder)) == NUM_STEPS * GROUPS * MEMBERS
    print(dict(killed), flush=True)
