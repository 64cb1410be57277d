"""Environments of Assay for other packages: a folder with tasks, and a file that the other package runs.

    OUTPUT/tasks.jsonl          the tasks, a line each
    OUTPUT/environment.json     the environment: its name and its options
    OUTPUT/assay_player.py      talks to a process of Assay's own interpreter, which plays and scores
    OUTPUT/task.py              for inspect-ai, or
    OUTPUT/taskset.py           for verifiers

The other package asks its own model for each turn; what the episode shows next, its tools, its limits and its score
come from Assay's runner (assay/rollout/exported.py), in its own interpreter. The other interpreter needs nothing of
Assay.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Literal

from assay.environments.driven import DrivenEpisode
from assay.environments.environment import Environment
from assay.errors import ConfigError
from assay.types import Split

_FILES = {"inspect": ("inspect_task.py", "task.py"), "verifiers": ("verifiers_taskset.py", "taskset.py")}


def export_environment(
    environment: Environment,
    target: Literal["inspect", "verifiers"],
    output: Path,
    *,
    split: Split = "test",
    num_tasks: int = 200,
    seed: int = 0,
) -> int:
    """Write an environment as a task of inspect-ai or a taskset of verifiers; return the number of its tasks.

    Raises:
        ConfigError: the folder is there already, or the episodes ask the model themselves.
        DataError: the environment has no such tasks.
    """
    if target not in _FILES:
        raise ConfigError(f"there is no export for {target!r}; there are {', '.join(_FILES)}")
    if output.exists() and any(output.iterdir()):
        raise ConfigError(f"{output} is there already and not empty: choose another folder")
    tasks = list(itertools.islice(environment.tasks(split, seed=seed), num_tasks))
    if isinstance(environment.episode(tasks[0]), DrivenEpisode):
        raise ConfigError(
            f"an episode of {environment.name} asks the model itself, and an export is asked by {target}: run its own "
            "program against a model there"
        )
    output.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(task.to_dict(), ensure_ascii=False) for task in tasks)
    (output / "tasks.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="replace")
    described = {
        "environment": environment.plain(),
        "max_turns": environment.max_turns,
        "command": [os.path.abspath(sys.executable), "-m", "assay.rollout.exported"],
    }
    (output / "environment.json").write_text(json.dumps(described, indent=1), encoding="utf-8")
    here = Path(__file__).parent
    source, name = _FILES[target]
    shutil.copyfile(here / source, output / name)
    shutil.copyfile(here / "assay_player.py", output / "assay_player.py")
    return len(tasks)
