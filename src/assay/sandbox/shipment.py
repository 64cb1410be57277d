"""The source that is executed inside a space, and the job as it crosses.

No file of this package is mounted there: the text of the few modules needed goes in through a descriptor.
"""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path

from assay.sandbox import values
from assay.sandbox.limits import Limits
from assay.sandbox.space import Job

BOOTSTRAP = (
    "import os,sys,types\n"
    "def read(n,d=b''):\n"
    " while len(d)<n:\n"
    "  p=os.read({descriptor},n-len(d))\n"
    "  if not p: os._exit(1)\n"
    "  d+=p\n"
    " return d\n"
    "exec(compile(read(int.from_bytes(read(4),'little')),'<assay>','exec'),dict(__name__='assay'))\n"
)
"""Reads a framed text from a descriptor, and executes it. Short enough for a command line."""

START_FOLDER = "/start"
START = f"""import os, sys
sys.path.remove({START_FOLDER!r})
sys.path_importer_cache.pop({START_FOLDER!r}, None)
sys.modules["site"].ENABLE_USER_SITE = False
del os.environ["PYTHONPATH"]
descriptor = int(os.environ.pop("ASSAY_CONTROL"))
def read(n, d=b""):
    while len(d) < n:
        p = os.read(descriptor, n - len(d))
        if not p: os._exit(1)
        d += p
    return d
try:
    exec(compile(read(int.from_bytes(read(4), "little")), "<assay>", "exec"), dict(__name__="assay"))
except BaseException as error:
    sys.stderr.write(f"{{type(error).__name__}}: {{error}}")
    sys.stderr.flush()
    os._exit(1)
raise ImportError("as if it were not there", name="sitecustomize")
"""
"""The text that a warm interpreter has for its `sitecustomize`: it serves runs from there, on its way to `main.py`.
Only the process of a program ever leaves it, and is an interpreter that was started with `main.py` from then on."""

_LOADER = """
import sys, types
for name in ("assay", "assay.sandbox"):
    sys.modules[name] = types.ModuleType(name)
for name, text in {modules!r}:
    module = types.ModuleType("assay.sandbox." + name)
    sys.modules[module.__name__] = module
    setattr(sys.modules["assay.sandbox"], name, module)
    exec(compile(text, "<assay." + name + ">", "exec"), module.__dict__)
for name in [name for name in sys.modules if name.partition(".")[0] == "assay"]:
    del sys.modules[name]
module.main({arguments!r})
"""


@cache
def _text(name: str) -> str:
    return (Path(__file__).parent / f"{name}.py").read_text()


def bundle(*names: str, arguments: dict[str, object]) -> bytes:
    """A framed text for BOOTSTRAP: loads these modules of this package in order and calls `main` of the last.

    Args:
        arguments: plain values; `main` takes them as one dict.
    """
    text = _LOADER.format(modules=[(name, _text(name)) for name in names], arguments=arguments)
    return frame(text.encode())


def frame(payload: bytes) -> bytes:
    """The payload with its length before it."""
    return struct.pack("<I", len(payload)) + payload


def job_frame(job: Job, limits: Limits, *, address_bytes: int, tasks: int) -> bytes:
    """The job as `job_runner` reads it.

    Args:
        address_bytes: RLIMIT_AS of each process; 0 for none.
        tasks: RLIMIT_NPROC of the user; 0 for none.
    """
    told = {
        "mode": job.mode,
        "source": job.source,
        "files": {name: bytes(content) for name, content in job.files.items()},
        "command": list(job.command),
        "input_is_whole": job.stdin is not None,
        "cpu_seconds": float(limits.cpu_seconds),
        "file_bytes": int(limits.file_bytes),
        "output_bytes": int(limits.output_bytes),
        "address_bytes": int(address_bytes),
        "tasks": int(tasks),
    }
    return frame(values.encode(told, max_bytes=1 << 30))
