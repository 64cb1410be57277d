"""Agent: somebody else's program as a process of its own, with what it prints bounded and nothing of it left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from assay.errors import ConfigError

TAIL_BYTES = 4000
"""Bytes at the end of what a program prints that are kept; the rest is read and dropped."""
STOP_SECONDS = 2.0
"""Seconds that a program has between being asked to end and being killed."""


def command_line(command: str, python: str | None) -> list[str]:
    """Return a command as its words, "python" at the head replaced by the interpreter that was named, or by ours.

    Raises:
        ConfigError: it is empty, cannot be split, or names a program that is not there.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"command {command!r} cannot be split into words: {error}") from None
    if not words:
        raise ConfigError('an agent needs a command, such as command = "python agent.py"')
    if words[0] in ("python", "python3"):
        words[0] = sys.executable if python is None else python
    elif python is not None:
        raise ConfigError(
            f'python={python!r} has no effect with the command {command!r}, which does not begin with "python"'
        )
    if shutil.which(words[0]) is None:
        raise ConfigError(f"there is no program {words[0]!r} that can be run; name one that there is")
    return words


def environment_of(python: str | None, more: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a program sees: ours, and more. With an interpreter of its own, that one's virtual
    environment is the one that is active, and nothing of ours is imported."""
    variables = dict(os.environ)
    if python is not None:
        folder = Path(python).parent
        for name in ("PYTHONPATH", "PYTHONHOME"):
            variables.pop(name, None)
        variables |= {"VIRTUAL_ENV": str(folder.parent), "PATH": f"{folder}{os.pathsep}{variables.get('PATH', '')}"}
    return {**variables, **more}


class Agent:
    """A program under way. Its output is read as it comes, and the end of it is kept."""

    def __init__(self, process: asyncio.subprocess.Process, output: int) -> None:
        self._process = process
        self._output: int | None = output
        self._tail = bytearray()
        self.num_printed = 0
        """Bytes that it has printed."""
        asyncio.get_running_loop().add_reader(output, self._read)

    @classmethod
    async def start(cls, words: Sequence[str], variables: Mapping[str, str], folder: Path, given: Path) -> Agent:
        """Start a program.

        Args:
            given: the file that is its standard input.

        Raises:
            OSError: it cannot be started.
        """
        readable, writable = os.pipe()
        try:
            os.set_blocking(readable, False)
            with given.open("rb") as file:
                process = await asyncio.create_subprocess_exec(
                    *words,
                    stdin=file,
                    stdout=writable,
                    stderr=writable,
                    env=dict(variables),
                    cwd=folder,
                    start_new_session=True,
                )
        except BaseException:
            os.close(readable)
            raise
        finally:
            os.close(writable)
        return cls(process, readable)

    async def wait(self) -> int:
        """Return the exit code, once it has ended."""
        return await self._process.wait()

    @property
    def said(self) -> str:
        """The end of what it printed."""
        for _ in range(64):  # of what is still in the pipe, which holds no more than this
            self._read()
        return bytes(self._tail).decode("utf-8", "replace").strip()

    async def stop(self) -> None:
        """End it and every process that it started and that stayed in its session. Harmless once it has ended."""
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            pass
        finally:
            self._signal(signal.SIGKILL)
            self._close_output()
        await self._process.wait()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _read(self) -> None:
        """Take what there is to read; at most a little at once, since the event loop has other work."""
        if self._output is None:
            return
        try:
            piece = os.read(self._output, 1 << 16)
        except BlockingIOError:
            return
        if not piece:
            self._close_output()
            return
        self.num_printed += len(piece)
        self._tail += piece
        del self._tail[:-TAIL_BYTES]

    def _close_output(self) -> None:
        if self._output is not None:
            asyncio.get_running_loop().remove_reader(self._output)
            os.close(self._output)
            self._output = None
