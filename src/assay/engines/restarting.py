"""Completions of one version: what is under way when new weights come begins again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from assay.engines.engine import Engine, Sampling
from assay.engines.wrapped import WrappedEngine
from assay.types import Completion

if TYPE_CHECKING:
    from torch import Tensor


class RestartingEngine(WrappedEngine):
    """An engine whose requests under way are taken back before new weights are loaded, and asked again after, from
    their first token and with the same seed.

    Whoever loads weights does it within `renewed`.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._open = asyncio.Event()
        self._open.set()
        self._under_way: set[asyncio.Task[Completion]] = set()
        self._taken_back: set[asyncio.Task[Completion]] = set()
        self._num_restarted = 0

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, seed: int
    ) -> Completion:
        """See `Engine.generate`. All tokens of a completion are of one version."""
        while True:
            await self._open.wait()
            asked: Any = self.engine.generate(prompt_ids, sampling, request_id=request_id, seed=seed)
            asking: asyncio.Task[Completion] = asyncio.create_task(asked)
            self._under_way.add(asking)
            try:
                return await asking
            except asyncio.CancelledError:
                own = asyncio.current_task()
                if asking not in self._taken_back or (own is not None and own.cancelling()):
                    raise
            finally:
                self._under_way.discard(asking)
                self._taken_back.discard(asking)

    @asynccontextmanager
    async def renewed(self) -> AsyncIterator[None]:
        """The time in which new weights are loaded: nothing is under way, and what is asked meanwhile waits."""
        self._open.clear()
        taken = tuple(self._under_way)
        self._taken_back.update(taken)
        for asking in taken:
            asking.cancel()
        await asyncio.gather(*taken, return_exceptions=True)
        self._num_restarted += sum(asking.cancelled() for asking in taken)
        try:
            yield
        finally:
            self._open.set()

    def take_num_restarted(self) -> int:
        """Return how many completions began again since the last call."""
        number, self._num_restarted = self._num_restarted, 0
        return number

    async def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        async with self.renewed():
            await self.engine.load_weights(weights, version)
