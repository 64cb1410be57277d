"""Run folders: finding one from what a person typed, and the JSON files in them."""

from __future__ import annotations

import difflib
import fcntl
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.errors import RunFolderError
from assay.observe.store import STORE_NAME
from assay.observe.whole import written_whole

LATEST = "latest"
CONFIG = "config.json"
LOCK = "run.lock"
"""Name of the file that a process holds locked as long as it runs in the folder."""


def find_run(run: str | Path, runs: Path) -> Path:
    """The folder of a run.

    Args:
        run: a folder; the name of a run under `runs`; or "latest", the run there that was written to last.
        runs: the folder that run folders lie in.

    Raises:
        RunFolderError: there is no such run; the message has the nearest names.
    """
    names = _by_last_write(runs)
    if str(run) == LATEST and not Path(run).is_dir():
        if not names:
            raise RunFolderError(f"no run in {runs} yet; start one with: assay train RECIPE")
        return runs / names[-1]
    for folder in (Path(run).expanduser(), runs / str(run)):
        if is_run(folder):
            return folder
    near = difflib.get_close_matches(Path(run).name, names, n=3, cutoff=0.4)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif names:
        hint = f"the newest runs in {runs}: {', '.join(reversed(names[-3:]))}"
    else:
        hint = f"there is no run in {runs} yet"
    what = "is not a run folder (it has no run store)" if Path(run).is_dir() else "is no run"
    raise RunFolderError(f"{str(run)!r} {what}; {hint}")


def is_run(folder: Path) -> bool:
    """Return whether a folder is that of a run. One that was killed as it began has its settings and no store yet; it
    can be resumed all the same."""
    return (folder / STORE_NAME).is_file() or "settings" in read_json(folder / CONFIG)


def is_running(folder: Path) -> bool:
    """Return whether a process of this machine is running in a run folder: it holds the lock there."""
    try:
        with (folder / LOCK).open() as lock:
            # Shared, and given back at once: readers do not keep each other out.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def run_status(folder: Path, num_steps: int) -> str:
    """The state of a run in a few words; `num_steps` are those that its store holds."""
    if is_running(folder):
        return "running"
    summary = read_json(folder / "summary.json")
    if "status" not in summary:
        return "ended without a summary"
    if num_steps > summary.get("num_steps", num_steps):
        return f"{summary['status']}, then resumed, and ended without a summary"
    return str(summary["status"])


def _by_last_write(runs: Path) -> list[str]:
    written: dict[str, float] = {}
    # While a run writes, its newest steps are in the write-ahead log beside the store.
    for path in runs.glob(f"*/{STORE_NAME}*"):
        written[path.parent.name] = max(written.get(path.parent.name, 0.0), path.stat().st_mtime)
    return sorted((name for name in written if (runs / name / STORE_NAME).is_file()), key=lambda name: written[name])


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a run folder; empty where the file is missing, cut short, or no object."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def write_json(path: Path, data: Any) -> None:
    """Writes a JSON file whole or not at all. Numbers that JSON has not become null."""
    with written_whole(path) as file:
        json.dump(_without_nan(data), file, indent=2, ensure_ascii=False, allow_nan=False, default=str)
        file.write("\n")


def _without_nan(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: _without_nan(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_without_nan(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
