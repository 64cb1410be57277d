"""Inside a worker's space: a warm interpreter that forks each run into a space of its own. Never runs a program itself.

It serves while it starts: from its `sitecustomize`, before it looks at the `main.py` that it was started with. The
process of a Python program goes on from there: the interpreter itself reads, runs and ends it, with no frame of ours
below it.

    zygote          has what forking needs: CAP_SYS_ADMIN in the worker's user namespace
      `-- holder    process 1 of the run: its own process and mount namespaces; holds the private folder; tells the end
            `-- program   process 2: no capability, seccomp, limits; every other descriptor closed

The holder ignores every signal from inside, as the kernel has it for the first process of a namespace, and its end ends
all others. Only it has the pipe on which the end is told. Runs on Python 3.9 and newer, with the standard library only.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` makes an enum of every number, in every run
import builtins
import contextlib
import ctypes
import fcntl
import gc
import importlib
import os
import socket
import struct
import sys
import types

from assay.sandbox import end, job_runner, values

REQUEST = struct.Struct("<QQQ")
"""A number drawn for this request, which the answer begins with; size of the private folder in bytes, and its files."""
NUMBER = struct.Struct("<Q")
END = struct.Struct("<iqq?")
"""The end as it is told, of the program: wait status, microseconds of CPU, peak bytes of its largest process; of the
holder: whether it failed, and then the status is an errno."""
READY = b"ready"
NUM_DESCRIPTORS = 5
FOLDER = "/tmp"

_NEW_MOUNTS, _NEW_PROCESSES = 0x00020000, 0x20000000
_NOSUID_NODEV = 2 | 4
_READ_ONLY_NO_EXEC = 1 | 8
_SET_DUMPABLE, _SET_SECCOMP, _DROP_BOUND, _NO_NEW_PRIVILEGES, _AMBIENT = 4, 22, 24, 38, 47
_CAPABILITIES = (21, 8)
_CAPABILITY_VERSION = 0x20080522
_BEGINS = 4
_CLOSE_RANGE = 436
_EVERY = 0xFFFFFFFF

_libc: ctypes.CDLL
"""Set by `main`: the parent imports this module on systems whose C library has none of these calls."""
_interpreter: ctypes.PyDLL
"""The same, called without giving up the interpreter's lock."""


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def main(arguments):
    """Serves runs until the parent hangs up. Returns in the process of a Python program that is to be run.

    Args: `control`, the parent's socket; `filter`, the seccomp filter; `modules`, names to import now.
    """
    _open_libc()
    # Above the numbers that a run's descriptors get.
    control = socket.socket(fileno=fcntl.fcntl(arguments["control"], fcntl.F_DUPFD_CLOEXEC, 64))
    # The original among them: it has whatever number was free in the parent, and no run may inherit it.
    _close_all_but(0, 1, 2, control.fileno())
    nothing = os.open(os.devnull, os.O_RDWR)
    # Held, so that no run's descriptor arrives at a number that another one is to be moved to.
    os.dup2(nothing, job_runner.CHANNEL)
    # Children are gone as soon as they end; nobody here waits for them.
    _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)
    for name in arguments["modules"]:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    job_runner.prepare()
    end.shorten(os.path.join(FOLDER, job_runner.MAIN), _libc.fflush, globals())
    code = arguments["filter"]
    space = {
        "filter": _Filter(len(code) // 8, code),
        "processes": os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC),
        "proc": os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC),
    }
    gc.collect()
    # What is here now is never freed: no run pays for looking at it.
    gc.freeze()
    _renew_main()
    control.sendall(READY)
    os.dup2(nothing, 2)
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, REQUEST.size, NUM_DESCRIPTORS)
        if len(request) < REQUEST.size:
            os._exit(0)
        number, *sizes = REQUEST.unpack(request)
        if not descriptors:
            # Nothing to run: the question whether somebody is here.
            control.sendall(NUMBER.pack(number) + READY)
            continue
        try:
            holder = _fork_holder(space, sizes, descriptors)
        except OSError as error:
            control.sendall(NUMBER.pack(number) + str(error).encode()[:200])
        else:
            if holder is None:
                # Its number is closed already.
                control.detach()
                return
            socket.send_fds(control, [NUMBER.pack(number) + READY], [holder])
            os.close(holder)
        for descriptor in descriptors:
            os.close(descriptor)


def _renew_main():
    """Makes the module that a program runs in anew, as an interpreter has it at its start. The one that was frozen
    would never be collected, and a program's finalizers would find its variables gone."""
    main = types.ModuleType("__main__")
    main.__dict__.update(__annotations__={}, __builtins__=builtins)
    sys.modules["__main__"] = main
    # What an interpreter finds that asks whether its main file is an archive.
    sys.path_importer_cache[os.path.join(FOLDER, job_runner.MAIN)] = None


def _fork_holder(space, sizes, descriptors):
    """A descriptor of the new holder; None in the process of a program that is to be run."""
    _check(_libc.unshare(_NEW_PROCESSES), "unshare")
    try:
        # Without what an interpreter does after a fork: the holder has no other thread, and runs little.
        child = _interpreter.fork()
    finally:
        # Back, in the parent: a second unshare is refused otherwise. In the child it is refused, and means nothing.
        _libc.setns(space["processes"], _NEW_PROCESSES)
    _check(child < 0, "fork")
    if not child:
        return _hold(space, sizes, descriptors)
    return os.pidfd_open(child)


def _hold(space, sizes, descriptors):
    """Process 1 of a run. Returns in process 2, the program's, where that is to be run."""
    *streams, told = descriptors
    program = None
    try:
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        _mount_folders(*sizes)
        begun, begins = os.pipe()
        # No program finds anything of this process in /proc.
        _libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0)
        program = os.fork()
        if not program:
            _become_program(space, streams, begins)
            return
        os.close(begins)
        for descriptor in streams:
            os.close(descriptor)
        child = 0
        while child != program:
            child, status, usage = os.wait4(-1, 0)
        if not os.read(begun, 1):
            raise OSError(status, "the program did not begin")
        microseconds = int((usage.ru_utime + usage.ru_stime) * 1e6)
        os.write(told, END.pack(status, microseconds, usage.ru_maxrss * 1024, False))
    except OSError as error:
        os.write(told, END.pack(error.errno or 1, 0, 0, True))
    finally:
        if program != 0:
            os._exit(0)


def _mount_folders(num_bytes, num_files):
    """Fresh private folders where the worker's own would be seen or could be written."""
    _check(_libc.unshare(_NEW_MOUNTS), "unshare")
    size = f"size={num_bytes},nr_inodes={num_files},mode=700"
    _check(_libc.mount(b"tmpfs", FOLDER.encode(), b"tmpfs", _NOSUID_NODEV, size.encode()), "mount")
    _check(_libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", _NOSUID_NODEV, size.encode()), "mount")
    flags = _NOSUID_NODEV | _READ_ONLY_NO_EXEC
    # What a process may see of itself, /dev/stdin above all, and nothing of the machine or the holder.
    if _libc.mount(b"proc", b"/proc", b"proc", flags, b"hidepid=2,subset=pid"):
        # Before Linux 5.8 there is no such part.
        _check(_libc.mount(b"tmpfs", b"/proc", b"tmpfs", flags, b"size=4k,nr_inodes=1,mode=555"), "mount")


def _become_program(space, streams, begins):
    """Process 2 of a run: gives up everything, then does its job. Returns where a Python program is to be run."""
    try:
        os.setsid()
        _libc.prctl(_SET_DUMPABLE, 1, 0, 0, 0)
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number, inheritable=number < job_runner.CHANNEL)
        _go_first(space["proc"])
        if begins != _BEGINS:
            os.dup2(begins, _BEGINS)
        _close_from(_BEGINS + 1)
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)
        # Not the folder of the same name that this one lies over.
        os.chdir(FOLDER)
        job = values.decode(job_runner.read_frame(job_runner.CHANNEL) or b"")
        job_runner.furnish(job)
        job_runner.restrict(job)
        _give_up_privileges()
        _check(_libc.prctl(_SET_SECCOMP, 2, ctypes.addressof(space["filter"]), 0, 0), "seccomp")
        # A failure after this is the program's; and it never has the descriptor.
        os.write(_BEGINS, b"1")
        os.close(_BEGINS)
    except BaseException:
        os._exit(1)
    leave = os._exit
    try:
        job_runner.open_streams()
        if job["mode"] == "run":
            os.close(job_runner.CHANNEL)
            # Nothing of the program has run yet, and nothing of ours is left when it does.
            return
        job_runner.perform(job)
    except BaseException:
        pass
    # Never back into the holder's code, which this process has too; whatever the program put in the place of this.
    leave(1)


def _open_libc():
    global _interpreter, _libc
    _interpreter = ctypes.PyDLL(None)
    _libc = ctypes.CDLL(None, use_errno=True)
    _libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    _libc.fflush.argtypes = [ctypes.c_void_p]
    # Looked up once, here.
    _ = _libc.setns, _libc.syscall, _libc.unshare, _libc.capset, _interpreter.fork
    _libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]


def _close_all_but(*kept):
    for number in map(int, os.listdir("/proc/self/fd")):
        if number not in kept:
            # The one that the list was read from is gone.
            with contextlib.suppress(OSError):
                os.close(number)


def _close_from(first):
    """Closes every descriptor from a number on, with no bound above where the kernel can (Linux 5.9)."""
    if _libc.syscall(ctypes.c_long(_CLOSE_RANGE), ctypes.c_uint(first), ctypes.c_uint(_EVERY), ctypes.c_uint(0)):
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def _go_first(proc):
    """Have this process and its children die before any other where memory runs out."""
    try:
        descriptor = os.open("self/oom_score_adj", os.O_WRONLY, dir_fd=proc)
        os.write(descriptor, b"1000")
    except OSError:
        pass


def _give_up_privileges():
    _check(_libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0), "no_new_privs")
    _check(_libc.prctl(_AMBIENT, 4, 0, 0, 0), "ambient capabilities")
    for capability in _CAPABILITIES:
        _check(_libc.prctl(_DROP_BOUND, capability, 0, 0, 0), "bounding set")
    header = struct.pack("<Ii", _CAPABILITY_VERSION, 0)
    _check(_libc.capset(header, bytes(24)), "capset")


def _check(result, what):
    if result:
        number = ctypes.get_errno()
        raise OSError(number, what + ": " + os.strerror(number))
