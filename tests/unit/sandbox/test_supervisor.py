"""What is seen of a tree of processes from /proc."""

from __future__ import annotations

import subprocess
import sys

import pytest

from assay.sandbox.supervisor import Supervisor, shared_bytes_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

FORK = """
import os, time
x = bytearray(b"x" * (64 << 20))
if not os.fork():
    print(1, flush=True)
    time.sleep(600)
input()
"""
BURN = """
import os, signal, sys, time
if sys.argv[1] == "ignored":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
def be_looked_at():
    os.write(1, b"\\n")
    os.read(0, 1)
for _ in range(3):
    child = os.fork()
    if not child:
        while time.process_time() < 0.2: pass
        be_looked_at()
        os._exit(0)
    try:
        os.waitpid(child, 0)
    except ChildProcessError:
        pass
    be_looked_at()
"""


@pytest.mark.parametrize("children", ["ignored", "waited"])
def test_time_of_children_that_vanished_is_counted_once(children):
    command, pipe = [sys.executable, "-S", "-c", BURN, children], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, bufsize=0) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        supervisor = Supervisor(process.pid)
        for _ in range(6):  # each child when it has burned, and when it is gone
            process.stdout.read(1)
            supervisor.look()
            process.stdin.write(b".")
    assert 0.55 < supervisor.cpu_seconds < 0.85, "three children of 0.2 s"


def test_forks_are_not_charged_for_what_they_share():
    with subprocess.Popen([sys.executable, "-S", "-c", FORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
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
