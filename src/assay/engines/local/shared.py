"""Prompts that several requests continue: their keys and values are stored once, and read once for all of them.

Shape letters: P shared prompts, M most requests of one of them, n requests under way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assay.engines.local.cache import KeyValueCache


@dataclass(eq=False)
class SharedPrompt:
    """A prompt in the cache of prompts, and how many requests under way continue it."""

    token_ids: tuple[int, ...]
    slot: int
    generation: int
    """Number of the weight load that computed the prompt."""
    num_requests: int = 0


class SharedPrompts:
    """The prompts that are stored once; each leaves with its last request."""

    def __init__(self, cache: KeyValueCache) -> None:
        self.cache = cache
        self.prompts: list[SharedPrompt] = []
        """prompts[i] has row i of the cache."""

    def find(self, token_ids: tuple[int, ...], generation: int) -> SharedPrompt | None:
        return next((p for p in self.prompts if p.generation == generation and p.token_ids == token_ids), None)

    def add(self, token_ids: tuple[int, ...], generation: int) -> SharedPrompt:
        """Return a prompt with a row of the cache, yet to be computed."""
        prompt = SharedPrompt(token_ids, len(self.prompts), generation)
        self.prompts.append(prompt)
        self.cache.reserve(len(self.prompts), max(len(p.token_ids) for p in self.prompts))
        return prompt

    def leave(self, prompt: SharedPrompt) -> None:
        """Take one ended request from the prompt. The last row takes the place of a prompt that nobody continues."""
        prompt.num_requests -= 1
        if prompt.num_requests:
            return
        last = self.prompts.pop()
        if last is not prompt:
            self.cache.copy(last.slot, [prompt.slot], len(last.token_ids))
            self.prompts[prompt.slot] = last
            last.slot = prompt.slot

    def clear(self) -> None:
        self.prompts.clear()
        self.cache.clear()


@dataclass(frozen=True)
class Sharing:
    """The assignment of the requests of one pass to the shared prompts that they continue."""

    cache: KeyValueCache
    lengths: list[int]
    """[P] tokens of each shared prompt."""
    members: list[list[int]]
    """[P][at most M] the rows, among the n of the pass, that continue it."""

    @staticmethod
    def of(shared: SharedPrompts, continued: Sequence[SharedPrompt | None]) -> Sharing | None:
        """Return the sharing of a pass; None where no shared prompt is stored."""
        if not shared.prompts:
            return None
        members: list[list[int]] = [[] for _ in shared.prompts]
        for row, prompt in enumerate(continued):
            if prompt is not None:
                members[prompt.slot].append(row)
        return Sharing(shared.cache, [len(prompt.token_ids) for prompt in shared.prompts], members)
