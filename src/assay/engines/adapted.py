"""An engine that is sent an adapter alone, and has the model that it belongs to."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from assay.engines.engine import Engine, EngineCapabilities, Sampling
from assay.policies.lora.adapter import PREFIX
from assay.types import Completion

if TYPE_CHECKING:
    from torch import Tensor

    from assay.policies import AnyPolicy


def is_factor(name: str) -> bool:
    """Return whether a tensor is a factor of an adapter, and no weight of a model."""
    return name.startswith(PREFIX)


class AdaptedEngine:
    """Takes the factors of an adapter, merges them into the weights of a model that it keeps, and gives an engine the
    result, which is what the learner would merge. Implements `Engine`; whole weights reach the engine as they are.

    Args:
        policy: the model with an adapter of the same shape; kept, and its factors are written.
    """

    def __init__(self, engine: Engine, policy: AnyPolicy) -> None:
        self.engine = engine
        self._policy = policy

    @property
    def capabilities(self) -> EngineCapabilities:
        return self.engine.capabilities

    @property
    def version(self) -> int:
        return self.engine.version

    async def started(self) -> None:
        """Returns when the engine is there, where it is in a process of its own."""
        engine: Any = self.engine
        if hasattr(engine, "started"):
            await engine.started()

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, seed: int
    ) -> Completion:
        return await self.engine.generate(prompt_ids, sampling, request_id=request_id, seed=seed)

    async def abort(self, request_id: str) -> None:
        await self.engine.abort(request_id)

    async def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """See `Engine.load_weights`.

        Raises:
            ModelError: factors that do not fit the model.
        """
        rest = iter(weights)
        first = next(rest, None)
        given = [] if first is None else itertools.chain([first], rest)
        if first is not None and is_factor(first[0]):
            self._policy.load_weights(given)
            given = self._policy.weights()
        await self.engine.load_weights(given, version)

    def forget(self) -> None:
        self.engine.forget()

    async def close(self) -> None:
        await self.engine.close()
