"""Workspace: a folder of small files that outlives the commands that are run in it.

The folder is data of ours. For each command it is put into a fresh space of the sandbox, and what the space holds
afterwards comes back as an archive on standard output. A command can make that archive say anything, and so it can by
changing files: what comes back is the state, and is judged as such. Archives are read member by member and bounded; of
links and devices nothing is kept, and nothing is ever written to a disk outside.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import PurePosixPath

from assay.environments.tools import ToolFailure
from assay.errors import SandboxError
from assay.host import current_host
from assay.sandbox import Limits, Program, Sandbox
from assay.sandbox.run import ProgramRun, RunStatus

MAX_FILES = 200
MAX_BYTES = 1 << 20
"""Bytes of all files together."""
MAX_NAME_BYTES = 255
"""Bytes of a file's or folder's name, as Linux has it."""
MAX_OUTPUT_BYTES = 64 << 10
"""Bytes that a command may print; the rest is cut off."""
_SCRIPT = "program"
"""Name under which the sandbox leaves the command in the folder."""
_OUTPUT = ".output"
_WRAPPER = (
    "/bin/sh",
    "-c",
    f"/bin/sh {_SCRIPT} 2>&1 </dev/null | head -c {MAX_OUTPUT_BYTES} > {_OUTPUT}; tar --format=ustar -cf - .",
)
LIMITS = Limits(
    cpu_seconds=5.0, wall_seconds=10.0, memory_bytes=256 << 20, file_bytes=4 << 20, output_bytes=8 << 20, processes=32
)


class Workspace:
    """Files by relative path, as a command left them.

    Args:
        files: at first.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)

    async def shell(self, command: str) -> str:
        """Run a command in the folder and return what it prints.

        Raises:
            ToolFailure: it passed a limit, or left more than the folder may hold; then the folder is as it was.
            SandboxError: the sandbox failed.
        """
        program = Program(command, "command", _WRAPPER, dict(self.files))
        run = await _sandbox().run(program, limits=LIMITS)
        if run.status is RunStatus.SANDBOX_FAILURE:
            raise SandboxError(run.reason)
        if run.status is not RunStatus.FINISHED:
            raise ToolFailure(f"the command was stopped ({_why(run)}); nothing of it is kept")
        after = _read(run.stdout)
        output = after.pop(_OUTPUT, b"")
        after.pop(_SCRIPT, None)
        _check(after)
        self.files = after
        text = output.decode("utf-8", "replace")
        return f"{text}\n[cut off]" if len(output) >= MAX_OUTPUT_BYTES else text

    def read(self, path: str) -> str:
        """The text of a file.

        Raises:
            ToolFailure: there is none.
        """
        name = _inside(path)
        if name not in self.files:
            raise ToolFailure(f"there is no file {path[:80]!r}")
        return self.files[name].decode("utf-8", "replace")

    def write(self, path: str, text: str) -> str:
        """Make or replace a file.

        Raises:
            ToolFailure: a path that leaves the folder, or more than it may hold.
        """
        after = {**self.files, _inside(path): text.encode("utf-8", "replace")}
        _check(after)
        self.files = after
        return "written"


def _sandbox() -> Sandbox:
    return current_host().hold("files environment", Sandbox, Sandbox.close)


def _why(run: ProgramRun) -> str:
    return run.reason or run.status.value


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path or len(path) > 200:
        raise ToolFailure(f"{path[:80]!r} is no path inside the folder; name it as `ls` does, such as notes/a.txt")
    name = str(PurePosixPath(*parts))
    if parts[0] in (_SCRIPT, _OUTPUT):
        raise ToolFailure(f"{path[:80]!r} cannot be a file here; choose another name")
    return name


def _check(files: Mapping[str, bytes]) -> None:
    # What the sandbox could not lay out as a folder is the policy's failure, never the sandbox's.
    folders = {str(parent) for name in files for parent in PurePosixPath(name).parents}
    for name in files:
        if name in folders:
            raise ToolFailure(f"{name[:80]!r} would be a file and a folder. Nothing is kept")
        if PurePosixPath(name).parts[0] in (_SCRIPT, _OUTPUT) or not _can_be_laid_out(name):
            raise ToolFailure(f"{name[:80]!r} cannot be a file here; choose another name. Nothing is kept")
    if len(files) > MAX_FILES:
        raise ToolFailure(f"the folder would have {len(files)} files; at most {MAX_FILES}. Nothing is kept")
    size = sum(map(len, files.values()))
    if size > MAX_BYTES:
        raise ToolFailure(f"the folder would hold {size:,} bytes; at most {MAX_BYTES:,}. Nothing is kept")


def _can_be_laid_out(name: str) -> bool:
    """Return whether a file system takes the name: UTF-8, and at most MAX_NAME_BYTES for each part."""
    try:
        return all(len(part.encode()) <= MAX_NAME_BYTES for part in PurePosixPath(name).parts)
    except UnicodeEncodeError:
        return False


def _read(archive: bytes) -> dict[str, bytes]:
    """The regular files of an archive that nobody trusts."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as members:
            for number, member in enumerate(members):
                if number > 4 * MAX_FILES:
                    raise ToolFailure(f"the folder would have more than {MAX_FILES} files. Nothing is kept")
                parts = PurePosixPath(member.name).parts
                if not member.isreg() or not parts or member.name.startswith("/") or ".." in parts:
                    continue
                content = members.extractfile(member)
                found[str(PurePosixPath(*parts))] = b"" if content is None else content.read()
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
        raise ToolFailure(f"the folder could not be read back ({type(error).__name__}). Nothing is kept") from None
    return found
