"""A program that stays, so that its functions can be called one after another."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from assay.sandbox.reply import CallReply
from assay.sandbox.run import ProgramRun, RunStatus
from assay.sandbox.shipment import frame
from assay.sandbox.values import NotPlainError, encode
from assay.sandbox.watch import Watch, drive

ENDED = CallReply("ended")


class Session:
    """One program, loaded in a space of its own. Made by `Sandbox.open`; used by one caller at a time.

    What a call gives is the program's word. Arguments cross one call at a time, so a program never has those of a later
    call, and what is expected of it never crosses.
    """

    def __init__(self, watch: Watch, threads: ThreadPoolExecutor, release: Callable[[ProgramRun], None]) -> None:
        self._watch, self._threads, self._release = watch, threads, release
        self._calls = 0
        self._lock = threading.Lock()
        self._run: ProgramRun | None = None

    @property
    def wall_seconds(self) -> float:
        """On the clock, while anybody waited for the program: nothing that the host did meanwhile."""
        return self._watch.wall_seconds

    async def call(
        self,
        function: str,
        arguments: Sequence[Any] = (),
        keywords: Mapping[str, Any] | None = None,
        *,
        seconds: float | None = None,
    ) -> CallReply:
        """Calls one of the program's functions.

        Args:
            function: a dotted name in the program's globals; a part that ends in "()" is called first:
                "Solution().add".
            arguments: plain values (`assay.sandbox.values`), as `keywords`.
            seconds: on the clock for this call; past it the program is over with TIME_LIMIT. None for what the session
                has left.

        Returns:
            The reply; "ended" where the program is over, and on every call after that.

        Raises:
            NotPlainError: an argument that may not cross.
        """
        if self._run is not None or self._watch.is_over:
            return ENDED
        self._calls += 1
        call = (self._calls, function, list(arguments), dict(keywords or {}))
        return await self._threaded(self._call, self._calls, frame(encode(call)), seconds)

    async def finish(self) -> ProgramRun:
        """Ends the program, and says how it ended: FINISHED where it would still have answered. Safe to call again."""
        return self._run or await self._threaded(self._finish)

    async def _threaded(self, function: Callable[..., Any], *arguments: Any) -> Any:
        future = self._threads.submit(function, *arguments)
        try:
            return await asyncio.shield(asyncio.wrap_future(future))
        except asyncio.CancelledError:
            self._watch.space.kill()
            raise

    def _call(self, number: int, call: bytes, seconds: float | None) -> CallReply:
        # One whose caller was cancelled may still be under way: nobody else drives the watch meanwhile.
        with self._lock:
            return ENDED if self._run is not None else self._answered(number, call, seconds)

    def _answered(self, number: int, call: bytes, seconds: float | None) -> CallReply:
        watch = self._watch
        if watch.has_reply:
            # Nothing was asked.
            watch.kill(RunStatus.RUNTIME_ERROR, "wrote on the channel of its replies")
        watch.tell(call)
        watch.allow(seconds)
        drive([watch], lambda: watch.has_reply or watch.has_ended)
        watch.allow(None)
        reply = watch.next_reply()
        if reply is None or watch.is_over:
            return ENDED
        try:
            return _parsed(reply, number)
        except NotPlainError as error:
            watch.kill(RunStatus.RUNTIME_ERROR, str(error))
            return ENDED

    def abandon(self) -> None:
        """Ends the program where nobody asks how."""
        self._finish()

    def _finish(self) -> ProgramRun:
        with self._lock:
            if self._run is None:
                self._watch.kill(RunStatus.FINISHED, "")
                left = self._watch.has_ended
                run = self._watch.run()
                if left and run.status is RunStatus.FINISHED:
                    # Whatever it exited with, it owed an answer.
                    run = dataclasses.replace(run, status=RunStatus.RUNTIME_ERROR, reason="exited before it was done")
                self._run = run
                self._release(run)
            return self._run


def _parsed(reply: tuple[Any, ...], number: int) -> CallReply:
    """The reply to a call, checked: it was written by the program's own process."""
    match reply:
        case (int() as answered, "value", value) if answered == number:
            return CallReply("value", value=value)
        case (int() as answered, "raised", str() as name, str() as message, bool() as builtin) if answered == number:
            return CallReply("raised", type_name=name, message=message, is_builtin=builtin)
        case (int() as answered, "not_plain", str() as name, str() as message) if answered == number:
            return CallReply("not_plain", type_name=name, message=message)
    raise NotPlainError("wrote on the channel of its replies")
