"""Trains as `assay train` does and kills itself, with SIGKILL, at a stated moment.

    python train_and_die.py MOMENT COUNT TRAIN_ARGUMENTS...

MOMENT is where: "sampling" (a forward pass of the engine), "update" (before the optimizer's step), "record" (a commit
of the store), "sync" (a file of a checkpoint, before it is synced), "rename" (before a checkpoint is moved into place);
COUNT is which time there. "never" does not kill.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any


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


def main() -> None:
    moment, count, *arguments = sys.argv[1:]
    from assay.cli.main import main as assay
    from assay.engines import LocalEngine
    from assay.observe.store import RunStore
    from assay.training import Trainer, checkpoint

    places: dict[str, tuple[Any, str]] = {
        "sampling": (LocalEngine, "_step"),
        "update": (Trainer, "_step_optimizer"),
        "record": (RunStore, "commit"),
        "sync": (checkpoint, "_sync"),
        "rename": (checkpoint, "_move_into_place"),
    }
    if moment != "never":
        die_at(*places[moment], int(count))
    sys.argv = ["assay", "train", *arguments]
    assay()


if __name__ == "__main__":
    main()
