"""The worker side of an adapter: run by the adapter's own interpreter, with the standard library and its package alone.

    python -I serve.py WORKER_FILE SOCKET_PATH

Imports the package once, by WORKER_FILE's `warm_up`, and then forks a process for each connection to the socket: every
episode has a process of its own, with its own random streams and its own module state, at the price of a fork. The
process serves one `Session` of WORKER_FILE:

    {"call": "open", "arguments": {...}}\\n  ---->  session.open(**arguments), awaited where it is async
    {"result": ...}\\n                       <----  or {"error": ...}, or {"refused": ...} for a `RefusedError`

It ends with its connection. A line "kill PID" on standard input ends one that hangs; the end of standard input ends
them all.

A WORKER_FILE with `SHARED = True` is served without forks: every connection has a `Session` of its own in this one
process, their calls run beside each other, and the call of a connection that ends is cancelled. What its package begins
may be many processes: one more watches standard input, and ends all of them, also where this one was ended before.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import inspect
import json
import os
import resource
import select
import shutil
import signal
import socket
import sys
from collections.abc import Coroutine
from pathlib import Path
from types import ModuleType
from typing import Any

if __name__ in ("__main__", "__mp_main__"):  # the second is its name in processes that a package spawns
    # Of Assay, the files beside this one and nothing else: its own requirements are not here.
    for name, places in {"assay": [], "assay.adapters": [str(Path(__file__).parent)]}.items():
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__path__ = places

from assay.adapters.plain import RefusedError, shared_memory

MAX_LINE_BYTES = 4_000_000
"""Bytes of one request and of one reply."""
CLOSE_SECONDS = 20
"""Seconds that what a session began has to end, after its connection has."""
MAX_MEMORY_BYTES = 4 << 30
"""Private memory of one process."""


def main(worker: str, place: str) -> None:
    """Serve WORKER_FILE at a socket until standard input ends."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)  # the group that ends with this process holds nobody else
    module = _load(worker)
    shared = getattr(module, "SHARED", False)
    if shared:
        _watch(Path(place).parent)
    module.warm_up()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(place)
    listener.listen(4096)
    print("ready", flush=True)
    # What a package prints is for nobody, and a pipe that nobody reads would stop it.
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    # What is here now stays: a collector that looked through it would copy its pages into every fork.
    gc.freeze()
    try:
        if shared:
            asyncio.run(_share(module, listener))
        else:
            _accept(module, listener)
    finally:
        os.killpg(0, signal.SIGKILL)


def _watch(folder: Path) -> None:
    """Forks a process that ends all others of the group once standard input has ended, and removes what they leave.

    Args:
        folder: with the socket; whose standard input has ended is not there to remove it.
    """
    if os.fork():
        return
    try:
        # Nobody is to wait for what this process might still say.
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        ended = select.poll()
        ended.register(0, 0)
        ended.poll()
        for path in shared_memory(os.getpgrp()):
            path.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.killpg(0, signal.SIGKILL)


async def _share(module: ModuleType, listener: socket.socket) -> None:
    """Serves all connections in this process, until it is ended."""
    loop = asyncio.get_running_loop()

    def heard() -> None:
        # Orders are for processes of connections, of which there are none.
        if not os.read(0, 4096):
            loop.remove_reader(0)

    loop.add_reader(0, heard)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = module.Session()
        with contextlib.suppress(OSError, ValueError):  # ValueError: a line beyond the limit
            writer.write(_encoded({"result": os.getpid()}))
            while (line := await reader.readline()).endswith(b"\n"):
                answer = await _unless_gone(_answered(session, json.loads(line)), reader)
                if answer is None:
                    break
                writer.write(_encoded(answer))
                await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(serve, sock=listener, limit=MAX_LINE_BYTES):
        await asyncio.Event().wait()


async def _unless_gone(answering: Coroutine[Any, Any, Any], reader: asyncio.StreamReader) -> Any:
    """What a call answers, or None where its connection ended first: then it is cancelled."""
    call, gone = asyncio.ensure_future(answering), asyncio.ensure_future(reader.read(1))
    await asyncio.wait((call, gone), return_when=asyncio.FIRST_COMPLETED)
    is_gone = gone.done()
    for task in (call, gone):
        task.cancel()
    await asyncio.wait((call, gone))
    return None if is_gone else call.result()


async def _answered(session: Any, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        result = getattr(session, asked["call"])(**asked["arguments"])
        return {"result": await result if inspect.isawaitable(result) else result}
    except RefusedError as error:
        return {"refused": str(error)[:2000]}
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        return {"error": f"{type(error).__name__}: {error}"[:2000]}


def _accept(module: ModuleType, listener: socket.socket) -> None:
    children: set[int] = set()
    # A child that ends wakes the loop, so that no zombie waits for the next connection.
    awake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    orders = b""
    while True:
        ready, _, _ = select.select([listener, 0, awake], [], [])
        if awake in ready:
            os.read(awake, 4096)
        while children:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            children.discard(pid)
        if 0 in ready:
            part = os.read(0, 4096)
            if not part:
                return
            *lines, orders = (orders + part).split(b"\n")
            for line in lines:
                pid = int(line.removeprefix(b"kill "))
                # Only what was not reaped is here: its number cannot be somebody else's by now.
                if pid in children:
                    os.kill(pid, signal.SIGKILL)
        if listener in ready:
            connection, _ = listener.accept()
            pid = os.fork()
            if pid == 0:
                try:
                    listener.close()
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    os.dup2(1, 0)
                    _serve(module, connection)
                finally:
                    os._exit(0)
            children.add(pid)
            connection.close()


def _serve(module: ModuleType, connection: socket.socket) -> None:
    """Answers the calls of one connection, one after the other, until it ends."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = MAX_MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(hard, MAX_MEMORY_BYTES)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    session = module.Session()
    with connection, connection.makefile("rb") as lines, asyncio.Runner() as runner:
        connection.sendall(_encoded({"result": os.getpid()}))
        while line := lines.readline(MAX_LINE_BYTES):
            if not line.endswith(b"\n"):
                break
            connection.sendall(_encoded(_answer(session, runner, json.loads(line))))
        signal.alarm(CLOSE_SECONDS)


def _answer(session: Any, runner: asyncio.Runner, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        result = getattr(session, asked["call"])(**asked["arguments"])
        return {"result": runner.run(_awaited(result)) if inspect.isawaitable(result) else result}
    except RefusedError as error:
        return {"refused": str(error)[:2000]}
    except BaseException as error:  # a package that calls sys.exit has failed too
        return {"error": f"{type(error).__name__}: {error}"[:2000]}


async def _awaited(result: Any) -> Any:
    return await result


def _encoded(answer: dict[str, Any]) -> bytes:
    try:
        line = json.dumps(answer).encode() + b"\n"
    except (TypeError, ValueError) as error:
        line = json.dumps({"error": f"it answered what JSON does not hold: {error}"[:2000]}).encode() + b"\n"
    if len(line) > MAX_LINE_BYTES:
        line = (
            json.dumps({"error": f"it answered {len(line)} bytes; at most {MAX_LINE_BYTES} are read"}).encode() + b"\n"
        )
    return line


def _load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("adapter_worker", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(sys.argv[1], sys.argv[2])
