"""Inside an interpreter of its own: takes one job and does it. For backends that keep nothing warm."""

from __future__ import annotations

import os

from assay.sandbox import guest, values


def main(arguments):
    """Args: `channel`, the descriptor of the parent's channel."""
    channel = arguments["channel"]
    if channel != guest.CHANNEL:
        os.dup2(channel, guest.CHANNEL, inheritable=False)
        os.close(channel)
    job = values.decode(guest.read_frame(guest.CHANNEL) or b"")
    guest.furnish(job)
    guest.restrict(job)
    guest.perform(job)
