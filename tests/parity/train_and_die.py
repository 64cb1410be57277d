"""Trains as `assay train` does, a process for each request, which kills itself, with SIGKILL, at a stated moment.

Importing torch and transformers takes several times as long as training a tiny model, so one process imports them and
nothing else, and forks each run. A request is a line of JSON on standard input:

    {"moment": MOMENT, "count": COUNT, "arguments": [TRAIN_ARGUMENTS...], "output": FILE}

MOMENT is where: "sampling" (a forward pass of the engine), "update" (before the optimizer's step), "record" (a commit
of the store), "sync" (a file of a checkpoint, before it is synced), "rename" (before a checkpoint is moved into place);
COUNT is which time there. "never" does not kill. What the run prints goes to FILE. The answer is a line with its exit
code, negative for a signal.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

IMPORTED_ONCE = (
    "assay.public",
    "torch.utils.tensorboard",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.configuration_llama",
)


def die_at(owner: Any, name: str, count: int) -> None:
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(owner, name, wrapped)


def train(moment: str, count: int, arguments: list[str], output: str) -> None:
    """Runs in the forked process, to its end."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    from assay.cli.main import main as assay
    from assay.engines import LocalEngine
    from assay.observe.store import RunStore
    from assay.run import ending
    from assay.training import Trainer, checkpoint

    places: dict[str, tuple[Any, str]] = {
        "sampling": (LocalEngine, "_step"),
        "update": (Trainer, "_step_optimizer"),
        "record": (RunStore, "commit"),
        "sync": (checkpoint, "_sync"),
        "rename": (checkpoint, "_move_into_place"),
    }
    if moment != "never":
        die_at(*places[moment], count)
    # Pictures take a third of a tiny run, and nothing is trained from them.
    ending.write_report = lambda folder: None
    sys.argv = ["assay", "train", *arguments]
    assay()


def main() -> None:
    for module in IMPORTED_ONCE:
        importlib.import_module(module)
    while request := sys.stdin.readline():
        process = os.fork()
        if process == 0:
            train(**json.loads(request))
            return
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
