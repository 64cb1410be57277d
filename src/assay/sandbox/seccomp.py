"""The seccomp filter of a run: system calls that programs never need and that reach beyond their space.

Denied calls fail with EPERM; `clone3`, whose flags a filter cannot read, and calls newer than the table with ENOSYS, on
which C libraries fall back. A call by another architecture's table kills. What isolates is the namespaces and the
absence of capabilities; this takes away kernel code that a hole would be in.
"""

from __future__ import annotations

import struct

NEWEST_CALL = 470
"""Numbers above it are unknown to this table. Also refuses the x32 table, whose numbers begin at 2 ** 30."""
NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET in the first argument of `clone`."""
AF_UNIX = 1
EPERM, ENOSYS = 1, 38

_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_LOAD, _EQUAL, _GREATER, _ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENT_AT = 0, 4, 16

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# Numbers from 424 on are the same everywhere.
_COMMON = {
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "mount_setattr": 442,
    "quotactl_fd": 443,
    "memfd_secret": 447,
    "process_mrelease": 448,
    "set_mempolicy_home_node": 450,
    "statmount": 457,
    "listmount": 458,
    "open_tree_attr": 467,
}
# fmt: off
DENIED = {
    "x86_64": _COMMON | {
        "shmget": 29, "shmat": 30, "shmctl": 31, "semget": 64, "semop": 65, "semctl": 66, "shmdt": 67, "msgget": 68,
        "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "ptrace": 101, "syslog": 103, "personality": 135, "modify_ldt": 154,
        "pivot_root": 155, "adjtimex": 159, "chroot": 161, "acct": 163, "settimeofday": 164, "mount": 165,
        "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169, "sethostname": 170, "setdomainname": 171,
        "iopl": 172, "ioperm": 173, "init_module": 175, "delete_module": 176, "quotactl": 179, "lookup_dcookie": 212,
        "semtimedop": 220, "clock_settime": 227, "mbind": 237, "set_mempolicy": 238, "get_mempolicy": 239,
        "mq_open": 240, "mq_unlink": 241, "mq_timedsend": 242, "mq_timedreceive": 243, "mq_notify": 244,
        "mq_getsetattr": 245, "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250, "ioprio_set": 251,
        "migrate_pages": 256, "unshare": 272, "vmsplice": 278, "move_pages": 279, "perf_event_open": 298,
        "fanotify_init": 300, "fanotify_mark": 301, "name_to_handle_at": 303, "open_by_handle_at": 304,
        "clock_adjtime": 305, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312,
        "finit_module": 313, "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323,
    },
    "aarch64": _COMMON | {
        "lookup_dcookie": 18, "ioprio_set": 30, "umount2": 39, "mount": 40, "pivot_root": 41, "chroot": 51,
        "quotactl": 60, "vmsplice": 75, "acct": 89, "personality": 92, "unshare": 97, "kexec_load": 104,
        "init_module": 105, "delete_module": 106, "clock_settime": 112, "syslog": 116, "ptrace": 117, "reboot": 142,
        "sethostname": 161, "setdomainname": 162, "settimeofday": 170, "adjtimex": 171, "mq_open": 180,
        "mq_unlink": 181, "mq_timedsend": 182, "mq_timedreceive": 183, "mq_notify": 184, "mq_getsetattr": 185,
        "msgget": 186, "msgctl": 187, "msgrcv": 188, "msgsnd": 189, "semget": 190, "semctl": 191, "semtimedop": 192,
        "semop": 193, "shmget": 194, "shmctl": 195, "shmat": 196, "shmdt": 197, "add_key": 217, "request_key": 218,
        "keyctl": 219, "swapon": 224, "swapoff": 225, "mbind": 235, "get_mempolicy": 236, "set_mempolicy": 237,
        "migrate_pages": 238, "move_pages": 239, "perf_event_open": 241, "fanotify_init": 262, "fanotify_mark": 263,
        "name_to_handle_at": 264, "open_by_handle_at": 265, "clock_adjtime": 266, "setns": 268,
        "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "finit_module": 273, "bpf": 280,
        "userfaultfd": 282, "kexec_file_load": 294,
    },
}
# fmt: on
_CLONE = {"x86_64": 56, "aarch64": 220}
_SOCKET = {"x86_64": 41, "aarch64": 198}
# Calls on another process, whose number is the first argument; 0 is the caller.
OF_ITSELF_ONLY = {
    "x86_64": {"sched_setparam": 142, "sched_setscheduler": 144, "sched_setaffinity": 203, "prlimit64": 302,
               "sched_setattr": 314},
    "aarch64": {"sched_setparam": 118, "sched_setscheduler": 119, "sched_setaffinity": 122, "prlimit64": 261,
                "sched_setattr": 274},
}  # fmt: skip
_SETPRIORITY = {"x86_64": 141, "aarch64": 140}
_CLONE3 = 435
_MEMFD_CREATE = {"x86_64": 319, "aarch64": 279}


def seccomp_filter(machine: str, *, allows_memfd: bool = True) -> bytes:
    """The filter as an array of `struct sock_filter`.

    Args:
        machine: as `platform.machine()` names it.
        allows_memfd: whether files without a name may be made. Only a control group counts their memory.

    Raises:
        KeyError: an architecture whose calls are not in the table.
    """
    denied = sorted([*DENIED[machine].values(), *(() if allows_memfd else (_MEMFD_CREATE[machine],))])
    own = sorted(OF_ITSELF_ONLY[machine].values())
    # The returns come last: a jump counts the instructions between.
    returns = {"deny": _ERRNO | EPERM, "missing": _ERRNO | ENOSYS, "kill": _KILL, "allow": _ALLOW}
    code: list[tuple[int, int | str, int | str, int]] = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 0, "kill", ARCHITECTURES[machine]),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_GREATER, "missing", 0, NEWEST_CALL),
        (_EQUAL, "missing", 0, _CLONE3),
        # Each block skips itself where the call is another.
        (_EQUAL, 0, 2, _CLONE[machine]),
        (_LOAD, 0, 0, _ARGUMENT_AT),
        (_ANY_BIT, "deny", "allow", NEW_NAMESPACES),
        (_EQUAL, 0, 2, _SOCKET[machine]),
        (_LOAD, 0, 0, _ARGUMENT_AT),
        (_EQUAL, "allow", "deny", AF_UNIX),
        # "Which" and "who" must both be 0: this process, not a group's or a user's.
        (_EQUAL, 0, 4, _SETPRIORITY[machine]),
        (_LOAD, 0, 0, _ARGUMENT_AT),
        (_EQUAL, 0, "deny", 0),
        (_LOAD, 0, 0, _ARGUMENT_AT + 8),
        (_EQUAL, "allow", "deny", 0),
        *((_EQUAL, "deny", 0, number) for number in denied),
        # Last: these leave another argument than the number loaded. The kernel reads the low word alone.
        *((_EQUAL, len(own) - index, 0, number) for index, number in enumerate(own)),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _ARGUMENT_AT),
        (_EQUAL, 0, "deny", 0),
        (_RETURN, 0, 0, _ALLOW),
    ]
    at = {name: len(code) + index for index, name in enumerate(returns)}

    def jump(target: int | str, index: int) -> int:
        return target if isinstance(target, int) else at[target] - index - 1

    lines = [(kind, jump(yes, index), jump(no, index), k) for index, (kind, yes, no, k) in enumerate(code)]
    lines += [(_RETURN, 0, 0, value) for value in returns.values()]
    return b"".join(struct.pack("<HBBI", *line) for line in lines)
