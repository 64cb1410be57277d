"""The side of an adapter that runs in this process: starts its worker, and holds a connection for each episode."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from assay.adapters.plain import shared_memory
from assay.adapters.serve import MAX_LINE_BYTES
from assay.adapters.venvs import interpreter_of
from assay.errors import AdapterError, DataError
from assay.host import current_host

START_SECONDS = 120.0
"""Seconds within which a worker must have imported its package."""
CALL_SECONDS = 60.0
"""Seconds that one call may take where nobody says otherwise."""
_SERVE = Path(__file__).with_name("serve.py")


class AdapterServer:
    """The worker of one adapter: a process that has imported the package, and forks one for each connection.

    A worker that died is started again at the next connection. Safe to use from any thread and any event loop.

    Args:
        name: of the adapter, as `assay adapters install` takes it.
        worker: the file that the adapter's interpreter runs, with `warm_up` and `Session`.
        interpreter: Python that has the package; the adapter's own environment where None.
        environment: variables for the worker, beside those of this process.
    """

    def __init__(
        self, name: str, worker: Path, interpreter: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.num_starts = 0
        """Times that the worker was started: more than once where it died."""
        self._worker = worker
        self._interpreter = interpreter or interpreter_of(name)
        self._environment = dict(environment or {})
        self.folder = Path(tempfile.mkdtemp(prefix="assay-adapter-"))
        """Where the worker runs; removed when it is closed, or by the worker where this process was ended."""
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The worker's process; None where it was not started."""
        return self._process and self._process.pid

    async def connect(self) -> Connection:
        """Open a session in a fresh process.

        Raises:
            AdapterError: the worker could not be started.
        """
        place = await asyncio.to_thread(self._place)
        try:
            reader, writer = await asyncio.open_unix_connection(place, limit=MAX_LINE_BYTES)
        except OSError as error:
            raise AdapterError(f"the worker of the adapter {self.name!r} takes no connection: {error}") from None
        connection = Connection(self, reader, writer)
        try:
            connection.pid = await connection.read(START_SECONDS)
        except BaseException:
            await connection.close()
            raise
        return connection

    def ask(self, call: str, seconds: float = CALL_SECONDS, **arguments: Any) -> Any:
        """Return what one call gives, in a process of its own; blocks.

        Raises:
            AdapterError: the package raised, took too long, or its process ended.
            DataError: the worker refuses: a person must change a setting.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as opened:
            deadline = time.monotonic() + seconds
            pid = None
            try:
                opened.connect(self._place())
                lines = opened.makefile("rb")
                for line in (None, _request(call, arguments)):
                    opened.settimeout(max(deadline - time.monotonic(), 0.001))
                    if line is None:
                        pid = _result(self.name, lines.readline(MAX_LINE_BYTES + 1))
                    else:
                        opened.sendall(line)
                        return _result(self.name, lines.readline(MAX_LINE_BYTES + 1))
            except TimeoutError:
                if pid is not None:
                    self.kill(pid)
                raise AdapterError(f"the adapter {self.name!r} took longer than {seconds:g} s to {call}") from None
            except OSError as error:
                raise AdapterError(f"the worker of the adapter {self.name!r} went away: {error}") from None
        raise AssertionError

    def kill(self, pid: int) -> None:
        """Ends the process of one connection, where it is still there."""
        process = self._process
        with contextlib.suppress(OSError, ValueError):
            if process is not None and process.stdin is not None:
                process.stdin.write(f"kill {pid}\n".encode())
                process.stdin.flush()

    def close(self) -> None:
        """Ends the worker and all that it forked."""
        with self._lock:
            self._end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _place(self) -> str:
        """Path of the socket of a worker that is alive."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._end()
                self._start()
            return str(self.folder / f"{self.num_starts}")

    def _start(self) -> None:
        self.num_starts += 1
        command = [
            str(self._interpreter),
            "-I",
            str(_SERVE),
            str(self._worker),
            str(self.folder / f"{self.num_starts}"),
        ]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                cwd=self.folder,
                # Sets of strings in the same order in every process, or a seed would not give the same world again.
                env={**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", **self._environment},
            )
        except OSError as error:
            raise AdapterError(f"the worker of the adapter {self.name!r} could not be started: {error}") from None
        assert self._process.stdout is not None
        said = b""
        deadline = time.monotonic() + START_SECONDS
        # A package may print while it is imported: the worker's own word is the last line.
        while not said.endswith(b"ready\n"):
            left = deadline - time.monotonic()
            part = b""
            if left > 0 and select.select([self._process.stdout], [], [], left)[0]:
                part = os.read(self._process.stdout.fileno(), 65536)
            if not part:
                why = self._end() or f"it was not ready within {START_SECONDS:g} s"
                raise AdapterError(
                    f"the worker of the adapter {self.name!r} did not start: {why}; "
                    f"assay adapters install {self.name} --again makes its environment anew"
                )
            said = (said + part)[-100:]

    def _end(self) -> str:
        """Ends the worker; the last line that it wrote to its error stream."""
        if self._process is None:
            return ""
        left = shared_memory(self._process.pid)
        # Its group: what it forked too, also what hangs, and what has outlived it.
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for path in left:
            # None of those who shared it is there to remove it.
            path.unlink(missing_ok=True)
        last = ""
        if self._process.stderr is not None and self.num_starts:
            os.set_blocking(self._process.stderr.fileno(), False)
            said = self._process.stderr.read(65536) or b""
            last = (said.decode("utf-8", "replace").strip().splitlines() or [""])[-1][:300]
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self._process = None
        return last


class Connection:
    """One session of an adapter, in a process of its own. `close` ends that process, also when it hangs."""

    def __init__(self, server: AdapterServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid: int | None = None
        self._server, self._reader, self._writer = server, reader, writer
        self._in_flight = False

    async def ask(self, call: str, seconds: float = CALL_SECONDS, **arguments: Any) -> Any:
        """Return what one call of the session gives.

        Raises:
            AdapterError: the package raised, took too long, or its process ended.
            DataError: the worker refuses: a person must change a setting.
        """
        self._in_flight = True
        try:
            self._writer.write(_request(call, arguments))
            await self._writer.drain()
        except OSError as error:
            raise AdapterError(f"the process of the adapter {self._server.name!r} went away: {error}") from None
        result = await self.read(seconds, call)
        return result

    async def read(self, seconds: float, call: str = "start") -> Any:
        """Return the next reply, for a call that was sent."""
        self._in_flight = True
        name = self._server.name
        try:
            async with asyncio.timeout(seconds):
                line = await self._reader.readline()
        except TimeoutError:
            raise AdapterError(f"the adapter {name!r} took longer than {seconds:g} s to {call}") from None
        except (OSError, ValueError) as error:  # ValueError: a line beyond the limit
            raise AdapterError(f"the process of the adapter {name!r} went away: {error}") from None
        self._in_flight = False
        return _result(name, line)

    async def close(self) -> None:
        """Ends the session and its process."""
        if self._in_flight and self.pid is not None:
            self._server.kill(self.pid)
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _request(call: str, arguments: dict[str, Any]) -> bytes:
    # Half a surrogate pair, which a model may write, is no text to most packages: it becomes a question mark.
    asked = json.dumps({"call": call, "arguments": arguments}, ensure_ascii=False)
    line = asked.encode("utf-8", "replace") + b"\n"
    if len(line) > MAX_LINE_BYTES:
        raise AdapterError(f"a call of {call} has {len(line)} bytes; at most {MAX_LINE_BYTES} are sent")
    return line


def _result(name: str, line: bytes) -> Any:
    try:
        reply = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        reply = None
    if not isinstance(reply, dict):
        raise AdapterError(f"the process of the adapter {name!r} went away in the middle of a call")
    if "refused" in reply:
        raise DataError(reply["refused"])
    if "error" in reply:
        raise AdapterError(f"the adapter {name!r} failed: {reply['error']}")
    return reply["result"]


def adapter_server(name: str, worker: Path) -> AdapterServer:
    """The current host's worker of an adapter.

    Raises:
        ConfigError: the adapter is not installed; names the command that does.
    """
    return current_host().hold(("adapter", name, str(worker)), lambda: AdapterServer(name, worker), AdapterServer.close)
