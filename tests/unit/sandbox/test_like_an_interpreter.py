"""Programs are run as an interpreter runs them that nobody has prepared: the same output and the same exit code, from a
file as standard input to a pipe as standard output, for every program of programs.txt."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from assay.errors import SandboxUnavailableError
from assay.sandbox import Limits, Program, RunStatus, Sandbox

STDIN = b"1 2\n3\nabc\n"
LIMITS = Limits(cpu_seconds=20.0, wall_seconds=60.0)
PROGRAMS = dict(
    block.split("\n", 1)
    for block in re.split(r"^#### ", (Path(__file__).parent / "programs.txt").read_text(), flags=re.MULTILINE)[1:]
)
PROGRAMS |= {
    "byte order mark": "\ufeffprint(3)\n",
    "carriage returns": "print(repr('''a\r\nb'''))\r\nprint(3)\r\n",
    "no newline at the end": "print(3)",
    "form feed": "\fprint(3)\n",
    "null byte": "print(1)\0\n",
    "empty": "",
}
BATCHES = 12


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


def plain(source: str, folder: Path) -> tuple[bytes, int]:
    """What a plain interpreter makes of it."""
    folder.mkdir()
    (folder / "main.py").write_bytes(source.encode())
    (folder / "input").write_bytes(STDIN)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8"}
    with open(folder / "input", "rb") as stdin:
        done = subprocess.run(
            [os.path.realpath(sys._base_executable), "main.py"],  # type: ignore[attr-defined]
            stdin=stdin,
            capture_output=True,
            cwd=folder,
            env=environment,
            timeout=60,
        )
    return done.stdout, done.returncode


async def told(sandbox: Sandbox, source: str) -> tuple[bytes, int | None]:
    run = await sandbox.run(Program(source), stdin=STDIN, limits=LIMITS)
    return run.stdout, run.exit_code if run.signal is None else -run.signal


@pytest.mark.parametrize("batch", range(BATCHES))
def test_output_and_exit_code_are_those_of_a_plain_interpreter(sandbox, batch, tmp_path):
    if sandbox.backend == "unsafe" and batch:
        pytest.skip("one batch is enough")
    # It starts a plain interpreter itself, whose limits are the kernel's.
    kept = [name for name in PROGRAMS if sandbox.backend != "unsafe" or not name.startswith("rlimit")]
    names = kept[batch::BATCHES]
    with ThreadPoolExecutor(2) as threads:
        wanted = list(threads.map(lambda name: plain(PROGRAMS[name], tmp_path / str(names.index(name))), names))

    async def every() -> list[tuple[bytes, int | None]]:
        return await asyncio.gather(*(told(sandbox, PROGRAMS[name]) for name in names))

    found = asyncio.run(every())
    assert dict(zip(names, found, strict=True)) == dict(zip(names, wanted, strict=True))


def test_a_source_that_cannot_be_read_is_refused_and_an_error_in_it_is_not(sandbox):
    async def every(sources: tuple[str, ...]) -> dict[str, RunStatus]:
        runs = await asyncio.gather(*(sandbox.run(Program(source)) for source in sources))
        return {source: run.status for source, run in zip(sources, runs, strict=True)}

    refused = (
        *("def (", "if 1:\nprint(1)", "print(1)\0", "return 1", "x = " + "(" * 500, "'\\N{no such name}'"),
        *("# \ud800", "x is 1\ndef (", "if 1:\n\tx\n        y", "await f()"),
    )
    assert set(asyncio.run(every(refused)).items()) == {(source, RunStatus.COMPILE_ERROR) for source in refused}
    raised = ("exec('def (')", "raise SyntaxError('x')", "import ast\nast.parse('(')", "1 / 0", "raise RecursionError")
    assert set(asyncio.run(every(raised)).items()) == {(source, RunStatus.RUNTIME_ERROR) for source in raised}


@pytest.mark.parametrize("depth", [990, 997])
def test_no_frame_of_the_sandbox_takes_room(sandbox, depth):
    source = f"def f(n): return 0 if n == 0 else 1 + f(n - 1)\nprint(f({depth}))"
    assert asyncio.run(told(sandbox, source)) == (b"%d\n" % depth, 0)


def test_functions_have_the_room_that_judges_give(sandbox):
    source = """
import functools
def plain(n): return 0 if n == 0 else 1 + plain(n - 1)
@functools.cache
def cached(n): return 0 if n == 0 else 1 + cached(n - 1)
def endless(n): return endless(n + 1)
"""

    async def replies() -> list:
        async with sandbox.open(Program(source), limits=LIMITS) as session:
            values = [(await session.call(name, [20_000])).value for name in ("plain", "cached")]
            deep = (await session.call("plain", [49_000])).value
            return [*values, deep, (await session.call("endless", [0])).type_name]

    assert asyncio.run(replies()) == [20_000, 20_000, 49_000, "RecursionError"]


CPP = """
#include <cstdio>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
int main() {
  int a = 0, b = 0;
  %s
}
"""
SUM = 'if (scanf("%d %d", &a, &b) == 2) printf("%d\\n", a + b);'


@pytest.mark.parametrize(
    "body",
    [
        f'freopen("/dev/stdin", "r", stdin); {SUM}',
        'if (fscanf(fopen("/proc/self/fd/0", "r"), "%d %d", &a, &b) == 2) printf("%d\\n", a + b);',
        'if (scanf("%d %d", &a, &b) == 2) fprintf(fopen("/dev/stdout", "w"), "%d\\n", a + b);',
        "struct stat s; fstat(0, &s); char *p = (char *)mmap(0, s.st_size, PROT_READ, MAP_PRIVATE, 0, 0);"
        ' printf("%d\\n", p[0] + p[2] - 2 * 48);',
        'fseek(stdin, 0, SEEK_END); long n = ftell(stdin); rewind(stdin); if (n == 10) puts("3");',
        '\n#ifdef ONLINE_JUDGE\nputs("3");\n#endif\n',
        f'\n#if !defined(ONLINE_JUDGE)\nfreopen("in.txt", "r", stdin);\n#endif\n{SUM}',
        f"rlimit r; getrlimit(RLIMIT_STACK, &r); r.rlim_cur = 1 << 29; if (!setrlimit(RLIMIT_STACK, &r)) {{ {SUM} }}",
    ],
)
def test_cpp_finds_what_judges_give(sandbox, body):
    run = asyncio.run(sandbox.run(Program(CPP.replace("%s", body), "cpp"), stdin=STDIN))
    assert (run.stdout, run.exit_code) == (b"3\n", 0), run


def test_two_programs_that_talk_have_pipes(sandbox):
    asks = Program("print(7, flush=True)\nassert input() == '8'")
    answers = Program("import sys\nassert not sys.stdin.seekable()\nprint(int(open('/dev/stdin').readline()) + 1)")
    first, second = asyncio.run(sandbox.connect(answers, asks))
    assert (first.exit_code, second.exit_code) == (0, 0), (first, second)


def test_long_integers_are_printed(sandbox):
    assert asyncio.run(told(sandbox, "print(10 ** 5000)")) == (b"1" + b"0" * 5000 + b"\n", 0)
