"""Runs a sweep: each run a process of its own, what has finished is skipped, what failed does not stop the rest.

sweep.lock                        held while the sweep, or a run that it started, is alive
runs/CELL/seed-S/                 run folders: checkpoints and all, and output.txt: what the run printed
results/CELL/seed-S/run.json      how the run stands: "running", "finished" or "failed"; its settings; seconds
results/CELL/seed-S/...           its raw results, copied as it ends
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assay.errors import RunFolderError
from assay.evaluation.sweep.spec import Sweep, SweepRun, SweepSettings
from assay.observe.console import duration
from assay.observe.folder import write_json

TRAIN = (sys.executable, "-m", "assay.cli.main", "train")
STATE = "run.json"
_MAX_TAIL = 2000
"""Characters of a failed run's output that its state keeps."""
_MAX_STEP = 100
"""Characters of a step's line that are said."""
_FOLLOW_SECONDS = 2.0


def run_sweep(
    sweep: Sweep,
    output: Path,
    runs: Sequence[SweepRun] | None = None,
    *,
    command: Sequence[str] = TRAIN,
    num_jobs: int = 1,
    say: Callable[[str], None] = print,
) -> bool:
    """Runs what has not finished yet.

    A run that was interrupted, or failed, is resumed where its run folder has a checkpoint, else started again. Run
    folders inside `output` are this function's own: one without a checkpoint is removed.

    Args:
        runs: those of the sweep to run; None for all.
        command: starts one run; called with RECIPE --set key=value ... --run-folder FOLDER, or with --resume FOLDER.
        num_jobs: runs under way at once.
        say: takes each line of progress.

    Returns:
        Whether each of them has finished.

    Raises:
        RunFolderError: another sweep, or a run that one left behind, writes to `output`; or a finished run there had
            other settings.
    """
    runs = list(sweep.runs()) if runs is None else list(runs)
    output.mkdir(parents=True, exist_ok=True)
    with _lock(output) as lock:
        waiting = [run for run in runs if not _is_finished(run, output)]
        if len(waiting) < len(runs):
            say(f"{len(runs) - len(waiting)} of {len(runs)} runs had finished before")
        stopping = threading.Event()
        pace = _Pace(len(waiting), num_jobs)

        def execute(run: SweepRun) -> bool:
            if stopping.is_set():
                return False
            began = time.monotonic()
            finished, resumed = _execute(run, sweep.settings, output, command, lock, say)
            say(pace.ended(None if resumed or not finished else time.monotonic() - began))
            return finished

        with ThreadPoolExecutor(num_jobs) as pool:
            try:
                return all(list(pool.map(execute, waiting)))
            except KeyboardInterrupt:
                # A terminal's Ctrl-C reaches the runs too; the pool waits while they write their checkpoints.
                stopping.set()
                say("stopping; the same command continues this sweep")
                raise


class _Pace:
    """How far a sweep is, and the time that is left at the mean of the runs that this call ran from start to end: one
    that was resumed, or failed, says nothing of the others."""

    def __init__(self, total: int, num_jobs: int) -> None:
        self._total, self._num_jobs, self._began = total, num_jobs, time.monotonic()
        self._num_ended, self._whole = 0, list[float]()
        self._lock = threading.Lock()

    def ended(self, seconds: float | None) -> str:
        """Count a run, with the seconds it took if it was whole, and return the line of progress."""
        with self._lock:
            self._num_ended += 1
            if seconds is not None:
                self._whole.append(seconds)
            remaining, left = self._total - self._num_ended, ""
            if remaining and self._whole:
                seconds_left = sum(self._whole) / len(self._whole) * remaining / min(self._num_jobs, remaining)
                left = f", about {duration(seconds_left)} left"
            passed = duration(time.monotonic() - self._began)
            return f"{self._num_ended} of {self._total} runs ended after {passed}{left}"


def read_state(run: SweepRun, output: Path) -> dict[str, Any]:
    """Return the content of a run's run.json; empty where there is none."""
    path = output / "results" / run.path / STATE
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise RunFolderError(f"{path} cannot be read ({error}); remove it to run {run.label} again") from None


def _is_finished(run: SweepRun, output: Path) -> bool:
    state = read_state(run, output)
    if state.get("state") != "finished":
        return False
    if state["fingerprint"] != run.fingerprint():
        raise RunFolderError(
            f"{run.label} has finished in {output} with another recipe or other settings "
            f"({' '.join(state['overrides'])}); choose another --output, or remove {output / 'results' / run.path}"
        )
    return True


def _execute(
    run: SweepRun, settings: SweepSettings, output: Path, command: Sequence[str], lock: int, say: Callable[[str], None]
) -> tuple[bool, bool]:
    """Return whether a run has finished, and whether it was resumed."""
    folder, results = output / "runs" / run.path, output / "results" / run.path
    before = read_state(run, output)
    fingerprint = run.fingerprint()
    resume = before.get("fingerprint") == fingerprint and any(folder.glob("checkpoints/step-*"))
    if not resume and folder.exists():
        shutil.rmtree(folder)
    log = folder.with_name(f"{folder.name}.output.txt")
    log.parent.mkdir(parents=True, exist_ok=True)
    results.mkdir(parents=True, exist_ok=True)
    if resume:
        arguments = [*command, "--resume", str(folder)]
    else:
        overrides = [part for override in run.overrides for part in ("--set", override)]
        arguments = [*command, str(run.cell.recipe), *overrides, "--run-folder", str(folder)]
    state = {
        "state": "running",
        "cell": run.cell.name,
        "seed": run.seed,
        "recipe": str(run.cell.recipe),
        "overrides": list(run.overrides),
        "fingerprint": fingerprint,
        "command": shlex.join(arguments),
        "attempts": before.get("attempts", 0) + 1 if before.get("fingerprint") == fingerprint else 1,
    }
    write_json(results / STATE, state)
    say(f"{run.label}: {'resumes' if resume else 'starts'}")
    start = time.monotonic()
    with log.open("ab" if resume else "wb") as file:
        # The run inherits the lock: where this process is killed, no second sweep starts while the run lives on.
        process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, pass_fds=(lock,)
        )
        code = _follow(process, log, file.tell(), lambda line: say(f"{run.label}: {line}"))
    state |= {"state": "failed" if code else "finished", "exit_code": code, "attempt_seconds": time.monotonic() - start}
    _copy_results(folder, results, settings.keep)
    if code:
        state["output_tail"] = log.read_text(encoding="utf-8", errors="replace")[-_MAX_TAIL:]
        say(f"{run.label}: failed with exit code {code}; its output is in {log}")
    else:
        if not settings.keep_optimizer:
            for path in folder.glob("checkpoints/step-*/optimizer.safetensors"):
                path.unlink()
        say(f"{run.label}: finished in {state['attempt_seconds']:.0f} s")
    write_json(results / STATE, state)
    return code == 0, resume


def _follow(process: subprocess.Popen[bytes], log: Path, start: int, say: Callable[[str], None]) -> int:
    """Say the newest step that a run has told of, until it ends, and return its exit code."""
    with log.open("rb") as file:
        file.seek(start)
        rest = b""
        while True:
            try:
                code = process.wait(_FOLLOW_SECONDS)
            except subprocess.TimeoutExpired:
                code = None
            *lines, rest = (rest + file.read()).split(b"\n")
            steps = [line for line in lines if line.startswith(b"step ")]
            if steps:
                say(steps[-1].decode(errors="replace")[:_MAX_STEP])
            if code is not None:
                return code


def _copy_results(folder: Path, results: Path, keep: Sequence[str]) -> None:
    for pattern in keep:
        for path in folder.glob(pattern):
            if path.is_file():
                target = results / path.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)


@contextmanager
def _lock(output: Path) -> Iterator[int]:
    descriptor = os.open(output / "sweep.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    except BlockingIOError:
        raise RunFolderError(
            f"another sweep, or a run that one left behind, writes to {output}; wait for it, or choose another --output"
        ) from None
    finally:
        os.close(descriptor)
