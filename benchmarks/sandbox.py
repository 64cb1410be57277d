"""Our sandbox beside three ways to run a program, in one run: runs a second, time of one, flatness, leaks.

    python benchmarks/sandbox.py [--runs 2000] [--peer-runs 200] [--workers N] [--json FILE]

The program reads a number and prints the next. Ours keeps interpreters warm and forks each run into namespaces of its
own. The peers: a plain `subprocess` of the interpreter, isolating nothing; `bwrap` afresh for each run; and `exec`
in this process behind a guard (output redirected, an alarm, `os.system` and the like removed), which isolates nothing
either. All but the last use as many callers as there are workers; the last cannot.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from assay.sandbox import Program, RunStatus, Sandbox
from assay.sandbox.bubblewrap import find_bubblewrap

SOURCE = "print(int(input()) + 1)"
SECONDS_ALLOWED = 8
QUARTER = 4


def measure(run: Callable[[], None], num_runs: int, num_callers: int) -> dict[str, float]:
    """Runs a second, and the time of each, with so many callers at once."""

    def timed(_: int) -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    with ThreadPoolExecutor(num_callers) as callers:
        list(callers.map(timed, range(2 * num_callers)))
        start = time.perf_counter()
        seconds = list(callers.map(timed, range(num_runs)))
        return summary(seconds, time.perf_counter() - start)


def summary(seconds: list[float], total: float) -> dict[str, float]:
    quarter = max(1, len(seconds) // QUARTER)
    return {
        "runs_per_second": len(seconds) / total,
        "median_ms": statistics.median(seconds) * 1e3,
        "p99_ms": sorted(seconds)[int(0.99 * (len(seconds) - 1))] * 1e3,
        "first_quarter_median_ms": statistics.median(seconds[:quarter]) * 1e3,
        "last_quarter_median_ms": statistics.median(seconds[-quarter:]) * 1e3,
    }


async def measure_ours(num_runs: int, num_workers: int, num_callers: int) -> dict[str, float]:
    """The sandbox, and what it holds before and after."""
    seconds: list[float] = []
    async with Sandbox("bubblewrap", num_workers=num_workers) as sandbox:

        async def caller(count: int) -> None:
            for _ in range(count):
                start = time.perf_counter()
                run = await sandbox.run(Program(SOURCE), stdin=b"41\n")
                seconds.append(time.perf_counter() - start)
                if run.status is not RunStatus.FINISHED or run.stdout != b"42\n":
                    raise SystemExit(f"the sandbox gave {run}")

        await asyncio.gather(*(caller(10) for _ in range(num_callers)))
        seconds.clear()
        before = held()
        start = time.perf_counter()
        await asyncio.gather(*(caller(num_runs // num_callers) for _ in range(num_callers)))
        measured = summary(seconds, time.perf_counter() - start)
        after = held()
    return measured | {f"more_{name}": after[name] - before[name] for name in before}


def held() -> dict[str, float]:
    """What this process and those below it hold."""
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "processes": sum(name.isdigit() for name in os.listdir("/proc")),
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def plain_subprocess() -> None:
    run_command([sys.executable, "-I", "-S", "-c", SOURCE])


def fresh_bubblewrap() -> Callable[[], None]:
    executable, python = find_bubblewrap(), os.path.realpath(sys.executable)
    options = ["--unshare-all", "--die-with-parent", "--new-session", "--tmpfs", "/tmp", "--proc", "/proc"]
    for path in (os.path.realpath(sys.base_prefix), "/usr/lib", "/lib", "/lib64", "/etc/ld.so.cache"):
        options += ["--ro-bind-try", path, path]
    return lambda: run_command([executable, *options, python, "-I", "-S", "-c", SOURCE])


def run_command(command: list[str]) -> None:
    done = subprocess.run(command, input=b"41\n", capture_output=True, timeout=SECONDS_ALLOWED)
    if done.stdout != b"42\n":
        raise SystemExit(f"{command[0]} gave {done}")


def guarded_exec() -> None:
    """What is widely used: the program runs in the grader's own interpreter."""
    kept = {name: getattr(os, name) for name in ("system", "fork", "kill", "remove", "rmdir")}
    out, stdin = io.StringIO(), sys.stdin
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, SECONDS_ALLOWED)
    try:
        for name in kept:
            setattr(os, name, None)
        sys.stdin = io.StringIO("41\n")
        with contextlib.redirect_stdout(out):
            exec(SOURCE, {"__name__": "__main__"})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdin = stdin
        for name, function in kept.items():
            setattr(os, name, function)
    assert out.getvalue() == "42\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--peer-runs", type=int, default=200)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    workers = options.workers
    rows: dict[str, dict[str, float]] = {}
    rows["assay sandbox"] = asyncio.run(measure_ours(options.runs, workers, workers))
    rows["assay sandbox, one caller"] = asyncio.run(measure_ours(max(100, options.runs // 4), 1, 1))
    rows["subprocess, no isolation"] = measure(plain_subprocess, options.peer_runs, workers)
    rows["bwrap afresh"] = measure(fresh_bubblewrap(), options.peer_runs, workers)
    rows["exec behind a guard, no isolation"] = measure_here(guarded_exec, options.runs)
    print(f"{workers} workers; {options.runs} runs of ours, {options.peer_runs} of the peers")
    print(f"{'':36}{'runs/s':>10}{'median':>12}{'p99':>12}{'first 1/4':>12}{'last 1/4':>12}")
    for name, row in rows.items():
        times = [f"{row[key]:9.2f} ms" for key in list(row)[1:5]]
        print(f"{name:36}{row['runs_per_second']:10.0f}" + "".join(times))
    leaks = {
        key.removeprefix("more_"): value for key, value in rows["assay sandbox"].items() if key.startswith("more_")
    }
    print("held more after than before:", ", ".join(f"{name} {value:.0f}" for name, value in leaks.items()))
    if options.json:
        options.json.write_text(json.dumps({"workers": workers, "rows": rows}, indent=1))


def measure_here(run: Callable[[], None], num_runs: int) -> dict[str, float]:
    """In the main thread, which an alarm needs."""
    seconds = []
    start = time.perf_counter()
    for _ in range(num_runs):
        begun = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begun)
    return summary(seconds, time.perf_counter() - start)


if __name__ == "__main__":
    main()
