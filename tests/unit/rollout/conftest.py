"""An engine whose answers, delays and failures a test writes down, over the tiny model's tokenizer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from assay.engines.engine import Sampling
from assay.errors import ContextLengthError
from assay.render import ChatRenderer, load_renderer
from assay.types import Completion


class BookEngine:
    """Answers from a book: `answer(prompt text, seed)`, ended by the end token where it fits.

    `delay(request_id)` is how many turns of the event loop a request takes; `failure(request_id, attempt)` may return
    an exception to raise, with attempt = 0, 1, ... counting the tries of one request id.
    """

    def __init__(self, renderer: ChatRenderer, max_context: int) -> None:
        self._renderer = renderer
        self._max_context = max_context
        self.version = 0
        self.answer: Callable[[str, int], str] = lambda prompt, seed: str(seed % 10)
        self.delay: Callable[[str], int] = lambda request_id: 1
        self.failure: Callable[[str, int], Exception | None] = lambda request_id, attempt: None
        self.calls: list[tuple[str, int, tuple[int, ...]]] = []
        """(request id, seed, prompt ids) in the order in which they came."""
        self.tries: Counter[str] = Counter()
        self.under_way: set[str] = set()
        self.aborted: list[str] = []
        self.forgotten_after: list[int] = []
        """Number of calls until each time that it was told to forget."""
        self.gives_up = False
        """Whether requests come back with finish_reason "abort"."""

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, seed: int
    ) -> Completion:
        room = self._max_context - len(prompt_ids)
        if room < 1:
            raise ContextLengthError(f"{len(prompt_ids)} tokens do not fit in {self._max_context}")
        assert request_id not in self.under_way
        self.calls.append((request_id, seed, tuple(prompt_ids)))
        attempt = self.tries[request_id]
        self.tries[request_id] += 1
        self.under_way.add(request_id)
        version = self.version
        try:
            for _ in range(self.delay(request_id)):
                await asyncio.sleep(0)
            if error := self.failure(request_id, attempt):
                raise error
        finally:
            self.under_way.discard(request_id)
        text = self.answer(self._renderer.decode(prompt_ids), seed)
        whole = (*self._renderer._encode(text), *self._renderer.stop_token_ids)
        token_ids = whole[: min(room, sampling.max_new_tokens)]
        reason = "abort" if self.gives_up else "stop" if token_ids == whole else "length"
        return Completion(token_ids, (-0.5,) * len(token_ids), reason, ((0, version),))

    async def abort(self, request_id: str) -> None:
        self.aborted.append(request_id)

    async def load_weights(self, weights: Iterable[tuple[str, Any]], version: int) -> None:
        self.version = version

    def forget(self) -> None:
        self.forgotten_after.append(len(self.calls))

    async def close(self) -> None:
        return None


@pytest.fixture(scope="session")
def renderer(tiny_model: Path) -> ChatRenderer:
    return load_renderer(tiny_model)


@pytest.fixture
def engine(renderer: ChatRenderer) -> BookEngine:
    return BookEngine(renderer, max_context=400)
