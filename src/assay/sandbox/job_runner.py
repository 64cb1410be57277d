"""Inside a space: does one job, then is gone. Runs on Python 3.9 and newer, with the standard library only.

This is the program's own process, so nothing here is trusted from outside: whatever it sends can have been forged, and
is worth no more than what the program could have returned.

    frame   <I length> then that many bytes
    in      the job, one frame; then, to be served, calls: (number, function, arguments, keywords)
    out     ("syntax",) where the source is refused; ("ready",) once it has loaded; then one (number, ...) a call
"""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import resource
import struct
import sys
import types
from typing import Any

from assay.sandbox import values

CHANNEL = 3
REPLIES = CHANNEL
"""The descriptor that replies are written to: the same, but where the channel is made of two streams."""
MAIN = "main.py"
ASK, RESUME = "_assay_ask", "_assay_resume"
"""Names of the function by which a program that serves may ask back, and of the call that brings the reply."""
SOURCE = "program"
"""The file in which a command finds the source."""
STACK_BYTES = 64 << 20
RECURSION_LIMIT = 50_000
"""The recursion limit where functions are called: what the judges' own harnesses set."""
MAX_OPEN_FILES = 256
MAX_MESSAGE = 2000
_LENGTH = struct.Struct("<I")


def read_frame(descriptor) -> bytes | None:
    """The next frame; None at the end of the channel."""
    header = _read_exactly(descriptor, _LENGTH.size)
    return None if header is None else _read_exactly(descriptor, _LENGTH.unpack(header)[0])


def write_frame(value, max_bytes=values.MAX_BYTES):
    """Sends one value. Raises NotPlainError with nothing sent where it may not cross."""
    payload = values.encode(value, max_bytes)
    data = memoryview(_LENGTH.pack(len(payload)) + payload)
    while data:
        data = data[os.write(REPLIES, data) :]


def furnish(job):
    """Puts the job's files in the working folder."""
    files = dict(job["files"])
    if job["mode"] != "execute":
        files[MAIN] = job["source"].encode("utf-8", "surrogatepass")
    elif job["source"]:
        files[SOURCE] = job["source"].encode("utf-8", "surrogatepass")
    for name, content in files.items():
        if os.path.dirname(name):
            os.makedirs(os.path.dirname(name), exist_ok=True)
        # Executable: one of them may be what a compiler wrote.
        with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o700), "wb") as file:
            file.write(content)


def restrict(job):
    """Sets the limits that the kernel holds for each process: a second line, those of the tree are held outside."""
    file_bytes, cpu_seconds = job["file_bytes"], job["cpu_seconds"]
    # One second of grace: whoever holds the tree sees the limit first, and can tell it from a crash.
    seconds = int(cpu_seconds) + 1
    _limit(resource.RLIMIT_CPU, seconds, seconds + 1)
    _limit(resource.RLIMIT_FSIZE, file_bytes)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, MAX_OPEN_FILES)
    # No bound above: judges let a program raise its own, and what it then uses is memory like any other.
    _limit(resource.RLIMIT_STACK, STACK_BYTES, resource.getrlimit(resource.RLIMIT_STACK)[1])
    if job["address_bytes"]:
        _limit(resource.RLIMIT_AS, job["address_bytes"])
    if job["tasks"]:
        _limit(resource.RLIMIT_NPROC, job["tasks"])


def prepare():
    """Makes an interpreter that was started before there was a program what one is at its start, in the judges' way."""
    resource.setrlimit = _grant
    # Where there is a bound, since Python 3.11; judges print long integers.
    getattr(sys, "set_int_max_str_digits", int)(0)


def open_streams():
    """Opens the three streams anew, as an interpreter does at its start: what they are now is not what they were."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, name)
        buffer: Any = open(number, "wb" if number else "rb", closefd=False)  # noqa: SIM115, it stays
        buffer.raw.name = f"<{name}>"
        stream: Any = io.TextIOWrapper(
            buffer, old.encoding, old.errors, "\n", line_buffering=old.line_buffering, write_through=old.write_through
        )
        stream.mode = "w" if number else "r"
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def perform(job):
    """Does a job other than "run"; never returns. Descriptors 0 to 2 are the program's, CHANNEL the parent's, the rest
    closed."""
    if job["mode"] == "execute":
        _execute(job["command"])
    sys.argv = [MAIN]
    sys.orig_argv = [sys.executable, MAIN]
    sys.path.insert(0, os.getcwd())
    try:
        code = compile(job["source"], MAIN, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
        _refuse()
    if job["mode"] == "check":
        _leave(0)
    # Not "__main__": a block under `if __name__ == "__main__"` reads input that a session does not have.
    module = _module("program")
    sys.setrecursionlimit(RECURSION_LIMIT)
    _run(code, module)
    _serve(module.__dict__, job["output_bytes"])


def _refuse():
    import traceback

    kind, error, _ = sys.exc_info()
    traceback.print_exception(kind, error, None)
    write_frame(("syntax",))
    _leave(1)


def _module(name):
    module = types.ModuleType(name)
    module.__dict__.update(__file__=MAIN, __builtins__=builtins)
    sys.modules[name] = module
    return module


def _run(code, module):
    """Executes the source; leaves as Python would where it raises."""
    try:
        exec(code, module.__dict__)
    except BaseException as error:
        _fail(error)


def _fail(error):
    if isinstance(error, SystemExit):
        code = error.code
        if code is not None and not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
        _leave((code or 0) & 0xFF)
    # The first frame is that of this file.
    trace = error.__traceback__.tb_next if error.__traceback__ else None
    with contextlib.suppress(BaseException):
        sys.excepthook(type(error), error.with_traceback(trace), trace)
    _leave(1)


def _leave(code):
    for stream in (sys.stdout, sys.stderr):
        # A program may have closed it, or put None or something else in its place.
        if stream is None or getattr(stream, "closed", False) is True:
            continue
        try:
            stream.flush()
        except BaseException:
            code = code or 120
    os._exit(code)


def _serve(program, max_bytes):
    """Answers calls until the channel ends."""
    owed, flush = [], sys.stdout.flush

    def ask(value):
        """Answers the present call with a question of the program's, and returns the arguments of the call of RESUME
        that brings the reply. Calls that come before it are answered meanwhile."""
        write_frame((owed[0], "value", value), max_bytes)
        return _answer(program, max_bytes, owed, flush, RESUME)

    program[ASK] = ask
    write_frame(("ready",))
    _answer(program, max_bytes, owed, flush, None)


def _answer(program, max_bytes, owed, flush, until):
    """Answers calls until one of the function `until`, whose arguments are returned; `owed` holds the number of the
    latest call."""
    while True:
        frame = read_frame(CHANNEL)
        if frame is None:
            os._exit(0)
        number, function, arguments, keywords = values.decode(frame)
        owed[:] = [number]
        if until is not None and function == until:
            return arguments
        try:
            result = ("value", _look_up(program, function)(*arguments, **keywords))
        except Exception as error:
            result = _raised(error)
        except BaseException as error:
            # SystemExit, KeyboardInterrupt: the program wants to end.
            _fail(error)
        with contextlib.suppress(Exception):
            flush()
        try:
            write_frame((owed[0], *result), max_bytes)
        except values.NotPlainError as error:
            write_frame((owed[0], "not_plain", error.type_name, str(error)))
        # Not kept until the next call.
        del result, frame, arguments, keywords


def _look_up(program, name):
    """A dotted name in the program's globals. A part that ends in () is called: "Solution().add"."""
    first, *rest = name.split(".")
    found = _called(first, lambda part: _global(program, part))
    for part in rest:
        found = _called(part, lambda part, owner=found: getattr(owner, part))
    return found


def _called(part, get):
    return get(part[:-2])() if part.endswith("()") else get(part)


def _global(program, name):
    if name not in program:
        raise NameError(f"name {name!r} is not defined")
    return program[name]


def _raised(error):
    kind = type(error)
    try:
        message = str(error)[:MAX_MESSAGE]
    except Exception:
        message = ""
    return (
        "raised",
        kind.__name__,
        message if type(message) is str else "",
        getattr(builtins, kind.__name__, None) is kind,
    )


def _execute(command):
    import signal

    os.close(CHANNEL)
    # Python ignores these two; a program expects to find them as they come.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
    _leave(127)


_set_limit = resource.setrlimit


def _grant(kind, limits, /):
    """`resource.setrlimit` of a program: what lies above the bound that the kernel holds here becomes the bound, where
    an interpreter that nobody bounds would have set it."""
    try:
        _set_limit(kind, limits)
    except ValueError:
        soft, hard = limits
        _, most = resource.getrlimit(kind)
        if not (_is_above(hard, most) or (hard == most and _is_above(soft, most))):
            raise
        _set_limit(kind, (most if _is_above(soft, most) else soft, most if _is_above(hard, most) else hard))


def _is_above(value, most):
    return most != resource.RLIM_INFINITY and (value == resource.RLIM_INFINITY or value > most)


def _limit(which, soft, hard=None):
    _, most = resource.getrlimit(which)
    hard = soft if hard is None else hard
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    _set_limit(which, (soft, hard))


def _read_exactly(descriptor, count):
    data = bytearray()
    while len(data) < count:
        part = os.read(descriptor, min(count - len(data), 1 << 20))
        if not part:
            return None
        data += part
    return bytes(data)
