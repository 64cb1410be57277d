"""The Engine protocol: who samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

import pydantic

from assay.config import Settings
from assay.types import Completion

if TYPE_CHECKING:
    from torch import Tensor


class Sampling(Settings):
    """How to sample. The same temperature divides the trainer's logits; training requires top-p 1 and no top-k."""

    temperature: float = pydantic.Field(default=1.0, ge=0.0, le=10.0)
    """0 is greedy decoding: the most probable token, its log-probability reported at temperature 1."""
    top_p: float = pydantic.Field(default=1.0, gt=0.0, le=1.0)
    top_k: int = pydantic.Field(default=0, ge=0)
    """0: no limit."""
    max_new_tokens: int = pydantic.Field(default=256, ge=1)
    stop: tuple[str, ...] = ()
    """Strings that end a completion, kept in it. The end token ends it in any case."""


class Engine(Protocol):
    """Samples completions; tokens in, tokens out. `check_engine` holds an implementation to this."""

    @property
    def version(self) -> int:
        """Version of the weights that sample now."""
        ...

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, seed: int
    ) -> Completion:
        """One completion of one prompt.

        Token t is chosen by `seeds.uniform(seed, t)` through the inverse of the cumulative distribution (vocabulary
        order), so a result hardly depends on what else is being sampled. Requests under way together share a prompt's
        computation. The end token is part of the completion.

        Raises:
            ContextLengthError: the prompt and one token do not fit in the context.
            EngineError: the engine failed; the request may be tried again.
        """
        ...

    async def abort(self, request_id: str) -> None:
        """Ends a request; its `generate` returns what it has, with finish_reason "abort". Unknown ids are ignored."""
        ...

    async def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Takes new weights under Hugging Face names; requests under way go on with them (see `version_spans`)."""
        ...

    async def close(self) -> None:
        """Aborts what is under way and frees memory."""
        ...
