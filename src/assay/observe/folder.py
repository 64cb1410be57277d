"""Finding a run folder from what a person typed."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

from assay.errors import RunFolderError
from assay.observe.store import STORE_NAME

LATEST = "latest"


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
        if (folder / STORE_NAME).is_file():
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
