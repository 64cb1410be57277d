"""TextArena's games, each episode in a process of its own."""

from __future__ import annotations

from assay.environments.textarena.environment import TextArena

__all__ = ["TextArena"]
