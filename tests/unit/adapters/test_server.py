from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.adapters import AdapterServer
from assay.errors import AdapterError, DataError

WORKER = Path(__file__).parents[2] / "foreign" / "adapter_worker.py"


@pytest.fixture
def server() -> Iterator[AdapterServer]:
    server = AdapterServer("fake", WORKER, Path(sys.executable))
    yield server
    server.close()


def is_there(pid: int) -> bool:
    """Whether a process runs, after giving it a while to end."""
    for _ in range(600):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        if state == "Z":
            return False
        time.sleep(0.05)
    return True


def test_two_sessions_of_one_seed_stepped_alternately_are_equal(server: AdapterServer) -> None:
    async def play() -> None:
        async with await server.connect() as one, await server.connect() as other:
            for session in (one, other):
                await session.ask("open", seed=7)
            seen = [(await one.ask("step", reply=""), await other.ask("step", reply="")) for _ in range(10)]
            assert all(first == second for first, second in seen)
            assert len({first["state"] for first, _ in seen}) == 10
            assert await one.ask("outcome") == await other.ask("outcome")

    asyncio.run(play())
    assert server.num_starts == 1, "the package is imported once"


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("raise", "ValueError: no such move"),
        ("sys.exit", "SystemExit"),
        ("huge", "at most 4000000 are read"),
        ("memory", "MemoryError"),
        ("nonsense", "JSON"),
        ("exit", "went away"),
    ],
)
def test_what_a_package_does_wrong_is_an_error_of_the_adapter(server: AdapterServer, how: str, says: str) -> None:
    async def fail() -> None:
        async with await server.connect() as session:
            with pytest.raises(AdapterError, match=says):
                await session.ask("fail", how=how)
        async with await server.connect() as session:
            assert (await session.ask("open", seed=1))["state"] == "0", "the next session is none the worse"

    asyncio.run(fail())
    with pytest.raises(AdapterError, match=says):
        server.ask("fail", how=how)
    assert server.num_starts == 1


def test_what_a_person_must_change_is_no_error_of_the_adapter(server: AdapterServer) -> None:
    with pytest.raises(DataError, match="choose another"):
        server.ask("fail", how="refuse")


def test_half_a_surrogate_pair_becomes_a_question_mark(server: AdapterServer) -> None:
    opened = server.ask("open", seed=1, shown="so \ud800 \u202e\x00\U0001f600")
    assert opened["messages"] == [["user", "so ? \u202e\x00\U0001f600"]]


def test_a_session_that_hangs_is_ended(server: AdapterServer) -> None:
    async def hang() -> int:
        session = await server.connect()
        with pytest.raises(AdapterError, match=r"longer than 0\.1 s to fail"):
            await session.ask("fail", 0.1, how="hang")
        await session.close()
        assert session.pid is not None
        return session.pid

    assert not is_there(asyncio.run(hang()))


def test_a_session_that_is_cancelled_is_ended(server: AdapterServer) -> None:
    async def cancel() -> int:
        session = await server.connect()
        try:
            async with asyncio.timeout(0.1):
                await session.ask("fail", how="hang")
        except TimeoutError:
            pass
        await session.close()
        await session.close()
        assert session.pid is not None
        return session.pid

    assert not is_there(asyncio.run(cancel()))


def test_a_worker_that_died_is_started_again(server: AdapterServer) -> None:
    async def play() -> None:
        async with await server.connect() as session:
            await session.ask("open", seed=3)
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            assert not is_there(server.pid)
            assert "state" in await session.ask("step", reply=""), "a session outlives the process that it came from"
        async with await server.connect() as session:
            await session.ask("open", seed=3)

    asyncio.run(play())
    assert server.num_starts == 2


def test_many_sessions_at_a_time(server: AdapterServer) -> None:
    async def one(seed: int) -> str:
        async with await server.connect() as session:
            await session.ask("open", seed=seed % 5)
            return "/".join([(await session.ask("step", reply=""))["state"] for _ in range(4)])

    async def play() -> list[str]:
        return await asyncio.gather(*(one(seed) for seed in range(60)))

    seen = asyncio.run(play())
    assert all(seen[number] == seen[number % 5] for number in range(60))
    assert len(set(seen)) == 5


def test_nothing_is_left_behind_when_this_process_dies(tmp_path: Path) -> None:
    script = f"""
        import asyncio, os, signal
        from pathlib import Path
        from assay.adapters import AdapterServer

        async def play():
            server = AdapterServer("fake", Path({str(WORKER)!r}), Path({sys.executable!r}))
            hanging = await server.connect()
            asyncio.ensure_future(hanging.ask("fail", how="hang"))
            await asyncio.sleep(0.1)
            print(server.pid, hanging.pid, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(play())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False, timeout=60
    )
    pids = list(map(int, done.stdout.split()))
    assert len(pids) == 2, done.stderr
    assert not any(map(is_there, pids))


def test_a_worker_that_does_not_start_says_why(tmp_path: Path) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text("import a_package_that_is_not_there\n")
    server = AdapterServer("fake", worker, Path(sys.executable))
    with pytest.raises(AdapterError, match=r"No module named 'a_package_that_is_not_there'.*install fake --again"):
        server.ask("open", seed=1)
    server.close()


SHARED_WORKER = """
import os, time
from multiprocessing import get_context, shared_memory
SHARED = True
def warm_up(): pass
class Session:
    def begin(self):
        self.memory = shared_memory.SharedMemory(create=True, size=16)
        self.semaphore = get_context("spawn").Semaphore()
        child = os.fork()
        if not child:
            time.sleep(100)
        return child, self.memory.name, "sem." + self.semaphore._semlock.name[1:]
"""


def test_what_a_shared_worker_began_ends_with_both_of_them(tmp_path: Path) -> None:
    """Its process is ended first, by somebody who knows nothing of what it began; then the one that asked for it."""
    file = tmp_path / "worker.py"
    file.write_text(SHARED_WORKER)
    program = f"""
        import asyncio, sys
        from pathlib import Path
        from assay.adapters import AdapterServer
        server = AdapterServer("shared", Path({str(file)!r}), Path(sys.executable))
        async def work():
            async with await server.connect() as connection:
                child, *shared = await connection.ask("begin")
                print(server.pid, child, server.folder, *shared, flush=True)
                await asyncio.sleep(100)
        asyncio.run(work())
    """
    asking = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert asking.stdout is not None
    with asking:
        worker, child, folder, *shared = asking.stdout.readline().split()
        os.kill(int(worker), signal.SIGKILL)
        asking.kill()
    left = [Path(f"/proc/{child}"), Path(folder), *(Path("/dev/shm") / name for name in shared)]
    assert len(left) == 4
    for _ in range(1200):
        if not any(path.exists() for path in left):
            return
        time.sleep(0.05)
    raise AssertionError(f"left: {[path for path in left if path.exists()]}")
