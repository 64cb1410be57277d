"""An event loop whose clock stands still while anything runs, and jumps to the next time limit where nothing does.

What a limit of seconds decides is then decided by the test and by no machine. For code that waits for no thread,
process or socket.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Its clock reads 0 at first."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Jump(self))

    def time(self) -> float:
        return self.now


class _Jump(selectors.DefaultSelector):
    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "everything waits, and nothing will ever happen"
        found = super().select(0)
        if not found:
            self._loop.now += max(timeout, 0.0)
        return found


def run(coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
    """`asyncio.run` with a simulated clock."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(coroutine)


def pass_seconds(seconds: float) -> None:
    """Let so many seconds go by in which the running event loop is blocked."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    loop.now += seconds
