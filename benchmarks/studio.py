"""`assay studio` beside TensorBoard on one run of 100,000 rollouts: time to the first curve, and memory.

    python benchmarks/studio.py [--rollouts 100000] [--repeats 5] [--json FILE]

A made-up run of 125 rollouts a step is written as a run folder, and its scalars as event files. Both sides are started
anew and in turn. Measured of each: seconds from the start of its process until the data of the reward's curve are in
hand (over HTTP, without a browser), the same of the request alone (of TensorBoard the last of those it took: it answers
at once with nothing until its files are read), and seconds of CPU and peak memory of its processes by then. TensorBoard
has the scalars alone; the studio answers from the store that holds the rollouts too. MLflow is not here: it keeps runs
in a database of its own, into which this run would first have to be brought.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from assay.observe.store import RunStore
from assay.observe.tensorboard import EventWriter
from assay.types import Completion, Ending, EndingKind, Group, Message, Rollout, Score, Task, Turn

GROUPS, MEMBERS, TOKENS, METRICS = 25, 5, 120, 40
REWARD = "credit/reward_mean"


def write_run(folder: Path, events: Path, num_rollouts: int) -> None:
    """A run folder, and event files with its scalars."""
    generator = random.Random(0)
    steps = num_rollouts // (GROUPS * MEMBERS)
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
        writer.flush()
    (folder / "config.json").write_text('{"settings": {}}')


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


def measure(command: list[str], ask: Callable[[str], bool], address: str) -> dict[str, float]:
    """Start a command, ask until it has the curve, and stop it.

    Args:
        ask: from the address on which it listens to whether the curve is in hand.
        address: pattern of that address in what it prints.
    """
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        found = next(filter(None, (re.search(address, line) for line in process.stdout)))
        while True:
            asked = time.perf_counter()
            if ask(found.group()):
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
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _spent(pid: int) -> tuple[float, float]:
    """Seconds of CPU and peak memory, in megabytes, of a process and of those that it started, summed."""
    family, seconds, megabytes = {pid}, 0.0, 0.0
    for path in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            about = dict(line.split(":", 1) for line in (path / "status").read_text().splitlines())
            clock = (path / "stat").read_text().rpartition(")")[2].split()[11:13]
        except OSError:
            continue
        if int(about["Pid"]) in family or int(about["PPid"]) in family:
            family.add(int(about["Pid"]))
            megabytes += int(about.get("VmHWM", "0 kB").split()[0]) / 1024
            seconds += sum(map(int, clock)) / os.sysconf("SC_CLK_TCK")
    return seconds, megabytes


def _has_page(url: str) -> bool:
    with urllib.request.urlopen(url) as answer:
        return b"Mean reward" in answer.read()


def _has_scalars(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}data/plugin/scalars/tags") as answer:
            runs = json.load(answer)
        run = next((run for run, tags in runs.items() if REWARD in tags), None)
        if run is None:
            return False
        where = f"{url}data/plugin/scalars/scalars?run={urllib.request.quote(run)}&tag={urllib.request.quote(REWARD)}"
        with urllib.request.urlopen(where) as answer:
            return len(json.load(answer)) > 0
    except urllib.error.URLError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        run, events = Path(place) / "run", Path(place) / "events"
        run.mkdir()
        write_run(run, events, given.rollouts)
        python = sys.executable
        sides: dict[str, tuple[list[str], Callable[[str], bool], str]] = {
            "studio": ([python, "-m", "assay.cli.main", "studio", str(run)], _has_page, r"http://127\S+"),
            "tensorboard": (
                [python, "-m", "tensorboard.main", "--logdir", str(events), "--port", "0", "--host", "127.0.0.1"],
                _has_scalars,
                r"http://127\S+",
            ),
        }
        found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
        for _ in range(given.repeats):
            for name, (command, ask, address) in sides.items():
                found[name].append(measure(command, ask, address))
        size = sum(path.stat().st_size for path in run.glob("*")) / 1e6
    print(f"{given.rollouts:,} rollouts, {size:.0f} MB; medians of {given.repeats} [smallest, largest]")
    for name, rows in found.items():
        shown: dict[str, Any] = {}
        for what in rows[0]:
            values = sorted(row[what] for row in rows)
            shown[what] = f"{statistics.median(values):.2f} [{values[0]:.2f}, {values[-1]:.2f}]"
        print(f"{name:<12}", "  ".join(f"{what} {text}" for what, text in shown.items()))
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
