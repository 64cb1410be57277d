"""Runs the attacks on this machine, and says what held and what the host enforces."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from assay.errors import ConfigError
from assay.sandbox.attack import DENIED, Attack
from assay.sandbox.attacks import ATTACKS, HIDDEN_CALLS
from assay.sandbox.bubblewrap import BubblewrapBackend
from assay.sandbox.program import Program
from assay.sandbox.run import ProgramRun
from assay.sandbox.sandbox import Sandbox

SETTLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class AttackResult:
    """The result of one attack."""

    attack: Attack
    ended: str
    """The end of its run: a `RunStatus`, "accepted" or "rejected"."""
    problems: tuple[str, ...]
    """The reasons why the sandbox did not hold; empty where it did."""
    seconds: float

    @property
    def held(self) -> bool:
        return not self.problems


def attacks_here() -> list[Attack]:
    """Those that mean something on this machine."""
    compiles = shutil.which("g++") is not None
    return [
        attack
        for attack in ATTACKS
        if (not attack.machines or platform.machine() in attack.machines) and (compiles or attack.language != "cpp")
    ]


async def run_attack(sandbox: Sandbox, attack: Attack) -> AttackResult:
    """Runs one attack and judges it from outside. The sandbox should do nothing else meanwhile, and have one worker."""
    before = _traces()
    start = time.perf_counter()
    problems = []
    if attack.is_called:
        ended = await _judged_calls(sandbox, attack)
    else:
        run = await sandbox.run(Program(attack.source, attack.language), stdin=attack.stdin, limits=attack.limits)
        ended = run.status.value
        problems += _wrong_output(attack, run)
    seconds = time.perf_counter() - start
    if attack.sequel:
        run = await sandbox.run(Program(attack.sequel))
        if run.stdout != DENIED:
            problems.append(f"the next run saw it: {run.stdout[:100]!r} {run.stderr[-200:]!r}")
    if ended not in attack.expected:
        problems.append(f"ended as {ended}, not as {' or '.join(attack.expected)}")
    if seconds > attack.max_seconds:
        problems.append(f"took {seconds:.1f} s")
    problems += await _left_behind(before)
    return AttackResult(attack, ended, tuple(problems), seconds)


async def selftest(sandbox: Sandbox, attacks: Iterable[Attack]) -> AsyncIterator[AttackResult]:
    """Runs the attacks one after another; yields each outcome.

    Raises:
        ConfigError: the sandbox isolates nothing: the attacks would harm this machine.
    """
    if sandbox.backend == "unsafe":
        raise ConfigError("the attacks are not run with backend='unsafe': nothing would keep them from this machine")
    await warm_up(sandbox)
    for attack in attacks:
        yield await run_attack(sandbox, attack)


async def warm_up(sandbox: Sandbox) -> None:
    """Starts the workers, so that what they hold is not taken for what an attack left."""
    await sandbox.run(Program("pass"))
    await sandbox.run(Program("", "command", ("true",)))


def enforcement(sandbox: Sandbox) -> Iterator[tuple[str, str]]:
    """Return the means that hold programs on this host: a name and a description each."""
    backend = sandbox._backend
    yield "backend", sandbox.backend
    if not isinstance(backend, BubblewrapBackend):
        return
    hierarchy = backend.hierarchy
    yield "bubblewrap", backend.executable
    yield "interpreter", backend.interpreter.executable
    yield "namespaces", "user, mount, process, network, IPC, host name, cgroup"
    yield "seccomp", f"a filter for {platform.machine()}"
    names = {"memory": "memory", "pids": "processes", "cpuacct": "CPU time"}
    by_group = [name for controller, name in names.items() if controller in hierarchy.folders]
    by_look = [name for controller, name in names.items() if controller not in hierarchy.folders]
    if by_group:
        yield "by control groups", f"{', '.join(by_group)} (version {hierarchy.version})"
    if by_look:
        yield (
            "by looking",
            f"{', '.join(by_look)}: summed over the tree 20 times a second, beside limits of each process",
        )
    yield (
        "user",
        "an unused number for each worker" if os.geteuid() == 0 else f"your own ({os.geteuid()}), without privilege",
    )


async def _judged_calls(sandbox: Sandbox, attack: Attack) -> str:
    async with sandbox.open(Program(attack.source), limits=attack.limits) as session:
        for arguments, expected in HIDDEN_CALLS:
            reply = await session.call("add", arguments)
            if reply.kind != "value" or type(reply.value) is not type(expected) or reply.value != expected:
                return "rejected"
    return "accepted"


def _wrong_output(attack: Attack, run: ProgramRun) -> list[str]:
    if run.status == "finished" and attack.stdout is not None and run.stdout != attack.stdout:
        return [f"printed {run.stdout[:100]!r} {run.stderr[-200:]!r}"]
    if len(run.stdout) + len(run.stderr) > attack.limits.output_bytes and attack.language != "cpp":
        return [f"{len(run.stdout) + len(run.stderr)} bytes came out"]
    return []


async def _left_behind(before: dict[str, set[str]]) -> list[str]:
    """Return what there is now that was not there before, once the kernel has had time to clear up."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        left = {kind: found - before[kind] for kind, found in _traces().items()}
        if not any(left.values()) or time.monotonic() > deadline:
            return [f"left behind: {kind} {sorted(found)[:5]}" for kind, found in left.items() if found]
        await asyncio.sleep(0.01)


def _traces() -> dict[str, set[str]]:
    """Processes below this one, mounts, descriptors, and files where a program could have left some."""
    return {
        "processes": set(_descendants()),
        "mounts": set(Path("/proc/self/mountinfo").read_text().splitlines()),
        "descriptors": set(os.listdir("/proc/self/fd")),
        "files": {str(path) for folder in {"/tmp", tempfile.gettempdir(), "/dev/shm", "."} for path in _listed(folder)},
    }


def _listed(folder: str) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if "assay" in name or "left" in name]
    except OSError:
        return []


def _descendants() -> list[str]:
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            parents[name] = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
    below, found = {str(os.getpid())}, []
    while below:
        below = {name for name, parent in parents.items() if parent in below}
        found += below
    return found
