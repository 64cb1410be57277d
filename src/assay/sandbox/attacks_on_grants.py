"""Attacks through what a program is granted as any interpreter and judge grants it: the names of its streams, limits of
its own, and an end that runs its code."""

from __future__ import annotations

from assay.sandbox.attack import PATIENT, denied, program

_INPUT = b"1 2\n" * 1000

_NAMES = (
    denied(
        "files",
        "what /proc tells of others",
        "names = ('environ', 'cmdline', 'maps', 'mem', 'status', 'fd/', 'task/', 'root/', 'cwd/', 'ns/', 'exe')\n"
        "report(*[lambda path=f'/proc/{number}/{name}': os.listdir(path) if path.endswith('/') else "
        "open(path, 'rb').read(1)\n"
        "    for number in (1, os.getppid(), os.getpid() - 1) for name in names])",
    ),
    denied(
        "files",
        "what /proc tells of the machine",
        "names = ('sys/', 'kallsyms', 'kcore', 'kmsg', 'meminfo', 'cpuinfo', 'cmdline', 'mounts', 'net/', 'net/unix', "
        "'config.gz',\n"
        "    'modules', 'version', 'sysrq-trigger', 'stat', 'uptime', 'keys', 'timer_list', 'sched_debug', 'bus/', "
        "'fs/', 'driver/')\n"
        "report(*[lambda path='/proc/' + name: os.listdir(path) if path.endswith('/') else open(path).read() for name "
        "in names])",
    ),
    denied(
        "files",
        "write by way of /proc",
        "names = ('mem', 'oom_score_adj', 'oom_adj', 'comm', 'clear_refs', 'uid_map', 'gid_map', 'setgroups', "
        "'coredump_filter',\n"
        "    'timerslack_ns', 'loginuid', 'autogroup', 'attr/current', 'sched', 'projid_map', 'timens_offsets')\n"
        "report(*[lambda path=f'/proc/{own}/{name}': open(path, 'wb', 0).write(b'0')\n"
        "    for own in ('self', 'thread-self', os.getpid()) for name in names], lambda: os.mkdir('/proc/new'))",
    ),
    denied(
        "files",
        "a name of another mount",
        "places = ('/proc/self/root', '/proc/self/cwd', '/proc/thread-self/root', f'/proc/{os.getpid()}/root')\n"
        "report(*[lambda place=place, path=path: os.listdir(place + path) for place in places\n"
        "    for path in ('/../etc/ssh', '/home', '/../../work', '/var', '/../proc/1')])",
    ),
    denied(
        "escape",
        "a namespace by its name in /proc",
        "names = ('user', 'mnt', 'pid', 'pid_for_children', 'net', 'ipc', 'uts', 'cgroup')\n"
        "report(*[lambda name=name: system_call(308, os.open('/proc/self/ns/' + name, os.O_RDONLY), 0) for name in "
        "names])",
        machines=("x86_64",),
    ),
    denied(
        "escape",
        "a namespace above its own",
        "import fcntl\n"
        "report(*[lambda name=name: fcntl.ioctl(os.open('/proc/self/ns/' + name, os.O_RDONLY), 0xb702) for name in "
        "('user', 'pid')])",
    ),
    denied(
        "escape",
        "descriptors by name",
        "def find():\n    left = set(os.listdir('/proc/self/fd')) - {'0', '1', '2'}\n"
        "    [path for path in left if os.path.exists('/proc/self/fd/' + path)][0]\nreport(find)",
    ),
    denied(
        "input",
        "write to its input",
        "import mmap\n"
        "def mapped():\n    mmap.mmap(os.open('/dev/stdin', os.O_RDWR), 0)[0:1] = b'9'\n"
        "def allowed():\n    os.chmod('/dev/stdin', 0o666)\n    os.write(os.open('/dev/stdin', os.O_RDWR), b'9')\n"
        "report(allowed, mapped, lambda: os.write(0, b'9'), lambda: os.ftruncate(0, 1), lambda: os.truncate"
        "('/dev/stdin', 1),\n"
        "    lambda: os.truncate('/proc/self/fd/0', 1 << 30), lambda: open('/dev/stdin', 'r+b', 0).write(b'9'),\n"
        "    lambda: open('/dev/fd/0', 'wb'), lambda: os.posix_fallocate(0, 0, 1 << 30))",
        stdin=_INPUT,
    ),
    program(
        "input",
        "steal back its own output",
        "import os\nos.write(1, b'x' * 100)\nos.set_blocking(1, False)\n"
        "for _ in range(100):\n    try: os.read(os.open('/dev/stdout', os.O_RDONLY | os.O_NONBLOCK), 1 << 16)\n"
        "    except OSError: pass\nos._exit(3)",
        "runtime_error",
    ),
    program(
        "input",
        "hold its output's pipe open from both ends",
        "import os\nif not os.fork():\n    os.setsid()\n"
        "    kept = [os.open('/dev/stdout', os.O_RDWR) for _ in range(9)]\n    import time\n"
        "    time.sleep(60)\nos.write(1, b'done\\n')",
        stdout=b"done\n",
    ),
)

_LIMITS = (
    denied(
        "escape",
        "raise its limits",
        "import resource as r\n"
        "def higher(which, soft, hard):\n    before = r.getrlimit(which)[1]\n    r.setrlimit(which, (soft, hard))\n"
        "    after = r.getrlimit(which)\n    [][max(after) <= before and min(after) >= 0]\n"
        "every = (r.RLIMIT_CPU, r.RLIMIT_AS, r.RLIMIT_FSIZE, r.RLIMIT_NPROC, r.RLIMIT_NOFILE, r.RLIMIT_CORE)\n"
        "pairs = ((r.RLIM_INFINITY, r.RLIM_INFINITY), (0, r.RLIM_INFINITY), (1 << 60, 1 << 60))\n"
        "report(*[lambda which=which, pair=pair: higher(which, *pair) for which in every for pair in pairs])",
    ),
    denied(
        "escape",
        "raise its limits past its interpreter",
        "import resource as r, struct\nno = struct.pack('QQ', 2**64 - 1, 2**64 - 1)\n"
        "every = (r.RLIMIT_CPU, r.RLIMIT_AS, r.RLIMIT_FSIZE, r.RLIMIT_NPROC, r.RLIMIT_NOFILE, r.RLIMIT_CORE)\n"
        "report(*[lambda which=which: system_call(160, which, no) for which in every],\n"
        "    *[lambda which=which: system_call(302, 0, which, no, 0) for which in every],\n"
        "    *[lambda which=which: r.prlimit(0, which, (r.RLIM_INFINITY, r.RLIM_INFINITY)) for which in every],\n"
        "    lambda: r.prlimit(os.getppid(), r.RLIMIT_STACK, (1, 1)))",
        machines=("x86_64",),
    ),
    program(
        "memory",
        "a stack without bound",
        "import functools, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_STACK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "sys.setrecursionlimit(1 << 30)\n@functools.cache\ndef f(n): return f(n + 1)\nf(0)",
        "runtime_error",
        "memory_limit",
        limits=PATIENT,
        max_seconds=20.0,
    ),
    program(
        "memory",
        "C++ with a stack without bound",
        "#include <sys/resource.h>\n#include <unistd.h>\n"
        "int f(int n) {\n  volatile char room[4096];\n  for (char volatile &c : room) c = n;\n"
        "  return f(n + 1) + room[n % 9];\n}\n"
        "int main(int argc, char **argv) {\n"
        "  rlimit no = {RLIM_INFINITY, RLIM_INFINITY};\n  if (setrlimit(RLIMIT_STACK, &no)) return 0;\n"
        '  if (argc < 2) execl(argv[0], argv[0], "again", nullptr);\n  return f(0);\n}',
        "runtime_error",
        "memory_limit",
        language="cpp",
        limits=PATIENT,
        max_seconds=20.0,
    ),
)

_LAST = "class Last:\n    def __del__(self):\n        "

_END = (
    program(
        "time", "an end without end", "import atexit\ndef f():\n    while True: pass\natexit.register(f)", "time_limit"
    ),
    program("time", "a finalizer without end", _LAST + "while True: pass\nlast = Last()", "time_limit"),
    program(
        "time",
        "a finalizer that calls itself back",
        _LAST + "global last\n        last = Last()\n        while True: last = Last()\nlast = Last()",
        "time_limit",
        "runtime_error",
        "memory_limit",
        "finished",
    ),
    program(
        "time",
        "a thread that is waited for",
        "import threading\ndef f():\n    while True: pass\nthreading.Thread(target=f).start()",
        "time_limit",
    ),
    program(
        "time",
        "a thread that nobody waits for",
        "import threading\ndef f():\n    while True: pass\n"
        "threading.Thread(target=f, daemon=True).start()\nprint('done')",
        stdout=b"done\n",
    ),
    program(
        "output",
        "output without end at the end",
        "import os\n" + _LAST + "while True: write(1, b'x' * 1000)\nwrite = os.write\nlast = Last()",
        "output_limit",
        "finished",
        limits=PATIENT,
        max_seconds=20.0,
    ),
    program(
        "memory",
        "memory without end at the end",
        "import atexit\nheld = []\ndef f():\n    while True: held.append(bytearray(1 << 20))\natexit.register(f)",
        "memory_limit",
        limits=PATIENT,
        max_seconds=20.0,
    ),
    program(
        "processes",
        "a daemon that is made at the end",
        "import atexit, os, time\ndef f():\n    if not os.fork():\n        os.setsid()\n        time.sleep(60)\n"
        "atexit.register(f)\nprint('done')",
        stdout=b"done\n",
    ),
    program(
        "processes",
        "forks without end at the end",
        "import os\nfork = os.fork\n"
        + _LAST
        + "while True:\n            try: fork()\n            except OSError: pass\n"
        "last = Last()",
        "time_limit",
        "runtime_error",
        "memory_limit",
        limits=PATIENT,
        max_seconds=20.0,
    ),
    program(
        "crash",
        "an end that is taken apart",
        "import sys, gc, builtins\nhook = sys.__interactivehook__\n"
        "for found in gc.get_objects():\n"
        "    if type(found).__name__ in ('_End', '_Hook'): vars(found).clear()\n"
        "vars(hook).clear()\nsys.modules.clear()\nvars(builtins).clear()",
        "finished",
        "runtime_error",
    ),
    program(
        "verdict",
        "an error that its end would hide",
        "import sys\nhook = sys.__interactivehook__\nprint('done')\nraise SystemExit(3)",
        "runtime_error",
    ),
    program(
        "verdict",
        "leave its end for the next run",
        "import atexit, resource, sys\nsys.__interactivehook__ = resource.setrlimit = None\natexit._clear()\n"
        "sys.setrecursionlimit(100)\nsys.modules['__main__'] = None",
        "finished",
        "runtime_error",
        sequel="import sys, resource\n"
        "print('denied' if callable(resource.setrlimit) and sys.getrecursionlimit() == 1000 and callable("
        "sys.__interactivehook__) else 'reached')",
    ),
)

GRANTS = (*_NAMES, *_LIMITS, *_END)
