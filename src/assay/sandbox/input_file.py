"""The input of a program, as the file that judges give: it can be measured, mapped and read again, and not be
changed."""

from __future__ import annotations

import os
import sys
import tempfile


def input_file(content: bytes) -> int:
    """A descriptor for reading, at the beginning of a file without a name that holds the content.

    Raises:
        OSError: there is no room for it.
    """
    if sys.platform != "linux":
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            return os.open(file.name, os.O_RDONLY)
    import fcntl

    whole = os.memfd_create("input", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(whole, left) :]
        # Whoever opens it anew by its name in /proc, its owner included, can only read it.
        os.fchmod(whole, 0o444)
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(whole, fcntl.F_ADD_SEALS, seals)
        # An offset of its own, and no right to write: what is mapped from it may then be shared.
        return os.open(f"/proc/self/fd/{whole}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(whole)
