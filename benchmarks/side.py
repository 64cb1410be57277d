"""A process that is measured: a job for each line it is sent, a line of JSON back; stopped while others are timed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

START_SECONDS = 900
PREFIX = "measured "
"""Begins a line of a side's answer; libraries print what they like."""


class SideError(Exception):
    """A side ended, or said that it failed."""


class Side:
    """One side of a comparison.

    Args:
        command: the process; it prints one answer when it is ready.
        log: takes what it writes to standard error.
    """

    def __init__(self, name: str, command: list[str], log: Path, environment: dict[str, str] | None = None) -> None:
        self.name = name
        self._log_path = log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log.open("w")
        began = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", **(environment or {})},
            # A group of its own, so that all its processes are stopped together.
            start_new_session=True,
        )
        self._answer()
        self.start_seconds = time.perf_counter() - began
        """From the start of the process until it was ready for its first job."""
        self._signal(signal.SIGSTOP)

    def measure(self, job: dict[str, Any]) -> dict[str, float]:
        """Does one job while every other side stands still: {"seconds", "tokens", ...}.

        Raises:
            SideError: it failed.
        """
        assert self._process.stdin is not None
        self._signal(signal.SIGCONT)
        try:
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
            return self._answer()
        except BrokenPipeError:
            raise SideError(f"{self.name} ended; see {self._log_path}") from None
        finally:
            self._signal(signal.SIGSTOP)

    def peak_gigabytes(self) -> float:
        """Largest resident memory so far of the process and its children, as the kernel counts it."""
        return sum(_peak(pid) for pid in (self._process.pid, *_descendants(self._process.pid))) / 1e6

    def close(self) -> None:
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._log.close()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(PREFIX):
                answer = json.loads(line.removeprefix(PREFIX))
                if "error" in answer:
                    raise SideError(f"{self.name}: {answer['error']}")
                return answer
        raise SideError(f"{self.name} ended; see {self._log_path}")

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, waiting = [], [pid]
    while waiting:
        more = children.get(waiting.pop(), [])
        found += more
        waiting += more
    return found


def _peak(pid: int) -> int:
    """Kilobytes."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def scripted_answer(seed: int, rollout: int, turn: int, num_tokens: int) -> list[int]:
    """What the world of every side says: words of the vocabulary, none of them special."""
    rng = random.Random(f"{seed} {rollout} {turn}")
    return [rng.randrange(1000, 40_000) for _ in range(num_tokens)]


def last_number_is_right(response: str, answer: str) -> float:
    """The reward of every side, and what held-out answers are read by: 1 where the last whole number is the answer."""
    return float(re.findall(r"-?\d+", response)[-1:] == [answer])


def serve(jobs: dict[str, Any], ready: dict[str, float]) -> None:
    """The other end: does jobs by name until standard input ends. Used by the scripts side_*.py."""
    answers, sys.stdout = sys.stdout, sys.stderr

    def say(answer: dict[str, Any]) -> None:
        print(PREFIX + json.dumps(answer), file=answers, flush=True)

    say(ready)
    for line in sys.stdin:
        job = json.loads(line)
        try:
            say(jobs[job.pop("job")](**job))
        except Exception as error:
            say({"error": f"{type(error).__name__}: {error}"[:500]})
