"""An engine that is another one, but for what a subclass changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from assay.engines.engine import Engine, EngineCapabilities, Sampling
from assay.types import Completion

if TYPE_CHECKING:
    from torch import Tensor


class WrappedEngine:
    """Hands everything on to another engine; subclasses change what they are for. Implements `Engine`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def capabilities(self) -> EngineCapabilities:
        return self.engine.capabilities

    @property
    def version(self) -> int:
        return self.engine.version

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, seed: int
    ) -> Completion:
        """See `Engine.generate`."""
        return await self.engine.generate(prompt_ids, sampling, request_id=request_id, seed=seed)

    async def abort(self, request_id: str) -> None:
        await self.engine.abort(request_id)

    async def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """See `Engine.load_weights`."""
        await self.engine.load_weights(weights, version)

    def forget(self) -> None:
        self.engine.forget()

    async def close(self) -> None:
        await self.engine.close()
