"""A worker's first steps, in a process of its own: joins its cgroups, becomes an unused user, and executes bubblewrap.

As root, what is shown in the space is first bound where that user reaches it: a folder like /root is closed to it. The
mount namespace is private, so nothing of this is seen or left outside. Standard library only; takes a JSON argument.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys

_NEW_MOUNTS = 0x00020000
_BIND, _RECURSIVE, _PRIVATE = 4096, 16384, 1 << 18


def main(plan):
    """Never returns.

    Args: a dict with `cgroups`, files to write one's number to; `user`, the number to become or None; `stage`, a folder
    to cover with the shown ones; `shown`, from a token to the path it stands for in `command`.
    """
    for path in plan["cgroups"]:
        with open(path, "w") as file:
            file.write("0")
    paths = plan["shown"]
    if plan["user"] is not None:
        paths = _staged(plan["stage"], paths) or paths
        os.setgroups([])
        os.setresgid(plan["user"], plan["user"], plan["user"])
        os.setresuid(plan["user"], plan["user"], plan["user"])
    command = []
    for word in plan["command"]:
        token, slash, rest = word.partition("/")
        command.append(paths[token] + slash + rest if token in paths else word)
    os.execv(command[0], command)


def _staged(stage, shown):
    """The same paths bound under the stage; None where this root may not mount."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
    if libc.unshare(_NEW_MOUNTS) or libc.mount(None, b"/", None, _RECURSIVE | _PRIVATE, None):
        return None
    # In the new namespace, and before the stage may cover them.
    sources = {token: os.open(path, os.O_PATH) for token, path in shown.items()}
    if libc.mount(b"tmpfs", stage.encode(), b"tmpfs", 0, b"mode=755,size=64k"):
        return None
    staged = {}
    for token, descriptor in sources.items():
        staged[token] = os.path.join(stage, token)
        if os.path.isdir(shown[token]):
            os.mkdir(staged[token])
        else:
            open(staged[token], "w").close()
        source = f"/proc/self/fd/{descriptor}"
        if libc.mount(source.encode(), staged[token].encode(), None, _BIND | _RECURSIVE, None):
            raise OSError(ctypes.get_errno(), "bind " + shown[token])
        os.close(descriptor)
    return staged


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
