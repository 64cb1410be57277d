"""A run within a limit of memory: what can be made smaller without changing what is computed, but for rounding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from assay.errors import ConfigError
from assay.training.memory import MemoryEstimate

GIB = 2**30


@dataclass(frozen=True)
class MemoryShares:
    """The parts of a run's memory that can be chosen."""

    tokens_per_microbatch: int
    num_slots: int
    prefix_cache_bytes: int

    def line(self) -> str:
        """The shares in words."""
        kept = f"{self.prefix_cache_bytes / GIB:g} GiB of kept prefixes" if self.prefix_cache_bytes else "none kept"
        return f"{self.num_slots} slots, {kept}, micro-batches of {self.tokens_per_microbatch:,} tokens"

    def smaller(self, estimate: MemoryEstimate, longest: int) -> MemoryShares | None:
        """Return shares that need less, or None where they cannot: an update's tokens are halved, or where the cache
        takes more, kept prefixes go, for what is missing is computed again, and then slots are halved.

        Args:
            longest: tokens of the longest sequence, which a micro-batch holds in any case.
        """
        sizes = {row.name: row.num_bytes for row in estimate.rows}
        kept = sizes.get("kept prefixes", 0)
        fewer_tokens = replace(self, tokens_per_microbatch=max(longest, self.tokens_per_microbatch // 2))
        less_cache = (
            replace(self, prefix_cache_bytes=0) if kept else replace(self, num_slots=max(1, self.num_slots // 2))
        )
        updating = estimate.bytes_when("updating") >= sizes.get("key-value cache", 0) + kept
        ways = (fewer_tokens, less_cache) if updating else (less_cache, fewer_tokens)
        return next((shares for shares in ways if shares.needs_less_than(self)), None)

    def needs_less_than(self, other: MemoryShares) -> bool:
        """Return whether these are smaller shares."""
        own, others = vars(self), vars(other)
        return any(own[name] < others[name] for name in own)


def shares_within(
    estimate: Callable[[MemoryShares], MemoryEstimate], most: MemoryShares, longest: int, limit: float | None
) -> MemoryShares:
    """Return the largest shares that the estimate has within the limit.

    Args:
        most: what the recipe asks for.
        longest: tokens of the longest sequence.
        limit: in GiB; None for none.

    Raises:
        ConfigError: one sequence at a time is too much already.
    """
    if limit is None:
        return most
    shares, needed = most, estimate(most)
    while needed.total_bytes > limit * GIB:
        smaller = shares.smaller(needed, longest)
        if smaller is None:
            raise ConfigError(
                f"max_memory={limit:g} GiB is less than this run needs with one sequence of {longest:,} tokens at a "
                f"time: {needed.total_bytes / GIB:.2f} GiB ({', '.join(needed.largest())}); set max_memory to at least "
                "that, train an adapter (model.lora.rank=16), set model.gradient_checkpointing=true, shorten the "
                "episodes, or take a smaller model"
            )
        shares, needed = smaller, estimate(smaller)
    return shares
