"""Inside an interpreter of its own: takes one job and does it. For backends that keep nothing warm."""

from __future__ import annotations

import os
import sys

from assay.sandbox import job_runner, values


def main(arguments):
    """Args: `channel`, the descriptor of the parent's channel; None where there is none beside the standard streams."""
    channel = arguments["channel"]
    if channel is None:
        job = values.decode(job_runner.read_frame(0) or b"")
        _use_streams(job["mode"])
        if job["input_is_whole"]:
            _keep_input()
    else:
        if channel != job_runner.CHANNEL:
            os.dup2(channel, job_runner.CHANNEL, inheritable=False)
            os.close(channel)
        job = values.decode(job_runner.read_frame(job_runner.CHANNEL) or b"")
    job_runner.furnish(job)
    job_runner.restrict(job)
    if channel is not None:
        # What fails before this is not the program's.
        job_runner.write_frame(("begun",))
    if job["mode"] == "run":
        # A fresh one, whose every step is the interpreter's own. Judges print long integers.
        environment = {**os.environ, "PYTHONINTMAXSTRDIGITS": "0"}
        os.execve(sys.executable, [sys.executable, job_runner.MAIN], environment)
    job_runner.perform(job)


def _keep_input():
    """Makes a file of standard input, as judges give one."""
    name = "input"
    with open(name, "xb") as file:
        while part := os.read(0, 1 << 20):
            file.write(part)
    descriptor = os.open(name, os.O_RDONLY)
    os.unlink(name)
    os.dup2(descriptor, 0)
    os.close(descriptor)


def _use_streams(mode):
    """Makes a channel of the streams, whose both ends the parent joins; what the program prints is then an error."""
    if mode in ("serve", "check"):
        os.dup2(0, job_runner.CHANNEL, inheritable=False)
        job_runner.REPLIES = os.dup(1)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(2, 1)
    else:
        # Nobody reads it: a program that is refused says so on standard error alone.
        nothing = os.open(os.devnull, os.O_RDWR)
        if nothing != job_runner.CHANNEL:
            os.dup2(nothing, job_runner.CHANNEL, inheritable=False)
            os.close(nothing)
