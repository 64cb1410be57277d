"""An engine that is sent an adapter alone, and has the model that it belongs to."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from assay.engines.engine import Engine
from assay.engines.wrapped import WrappedEngine
from assay.policies.lora.adapter import PREFIX

if TYPE_CHECKING:
    from torch import Tensor

    from assay.policies import AnyPolicy


def is_factor(name: str) -> bool:
    """Return whether a tensor is a factor of an adapter, and no weight of a model."""
    return name.startswith(PREFIX)


class AdaptedEngine(WrappedEngine):
    """Takes the factors of an adapter, merges them into the weights of a model that it keeps, and gives an engine the
    result, which is what the learner would merge; whole weights reach the engine as they are.

    Args:
        policy: the model with an adapter of the same shape; kept, and its factors are written.
    """

    def __init__(self, engine: Engine, policy: AnyPolicy) -> None:
        super().__init__(engine)
        self._policy = policy

    async def started(self) -> None:
        """Returns when the engine is there, where it is in a process of its own."""
        engine: Any = self.engine
        if hasattr(engine, "started"):
            await engine.started()

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
