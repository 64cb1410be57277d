"""Provenance of a run's numbers: versions, the work tree's git state, the machine. Never fails, never slow."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

_DISTRIBUTIONS = ("assay", "torch", "transformers", "numpy", "safetensors")
_GIT_SECONDS = 5.0


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on, by name; those not installed are left
    out."""
    found = {"python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_state(folder: Path | None = None) -> dict[str, Any] | None:
    """{"commit", "branch", "dirty"} of the work tree that holds the folder; None where there is no work tree or no git.

    Without a folder: of Assay's own work tree; None where it was installed as a package.
    """
    if folder is None:
        source = Path(__file__).resolve()
        folder = source.parent
        # A virtual environment inside somebody else's work tree is not Assay's.
        if _git(folder, "ls-files", "--error-unmatch", source.name) is None:
            return None
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {
        "commit": commit,
        "branch": _git(folder, "rev-parse", "--abbrev-ref", "HEAD"),
        "dirty": None if status is None else bool(status),
    }


def machine() -> dict[str, Any]:
    """{"system", "cpu", "num_cores", "memory_gb", "gpu"}: what could be learnt; None for what could not."""
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu_model(),
        "num_cores": _num_cores(),
        "memory_gb": _memory_gb(),
        "gpu": _gpu_name(),
    }


def provenance(folder: Path | None = None) -> dict[str, Any]:
    """{"versions", "git", "machine"}, for a run folder to keep."""
    return {"versions": versions(), "git": git_state(folder), "machine": machine()}


def _git(folder: Path, *arguments: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    # Optional locks off: looking at a work tree must not write to it.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            [git, "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu_model() -> str | None:
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or None


def _num_cores() -> int | None:
    """Cores this process may use, which is what its speed depends on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _memory_gb() -> float | None:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError, AttributeError):
        return None
    return round(total / 2**30, 1)


def _gpu_name() -> str | None:
    """Name of the first CUDA device, asked only where torch is loaded already: importing it takes seconds."""
    torch = sys.modules.get("torch")
    try:
        if torch is not None and torch.cuda.is_available():
            return torch.cuda.get_device_name(0)
    except (RuntimeError, AssertionError):
        pass
    return None
