"""The pool with real worker processes, small functions and short limits."""

from __future__ import annotations

import asyncio
import os
import signal
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.errors import VerifierError
from assay.verifiers.pool import LimitExceededError, WorkerPool

JOBS = """
import os, sys, time

def work(kind="echo", value=None):
    if kind == "hang":
        while True: pass
    if kind == "hang-once":
        if not os.path.exists(value):
            open(value, "w").close() if False else os.mkdir(value)
            while True: pass
        return "second time"
    if kind == "power":
        return 9 ** 9 ** 9
    if kind == "die":
        os._exit(3)
    if kind == "raise":
        raise RuntimeError("broken")
    if kind == "memory":
        return len(bytearray(8 << 30))
    if kind == "print":
        print("noise " * 100_000); sys.stderr.write("noise " * 100_000)
        return "quiet"
    if kind == "write":
        try:
            with open(value, "w") as file: file.write("content")
        except OSError: pass
        return os.path.getsize(value) if os.path.exists(value) else 0
    if kind == "litter":
        try:
            open(value, "w").close(); os.makedirs(value + "-folder")
        except OSError as error: return type(error).__name__
        return "made"
    if kind == "pid":
        return os.getpid()
    return value
"""


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerPool]:
    (tmp_path / "jobs_of_a_test.py").write_text(textwrap.dedent(JOBS))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    pool = WorkerPool("jobs_of_a_test:work", num_workers=2, limit_seconds=0.5)
    yield pool
    pool.close()


def test_results_come_back_in_any_thread(pool: WorkerPool) -> None:
    assert pool.call({"value": [1, "é\ud800", None]}) == [1, "é\ud800", None]
    results: list[int] = []
    threads = [threading.Thread(target=lambda i=i: results.append(pool.call({"value": i}))) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(20))


@pytest.mark.parametrize("kind", ["hang", "power", "die", "memory"])
def test_what_hangs_or_dies_fails_twice_and_harms_nobody_else(pool: WorkerPool, kind: str) -> None:
    async def run() -> list[object]:
        hanging = [pool.acall({"kind": kind}) for _ in range(2)]
        others = [pool.acall({"value": i}) for i in range(50)]
        return await asyncio.gather(*hanging, *others, return_exceptions=True)

    first, second, *others = asyncio.run(run())
    assert isinstance(first, LimitExceededError)
    assert isinstance(second, LimitExceededError)
    assert others == list(range(50))
    assert pool.num_killed == 4
    assert pool.call({"value": "still here"}) == "still here"


def test_a_slow_moment_gets_a_second_chance(pool: WorkerPool, tmp_path: Path) -> None:
    assert pool.call({"kind": "hang-once", "value": str(tmp_path / "seen")}) == "second time"
    assert pool.num_killed == 1


def test_an_error_of_the_function_is_the_verifiers(pool: WorkerPool) -> None:
    with pytest.raises(VerifierError, match="RuntimeError: broken"):
        pool.call({"kind": "raise"})
    assert pool.num_killed == 0


def test_what_a_worker_prints_is_no_answer(pool: WorkerPool) -> None:
    assert pool.call({"kind": "print"}) == "quiet"


def test_a_worker_writes_no_file(pool: WorkerPool, tmp_path: Path) -> None:
    assert pool.call({"kind": "write", "value": str(tmp_path / "file")}) == 0


def test_a_worker_leaves_nothing_where_the_parent_stands(
    pool: WorkerPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = tmp_path / "stand"
    stand.mkdir()
    monkeypatch.chdir(stand)
    assert pool.call({"kind": "litter", "value": "litter.txt"}) == "FileNotFoundError"
    assert list(stand.iterdir()) == []


def test_a_function_that_cannot_be_had_is_an_error_that_names_it(tmp_path: Path) -> None:
    pool = WorkerPool("no_such_module_at_all:work", num_workers=1)
    with pytest.raises(VerifierError, match="no_such_module_at_all"):
        pool.call({})
    pool.close()


def test_closing_leaves_no_process(pool: WorkerPool) -> None:
    pid = pool.call({"kind": "pid"})
    pool.close()
    for _ in range(1500):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.02)
    else:
        os.kill(pid, signal.SIGKILL)
        pytest.fail("the worker outlived its pool")
    with pytest.raises(VerifierError, match="was closed"):
        pool.call({})


def test_limits_below_one_are_errors() -> None:
    with pytest.raises(ValueError, match="limit_seconds"):
        WorkerPool("a:b", limit_seconds=0)
