"""Runs programs that nobody trusts, apart from this machine and from each other.

    async with Sandbox() as sandbox:
        run = await sandbox.run(Program("print(input()[::-1])"), stdin=b"abc")
        async with sandbox.open(Program("def add(a, b): return a + b")) as session:
            reply = await session.call("add", (1, 2))

How it works and what it holds: docs/concepts/sandbox.md.
"""

from assay.sandbox.limits import COMPILE_LIMITS, Limits
from assay.sandbox.program import Compiled, Program
from assay.sandbox.reply import CallReply
from assay.sandbox.run import ProgramRun, RunStatus
from assay.sandbox.sandbox import Sandbox
from assay.sandbox.session import Session
from assay.sandbox.values import NotPlainError, decode, encode

__all__ = [
    "COMPILE_LIMITS",
    "CallReply",
    "Compiled",
    "Limits",
    "NotPlainError",
    "Program",
    "ProgramRun",
    "RunStatus",
    "Sandbox",
    "Session",
    "decode",
    "encode",
]
