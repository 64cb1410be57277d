"""Decisions that all ranks of a learner make alike: one that went its own way would wait for the others for ever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Ranks(Protocol):
    """Agreement among the ranks of a learner. Every rank asks the same questions in the same order."""

    def worst(self, cause: str) -> str:
        """Return why an update must be left out, where any rank has a cause; empty where none has."""
        ...

    def any(self, flags: Sequence[bool]) -> list[bool]:
        """Return, for each flag, whether it is true on any rank."""
        ...


class OneRank:
    """A learner in one process agrees with itself."""

    def worst(self, cause: str) -> str:
        return cause

    def any(self, flags: Sequence[bool]) -> list[bool]:
        return list(flags)
