"""The worker's side of `pool`: reads calls line by line, answers each in a line.

It holds itself to limits of memory and of what it writes to files, stands in a folder that is no more, so that a name
without a folder makes no file, and dies with its parent. What it prints is kept apart from its answers, which have a
descriptor of their own.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import signal
import sys
import tempfile

MAX_MEMORY_BYTES = 2 << 30
_PR_SET_PDEATHSIG = 1


def main(function: str, parent: int) -> None:
    """Serves calls of "module:name" until the input ends."""
    _die_with(parent)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    module_name, _, name = function.partition(":")
    module = importlib.import_module(module_name)
    call = getattr(module, name)
    getattr(module, "warm_up", lambda: None)()
    _leave_the_folder()
    _limit()
    with open(os.devnull, "w") as nowhere:
        # Nobody reads what is printed from here on: a full pipe would stop the worker.
        os.dup2(nowhere.fileno(), sys.stderr.fileno())
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        try:
            reply = json.dumps({"result": call(**json.loads(line))})
        except (MemoryError, RecursionError):
            # The input's doing. The next call gets a fresh process.
            os._exit(1)
        except Exception as error:
            reply = json.dumps({"error": f"{type(error).__name__}: {error}"[:500]})
        print(reply, file=answers, flush=True)


def _die_with(parent: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _leave_the_folder() -> None:
    """A limit on the size of files still lets empty ones be made; in a folder that was removed nothing can be."""
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    os.rmdir(folder)


def _limit() -> None:
    """No memory beyond a bound, no core dump, nothing written to a file."""
    for limit, most in (
        (resource.RLIMIT_AS, MAX_MEMORY_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        _, hard = resource.getrlimit(limit)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, (most, most if hard == resource.RLIM_INFINITY else min(most, hard)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
