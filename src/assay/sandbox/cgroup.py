"""Control groups: the kernel's own account of a whole tree of processes. Version 1 or 2, where they can be written.

Each worker has a group below that of this process, so that bounds set on this process go on holding.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PREFIX = "assay-sandbox-"
CONTROLLERS = ("memory", "pids", "cpuacct")
_numbers = itertools.count()


@dataclass(frozen=True)
class Hierarchy:
    """The place where groups can be made: a folder for each controller that this process may use."""

    version: int
    """1 or 2; 0 where there is none."""
    folders: dict[str, Path] = field(default_factory=dict)
    """Controller to the folder of this process's own group."""

    def group(self) -> Cgroup:
        """A new group, empty.

        Raises:
            OSError: it could not be made.
        """
        return Cgroup(self)


def find_hierarchy(root: Path = Path("/")) -> Hierarchy:
    """Return the hierarchy that this process may use, tried by making a group.

    Args:
        root: the folder in which `proc` and the mounts are found.
    """
    mounts = list(_mounts(root))
    own = _own_paths(root)
    first = {}
    for version, controllers, mount_root, mount_point in mounts:
        for controller in controllers if version == 1 else ():
            if controller in CONTROLLERS and controller in own:
                first.setdefault(controller, _below(mount_root, mount_point, own[controller]))
    for version, _, mount_root, mount_point in mounts:
        if version == 2 and "" in own and "memory" not in first:
            folder = _below(mount_root, mount_point, own[""])
            if _delegate(folder):
                return _usable(Hierarchy(2, dict.fromkeys(CONTROLLERS, folder)))
    return _usable(Hierarchy(1, first))


class Cgroup:
    """One group. Raises OSError where the kernel refuses."""

    def __init__(self, hierarchy: Hierarchy) -> None:
        name = f"{PREFIX}{os.getpid()}-{next(_numbers)}"
        self._version = hierarchy.version
        self._folders = {controller: folder / name for controller, folder in hierarchy.folders.items()}
        try:
            for folder in set(self._folders.values()):
                folder.mkdir()
        except OSError:
            self.remove()
            raise
        self._files: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()
        self._closed = False

    @property
    def member_files(self) -> list[str]:
        """Files to which a process writes "0" to join."""
        return sorted({str(folder / "cgroup.procs") for folder in self._folders.values()})

    def has(self, controller: str) -> bool:
        return controller in self._folders

    def limit_memory(self, num_bytes: int) -> None:
        if self._version == 2:
            self._write("memory", "memory.max", num_bytes)
            with contextlib.suppress(OSError):
                self._write("memory", "memory.swap.max", 0)
        else:
            with contextlib.suppress(OSError):
                self._write("memory", "memory.swappiness", 0)
            self._write("memory", "memory.limit_in_bytes", num_bytes)

    def limit_processes(self, count: int) -> None:
        self._write("pids", "pids.max", count)

    def memory_bytes(self) -> int:
        """In use now."""
        return int(self._read("memory", "memory.current" if self._version == 2 else "memory.usage_in_bytes"))

    def reset_peak(self) -> None:
        """The peak counts from now on; where the kernel cannot, it is not known."""
        if self._version == 1:
            self._write("memory", "memory.max_usage_in_bytes", 0)

    def peak_memory_bytes(self) -> int | None:
        """The most since `reset_peak`; None where the kernel does not say."""
        return int(self._read("memory", "memory.max_usage_in_bytes")) if self._version == 1 else None

    def num_killed(self) -> int:
        """Processes killed for want of memory since the group was made."""
        text = self._read("memory", "memory.events" if self._version == 2 else "memory.oom_control")
        return _field(text, b"oom_kill")

    def num_refused(self) -> int:
        """Times that the group came up against its own limit on memory since it was made.

        A process may also be killed for want of memory in the machine, or in a group above: then this does not rise.
        """
        if self._version == 2:
            text = self._read("memory", "memory.events")
            return _field(text, b"max") + _field(text, b"oom")
        return int(self._read("memory", "memory.failcnt"))

    def num_processes(self) -> int:
        return int(self._read("pids", "pids.current"))

    def cpu_seconds(self) -> float:
        """Return the CPU time of all that ever ran in the group, in seconds."""
        if self._version == 2:
            return _field(self._read("cpuacct", "cpu.stat"), b"usage_usec") / 1e6
        return int(self._read("cpuacct", "cpuacct.usage")) / 1e9

    def close(self) -> None:
        """Gives back the open files; the group stays until `remove`. Safe to call again, and from any thread."""
        with self._lock:
            self._closed = True
            while self._files:
                os.close(self._files.popitem()[1])

    def remove(self) -> bool:
        """Removes the group; False where a process in it has not ended yet."""
        done = True
        for folder in set(self._folders.values()):
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                done = False
        return done

    def _read(self, controller: str, name: str) -> bytes:
        # Locked: a number that was closed meanwhile may be another's by the time it is read.
        with self._lock:
            if self._closed:
                raise OSError(errno.EBADF, "the control group was closed")
            descriptor = self._files.get((controller, name))
            if descriptor is None:
                # Kept open: it is read in every run.
                descriptor = self._files[controller, name] = os.open(self._folders[controller] / name, os.O_RDONLY)
            return os.pread(descriptor, 4096, 0)

    def _write(self, controller: str, name: str, value: int) -> None:
        descriptor = os.open(self._folders[controller] / name, os.O_WRONLY)
        try:
            os.write(descriptor, str(value).encode())
        finally:
            os.close(descriptor)


def remove_stale(hierarchy: Hierarchy) -> None:
    """Removes empty groups of processes that were killed before they could."""
    for folder in set(hierarchy.folders.values()):
        for group in folder.glob(f"{PREFIX}*-*"):
            owner = group.name.removeprefix(PREFIX).split("-")[0]
            if owner.isdigit() and not Path(f"/proc/{owner}").exists():
                with contextlib.suppress(OSError):
                    group.rmdir()


def _usable(hierarchy: Hierarchy) -> Hierarchy:
    """The part of it in which groups can in fact be made and joined."""
    works = {}
    for controller, folder in hierarchy.folders.items():
        probe = Hierarchy(hierarchy.version, {controller: folder})
        with contextlib.suppress(OSError, ValueError):
            group = probe.group()
            try:
                _probe(group, controller)
                works[controller] = folder
            finally:
                group.close()
                group.remove()
    return Hierarchy(hierarchy.version if works else 0, works)


def _probe(group: Cgroup, controller: str) -> None:
    if controller == "memory":
        group.limit_memory(1 << 30)
        group.num_killed()
        group.num_refused()
    elif controller == "pids":
        group.limit_processes(100)
        group.num_processes()
    else:
        group.cpu_seconds()


def _delegate(folder: Path) -> bool:
    """Hands the controllers of a version 2 group to its children; whether they have them."""
    control = folder / "cgroup.subtree_control"
    for _ in range(2):
        with contextlib.suppress(OSError):
            if {"memory", "pids"} <= set(control.read_text().split()):
                return True
            control.write_text("+memory +pids")
            continue
        # A group that has members gives nothing to children. Where this process is the only one, it moves aside.
        with contextlib.suppress(OSError):
            if (folder / "cgroup.procs").read_text().split() == [str(os.getpid())]:
                (folder / f"{PREFIX}parent").mkdir(exist_ok=True)
                (folder / f"{PREFIX}parent" / "cgroup.procs").write_text("0")
    with contextlib.suppress(OSError):
        return {"memory", "pids"} <= set(control.read_text().split())
    return False


def _own_paths(root: Path) -> dict[str, str]:
    """Controller to the path of this process's group; version 2's under the empty name."""
    paths = {}
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            paths |= dict.fromkeys(controllers.split(","), path)
    return paths


def _mounts(root: Path) -> Iterator[tuple[int, Sequence[str], str, Path]]:
    """Version, options, the mount's own root, and where it is mounted."""
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            fields, (kind, _, options) = before.split(), after.split()[:3]
            if kind in ("cgroup", "cgroup2"):
                yield (2 if kind == "cgroup2" else 1), options.split(","), fields[3], root / fields[4].lstrip("/")


def _below(mount_root: str, mount_point: Path, path: str) -> Path:
    """The folder of a group, which may be told from the mount's root or from the container's."""
    if mount_root != "/" and path.startswith(mount_root):
        path = path[len(mount_root) :]
    return mount_point / path.lstrip("/")


def _field(text: bytes, name: bytes) -> int:
    for line in text.splitlines():
        key, _, value = line.partition(b" ")
        if key == name:
            return int(value)
    raise ValueError(f"{name!r} is not among {text!r}")
