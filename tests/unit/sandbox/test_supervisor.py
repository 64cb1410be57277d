"""What is seen of a tree of processes from /proc."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from assay.sandbox.supervisor import Supervisor, shared_bytes_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

FORK = """
import os, time
x = bytearray(b"x" * (64 << 20))
print(1, flush=True)
if not os.fork(): time.sleep(60)
input()
"""
BURN = """
import os, signal, sys, time
if sys.argv[1] == "ignored":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(3):
    child = os.fork()
    if not child:
        while time.process_time() < 0.2: pass
        os._exit(0)
    try:
        os.waitpid(child, 0)
    except ChildProcessError:
        pass
"""


@pytest.mark.parametrize("children", ["ignored", "waited"])
def test_time_of_children_that_vanished_is_counted_once(children):
    with subprocess.Popen([sys.executable, "-S", "-c", BURN, children]) as process:
        supervisor = Supervisor(process.pid)
        while process.poll() is None:
            supervisor.look()
            time.sleep(0.01)
    # Three children of 0.2 s, each seen to within a look; the last one only to its last look.
    assert 0.45 < supervisor.cpu_seconds < 0.85


def test_forks_are_not_charged_for_what_they_share():
    with subprocess.Popen([sys.executable, "-S", "-c", FORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.1)
        shared = shared_bytes_of(process.pid)
        assert shared > 64 << 20
        plain, aware = Supervisor(process.pid), Supervisor(process.pid, shared)
        plain.look()
        aware.look()
        assert plain.num_processes == aware.num_processes == 1
        assert plain.memory_bytes > 64 << 20
        assert aware.memory_bytes < 4 << 20
        subprocess.run(["pkill", "-KILL", "-P", str(process.pid)], check=True)
        process.kill()
