"""`assay studio` beside TensorBoard and MLflow on one run of 100,000 rollouts: time to the first curve, and memory.

    python benchmarks/studio.py [--rollouts 100000] [--repeats 5] [--json FILE]

A made-up run of 125 rollouts a step is written as a run folder, and its scalars as event files and into an SQLite store
of MLflow's, which has an environment of its own; that is not timed. The sides are started anew and in turn. Measured of
each: seconds from the start of its process until the data of the reward's curve are in hand (over HTTP, without a
browser), the same of the request alone (of TensorBoard the last of those it took: it answers at once with nothing until
its files are read), and seconds of CPU and peak memory of its processes by then. TensorBoard and MLflow have the
scalars alone; the studio answers from the store that holds the rollouts too. MLflow's server runs in its leanest form,
one worker and no executor of jobs, and as it starts by default.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from assay.home import assay_home
from assay.observe.provenance import machine
from assay.observe.store import RunStore
from assay.observe.tensorboard import EventWriter
from assay.types import Completion, Ending, EndingKind, Group, Message, Rollout, Score, Task, Turn
from peers import PEERS, python_of

HERE = Path(__file__).parent
GROUPS, MEMBERS, TOKENS, METRICS = 25, 5, 120, 40
REWARD = "credit/reward_mean"
MOST_POINTS = 1000
"""Points of a curve that TensorBoard keeps."""


@dataclass(frozen=True)
class Shown:
    """What shows a run."""

    command: list[str]
    ask: Callable[[str], bool]
    """From the address on which it listens to whether the curve is in hand."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables beside those of this process."""


def write_run(folder: Path, events: Path, steps: int) -> list[dict[str, float]]:
    """Write a run folder, and event files with its scalars; return these by step."""
    generator = random.Random(0)
    scalars = []
    with RunStore(folder) as store, EventWriter(events) as writer:
        for step in range(steps):
            groups = [_group(step, step * GROUPS + number, steps, generator) for number in range(GROUPS)]
            rewards = [score.value or 0.0 for group in groups for score in group.scores]
            metrics = {f"some/metric_{number}": generator.random() for number in range(METRICS)}
            metrics |= {REWARD: statistics.fmean(rewards), "policy/entropy_nats": 2 * float(np.exp(-step / 300))}
            store.record_step(step, metrics)
            logprobs = {(g.group_id, r.member): [-0.1] * TOKENS for g in groups for r in g.rollouts}
            store.record_groups(
                step, groups, lambda tokens: "".join(chr(97 + token % 26) for token in tokens), logprobs
            )
            store.commit()
            writer.write(step, metrics)
            scalars.append(metrics)
        writer.flush()
    (folder / "config.json").write_text('{"settings": {}}')
    return scalars


def _group(step: int, number: int, steps: int, generator: random.Random) -> Group:
    task = Task("sums", (Message("user", "Q" * 40),), "113", complexity=float(2 + number % 4), horizon=1.0)
    rollouts, scores = [], []
    for member in range(MEMBERS):
        sampled = tuple(generator.randrange(50_000) for _ in range(TOKENS))
        completion = Completion(sampled, (-0.1,) * TOKENS, "stop", ((0, step),))
        turn = Turn(tuple(range(40)), False, completion, Message("assistant", "said"))
        rollouts.append(Rollout(task.task_id, number, member, (turn,), Ending(EndingKind.FINISHED)))
        scores.append(Score.solved() if generator.random() < step / steps else Score.failed("wrong"))
    return Group(number, task, tuple(rollouts), tuple(scores))


def measure(side: Shown) -> dict[str, float]:
    """Start what shows a run, ask until it has the curve, and stop it."""
    began = time.perf_counter()
    process = subprocess.Popen(
        side.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | side.environment
    )
    assert process.stdout is not None
    try:
        address = next(filter(None, (re.search(r"http://127\S+", line) for line in process.stdout))).group()
        while True:
            asked = time.perf_counter()
            if side.ask(address):
                break
            time.sleep(0.02)
        done = time.perf_counter()
        cpu_seconds, megabytes = _spent(process.pid)
        return {
            "start_seconds": done - began,
            "request_seconds": done - asked,
            "cpu_seconds": cpu_seconds,
            "megabytes": megabytes,
        }
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    """End a process, and wait for those that it started: what is left of one side must not slow down the next."""
    family = _family(process.pid)
    process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and (process.poll() is None or any(map(_runs, family - {process.pid}))):
        time.sleep(0.1)
    for pid in filter(_runs, family):
        os.kill(pid, signal.SIGKILL)
    process.wait()


def _runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _family(pid: int) -> set[int]:
    """A process and those that it started, and these."""
    found = {pid}
    for path in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent in found:
            found.add(int(path.name))
    return found


def _spent(pid: int) -> tuple[float, float]:
    """Seconds of CPU and peak memory, in megabytes, of a process and of those that it started, summed."""
    seconds, megabytes = 0.0, 0.0
    for one in _family(pid):
        try:
            about = Path(f"/proc/{one}/status").read_text()
            clock = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[11:13]
        except OSError:
            continue
        if peak := re.search(r"VmHWM:\s+(\d+) kB", about):
            megabytes += int(peak[1]) / 1024
        seconds += sum(map(int, clock)) / os.sysconf("SC_CLK_TCK")
    return seconds, megabytes


def studio_side(run: Path) -> Shown:
    """The studio, whose page holds the curve."""

    def ask(url: str) -> bool:
        with urllib.request.urlopen(url) as answer:
            return b"Mean reward" in answer.read()

    return Shown([sys.executable, "-m", "assay.cli.main", "studio", str(run)], ask)


def tensorboard_side(events: Path, steps: int) -> Shown:
    """TensorBoard over event files."""

    def ask(url: str) -> bool:
        tags = _json(f"{url}data/plugin/scalars/tags") or {}
        run = next((run for run, tags in tags.items() if REWARD in tags), None)
        if run is None:
            return False
        where = urllib.parse.urlencode({"run": run, "tag": REWARD})
        return len(_json(f"{url}data/plugin/scalars/scalars?{where}") or ()) == min(steps, MOST_POINTS)

    options = ["--logdir", str(events), "--port", "0", "--host", "127.0.0.1"]
    return Shown([sys.executable, "-m", "tensorboard.main", *options], ask)


def mlflow_sides(store: Path, scalars: list[dict[str, float]]) -> dict[str, Shown]:
    """MLflow's server over an SQLite store, into which the scalars are written first: in its leanest form, and as it
    starts by default."""
    python, address = str(python_of("mlflow", assay_home() / "benchmarks")), f"sqlite:///{store}"
    write = [python, str(HERE / "side_mlflow.py"), address]
    run = subprocess.run(write, input=json.dumps(scalars), capture_output=True, text=True, check=True).stdout.split()[
        -1
    ]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def ask(url: str) -> bool:
        where = urllib.parse.urlencode({"run_id": run, "metric_key": REWARD, "max_results": len(scalars)})
        found = _json(f"{url}/api/2.0/mlflow/metrics/get-history?{where}")
        return found is not None and len(found.get("metrics", ())) == len(scalars)

    options = ["--backend-store-uri", address, "--host", "127.0.0.1", "--port", str(port)]
    command = [python, "-m", "mlflow", "server", *options]
    lean = Shown([*command, "--workers", "1"], ask, {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"})
    return {"mlflow_lean": lean, "mlflow": Shown(command, ask)}


def _json(url: str) -> Any:
    """An answer's JSON; None where there is no answer yet."""
    try:
        with urllib.request.urlopen(url) as answer:
            return json.load(answer)
    except urllib.error.URLError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    steps = given.rollouts // (GROUPS * MEMBERS)
    with tempfile.TemporaryDirectory() as place:
        run, events = Path(place) / "run", Path(place) / "events"
        run.mkdir()
        scalars = write_run(run, events, steps)
        sides = {
            "studio": studio_side(run),
            "tensorboard": tensorboard_side(events, steps),
            **mlflow_sides(Path(place) / "mlflow.db", scalars),
        }
        found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
        for _ in range(given.repeats):
            for name, side in sides.items():
                found[name].append(measure(side))
        size = sum(path.stat().st_size for path in run.glob("*")) / 1e6
    print(f"{given.rollouts:,} rollouts, {size:.0f} MB; medians of {given.repeats} (smallest to largest)")
    for name, rows in found.items():
        shown: dict[str, Any] = {}
        for what in rows[0]:
            values = sorted(row[what] for row in rows)
            shown[what] = f"{statistics.median(values):.2f} ({values[0]:.2f} to {values[-1]:.2f})"
        print(f"{name:<12}", "  ".join(f"{what} {text}" for what, text in shown.items()))
    if given.json is not None:
        versions = {"assay": version("assay"), "nicegui": version("nicegui"), "tensorboard": version("tensorboard")}
        versions["mlflow"] = PEERS["mlflow"][0][0].partition("==")[2]
        about = {"rollouts": given.rollouts, "steps": steps, "run_megabytes": size, "machine": machine()}
        given.json.write_text(json.dumps({**about, "versions": versions, "repeats": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
