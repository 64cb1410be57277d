"""IdleEngine: the engine of a run that samples nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from assay.engines.engine import EngineCapabilities, Sampling
from assay.errors import EngineError
from assay.types import Completion

if TYPE_CHECKING:
    from torch import Tensor


class IdleEngine:
    """Holds no weights, and so costs no memory and no time where all responses are given.

    Args:
        version: of the weights that it would have.
    """

    def __init__(self, version: int = 0) -> None:
        self._version = version

    @property
    def capabilities(self) -> EngineCapabilities:
        return EngineCapabilities(decides_by_seed=True, is_reproducible=True)

    @property
    def version(self) -> int:
        return self._version

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, seed: int
    ) -> Completion:
        """Sample nothing.

        Raises:
            EngineError: always.
        """
        raise EngineError("this run samples nothing: its responses are given")

    async def abort(self, request_id: str) -> None:
        return

    async def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        self._version = version

    def forget(self) -> None:
        return

    async def close(self) -> None:
        return
