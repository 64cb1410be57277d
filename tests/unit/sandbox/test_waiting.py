"""Time that a program waits for a processor is not its own, and time that it sleeps is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from assay.sandbox.waiting import Waiting

pytestmark = pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="the kernel does not count it")

CROWD = """
import json, os, subprocess, sys, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
others = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(4)]
try:
    exec(sys.argv[1])
finally:
    for other in others:
        other.kill()
"""
"""Runs its argument on one core that four others keep busy."""
PROGRAMS = """
import asyncio
from assay.sandbox import Limits, Program, Sandbox
BURN = "import time\\nwhile time.process_time() < 0.5: pass\\nprint('done')"
SLEEP = "import time\\ntime.sleep(30)"
SERVE = "import time\\ndef burn():\\n    end = time.process_time() + 0.4\\n    while time.process_time() < end: pass"

async def main():
    limits = Limits(cpu_seconds=8, wall_seconds=1.5)
    with Sandbox(sys.argv[2], num_workers=1) as sandbox:
        busy = await sandbox.run(Program(BURN), limits=limits)
        idle = await sandbox.run(Program(SLEEP), limits=limits)
        async with sandbox.open(Program(SERVE), limits=limits) as session:
            reply = await session.call("burn", seconds=1.2)
    print(json.dumps([busy.reason, busy.wall_seconds, idle.reason, reply.kind]))

asyncio.run(main())
"""
POOL = """
from assay.errors import VerifierError
from assay.verifiers.pool import LimitExceededError, WorkerPool
open("burns.py", "w").write('''
import time
def work(seconds, sleeps):
    end = time.process_time() + seconds
    while time.process_time() < end: time.sleep(0.01) if sleeps else None
    return "done"
''')
sys.path.insert(0, os.getcwd())
os.environ["PYTHONPATH"] = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
pool = WorkerPool("burns:work", num_workers=1, limit_seconds=1.2)
said = [pool.call({"seconds": 0.4, "sleeps": False})]
try:
    pool.call({"seconds": 0.4, "sleeps": True})
except LimitExceededError:
    said.append("limit")
pool.close()
print(json.dumps(said))
"""


def crowded(code: str, folder: Path, *arguments: str) -> object:
    run = subprocess.run(
        [sys.executable, "-c", CROWD, code, *arguments], cwd=folder, capture_output=True, timeout=200, check=True
    )
    return json.loads(run.stdout)


@pytest.mark.parametrize("backend", ["bubblewrap", "unsafe"])
def test_a_busy_machine_takes_nothing_from_a_program_and_gives_nothing_to_one_that_sleeps(
    tmp_path: Path, backend: str
) -> None:
    busy, seconds, idle, reply = crowded(PROGRAMS, tmp_path, backend)
    assert idle == "passed 1.5 s on the clock"
    if "however busy" in busy:
        pytest.skip("ten times the limit are too little here: less than a thirtieth of a core was free")
    assert (busy, reply) == ("", "value")
    assert seconds < 1.5


def test_a_busy_machine_takes_nothing_from_a_verifiers_worker(tmp_path: Path) -> None:
    assert crowded(POOL, tmp_path) == ["done", "limit"]


def test_what_is_counted_is_the_time_without_a_processor(tmp_path: Path) -> None:
    code = """
from assay.sandbox.waiting import Waiting
command, pipe = [sys.executable, "-S", "-c"], subprocess.PIPE
busy = subprocess.Popen([*command, "while True: pass"])
others.append(busy)
idle = subprocess.Popen([*command, "print(flush=True); input()"], stdin=pipe, stdout=pipe)
others.append(idle)
idle.stdout.readline()
looks = [Waiting(busy.pid), Waiting(idle.pid, is_new=False)]
begin = time.monotonic()
while time.monotonic() < begin + 2.5:
    time.sleep(0.1)
    waited = [look.look() for look in looks]
print(json.dumps([waited[0] / (time.monotonic() - begin), waited[1], idle.poll()]))
"""
    share, idle, ended = crowded(code, tmp_path)
    assert 0.5 < share <= 1.05, "five on one core: four fifths, were they all alike"
    assert idle < 0.5
    assert ended is None


def test_a_process_that_is_gone_waits_for_nothing() -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        process.wait()
    assert Waiting(process.pid).look() == 0.0
