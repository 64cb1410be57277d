"""The ranks of a learner: what each computes, and what all decide alike. One that went its own way would wait for the
others for ever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

Shared = TypeVar("Shared")


@dataclass(frozen=True)
class RoundShare:
    """One rank's part in a round, in which every rank makes one pass."""

    batch: int | None
    """The micro-batch of this rank, by its place; None where there is none left: then it makes a pass that counts for
    nothing, because the layers are gathered from all ranks."""
    together: range
    """The places of all micro-batches of the round."""


def share_out(num_batches: int, rank: int, world: int) -> list[RoundShare]:
    """Return the rounds in which `world` ranks compute `num_batches` micro-batches, as one of them sees it.

    Every rank has as many rounds. The micro-batches are those of one process, so that their sums are the same.
    """
    starts = range(0, num_batches, world)
    rounds = [range(start, min(start + world, num_batches)) for start in starts]
    return [RoundShare(each[rank] if rank < len(each) else None, each) for each in rounds]


class Ranks(Protocol):
    """Agreement among the ranks of a learner. Every rank asks the same questions in the same order."""

    @property
    def rank(self) -> int:
        """The number of this rank, from 0."""
        ...

    @property
    def world(self) -> int:
        """The number of ranks."""
        ...

    def gather(self, value: Shared) -> list[Shared]:
        """Return the values of all ranks, in their order, on every rank."""
        ...

    def worst(self, cause: str) -> str:
        """Return why an update must be left out, where any rank has a cause; empty where none has."""
        ...

    def any(self, flags: Sequence[bool]) -> list[bool]:
        """Return, for each flag, whether it is true on any rank."""
        ...


class OneRank:
    """A learner in one process agrees with itself."""

    rank = 0
    world = 1

    def gather(self, value: Shared) -> list[Shared]:
        return [value]

    def worst(self, cause: str) -> str:
        return cause

    def any(self, flags: Sequence[bool]) -> list[bool]:
        return list(flags)
