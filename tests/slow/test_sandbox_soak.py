"""Thousands of runs while workers are killed, disks fill and neighbours fork without end: every verdict stays right.

    SANDBOX_SOAK_RUNS=20000 pytest -m slow tests/slow/test_sandbox_soak.py

Prints its figures; with SANDBOX_SOAK_JSON they also go to that file.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from assay.sandbox import CallReply, Limits, Program, RunStatus, Sandbox
from assay.sandbox.selftest import _descendants

NUM_RUNS = int(os.environ.get("SANDBOX_SOAK_RUNS", "20000"))
SHORT = Limits(cpu_seconds=0.3, wall_seconds=1.0, memory_bytes=64 << 20, file_bytes=1 << 20, output_bytes=10_000)
FORKS = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
FILLS = "try:\n    open('full', 'wb').write(b'x' * (8 << 20))\nexcept OSError:\n    print('full')"
DAEMON = "import os, time\nif not os.fork():\n    os.setsid()\n    time.sleep(100)\nprint('left')"


async def add(sandbox: Sandbox, number: int) -> str:
    run = await sandbox.run(Program("print(int(input()) + 1)"), stdin=str(number).encode())
    return "right" if (run.status, run.stdout) == (RunStatus.FINISHED, f"{number + 1}\n".encode()) else f"wrong: {run}"


async def call(sandbox: Sandbox, number: int) -> str:
    async with sandbox.open(Program("def add(a, b): return a + b")) as session:
        reply = await session.call("add", (number, 1))
    return "right" if reply == CallReply("value", value=number + 1) else f"wrong: {reply} {await session.finish()}"


async def fault(sandbox: Sandbox, kind: str) -> str:
    source, statuses = {
        "forks": (FORKS, {RunStatus.TIME_LIMIT, RunStatus.MEMORY_LIMIT}),
        "fills": (FILLS, {RunStatus.FINISHED}),
        "hangs": ("while True: pass", {RunStatus.TIME_LIMIT}),
        "grows": ("kept = b'x' * (1 << 28)", {RunStatus.MEMORY_LIMIT}),
        "daemon": (DAEMON, {RunStatus.FINISHED}),
    }[kind]
    run = await sandbox.run(Program(source), limits=SHORT)
    return "right" if run.status in statuses else f"wrong: {kind} {run}"


def kill_a_worker(sandbox: Sandbox, generator: random.Random) -> None:
    workers = [worker for slot in sandbox._slots._all for worker in slot._workers.values()]
    if workers:
        os.kill(generator.choice(workers)._zygote._process.pid, signal.SIGKILL)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_soak(capsys):
    verdicts: Counter[str] = Counter()
    quarters: list[float] = []

    async def scenario() -> None:
        numbers = iter(range(NUM_RUNS))
        async with Sandbox("bubblewrap") as sandbox:

            async def caller(seed: int) -> None:
                generator = random.Random(seed)
                for number in numbers:
                    if number % (NUM_RUNS // 4 or 1) == 0:
                        quarters.append(time.monotonic())
                    drawn = generator.random()
                    if drawn < 0.002:
                        kill_a_worker(sandbox, generator)
                    if drawn < 0.01:
                        verdicts[
                            await fault(sandbox, generator.choice(["forks", "fills", "hangs", "grows", "daemon"]))
                        ] += 1
                    elif drawn < 0.3:
                        verdicts[await call(sandbox, number)] += 1
                    else:
                        verdicts[await add(sandbox, number)] += 1

            for _ in range(20):
                await add(sandbox, 1)
            before["descriptors"] = len(os.listdir("/proc/self/fd"))
            before["memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            await asyncio.gather(*(caller(seed) for seed in range(2 * sandbox.num_workers)))
            after["descriptors"] = len(os.listdir("/proc/self/fd"))
            after["memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10

    before: dict[str, int] = {}
    after: dict[str, int] = {}
    start = time.monotonic()
    asyncio.run(scenario())
    deadline = time.monotonic() + 5
    while _descendants() and time.monotonic() < deadline:
        time.sleep(0.05)
    seconds = time.monotonic() - start
    figures = {
        "runs": NUM_RUNS,
        "seconds": round(seconds, 1),
        "seconds_of_quarters": [
            round(b - a, 1) for a, b in zip(quarters, [*quarters[1:], start + seconds], strict=True)
        ],
        "verdicts": dict(verdicts.most_common(10)),
        "before": before,
        "after": after,
        "processes_left": len(_descendants()),
    }
    with capsys.disabled():
        print(json.dumps(figures, indent=1))
    if path := os.environ.get("SANDBOX_SOAK_JSON"):
        Path(path).write_text(json.dumps(figures, indent=1))
    # A worker killed twice under one run is a failure of the sandbox, and says so; it is never a verdict.
    failures = sum(
        count for verdict, count in verdicts.items() if "SANDBOX_FAILURE" in verdict or "sandbox_failure" in verdict
    )
    assert verdicts["right"] + failures == NUM_RUNS, verdicts.most_common(5)
    assert failures <= NUM_RUNS // 1000 + 1
    assert figures["processes_left"] == 0
    assert after["descriptors"] - before["descriptors"] < 20
    assert after["memory_mib"] - before["memory_mib"] < 100
