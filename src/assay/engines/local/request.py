"""A request under way: its prompt, its sampled tokens, and where they are cached."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from assay.engines.engine import Sampling
from assay.engines.local.prefixes import Place
from assay.engines.local.sampler import Draw
from assay.types import Completion, FinishReason


@dataclass(eq=False)
class Request:
    """A prompt, how to continue it, and what has been sampled so far."""

    request_id: str
    prompt_ids: tuple[int, ...]
    sampling: Sampling
    seed: int
    future: asyncio.Future[Completion]
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    version_spans: list[tuple[int, int]] = field(default_factory=list)
    slot: int | None = None
    """The request's number among those that run; None while it waits."""
    place: Place | None = None
    """Where the local engine has the request's keys and values; None while it waits."""

    @property
    def sequence(self) -> tuple[int, ...]:
        """Prompt and sampled tokens."""
        return (*self.prompt_ids, *self.token_ids)

    @property
    def num_computed(self) -> int:
        """Tokens whose keys and values are there: all but the one sampled last, which nobody has read yet."""
        return len(self.prompt_ids) + max(len(self.token_ids) - 1, 0)

    @property
    def draw(self) -> Draw:
        return Draw(self.sampling, self.seed, len(self.token_ids))

    def append(self, token_id: int, logprob: float, version: int) -> None:
        if not self.version_spans or self.version_spans[-1][1] != version:
            self.version_spans.append((len(self.token_ids), version))
        self.token_ids.append(token_id)
        self.logprobs.append(logprob)

    def complete(self, reason: FinishReason, version: int) -> None:
        """Hand what was sampled to whoever waits. `version` is noted where no token was."""
        if self.future.done():
            return
        spans = tuple(self.version_spans) or ((0, version),)
        self.future.set_result(Completion(tuple(self.token_ids), tuple(self.logprobs), reason, spans))
