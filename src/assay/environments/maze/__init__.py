"""Maze: rooms, keys and doors, of which only the room one is in is seen."""

from __future__ import annotations

from assay.environments.maze.environment import Maze

__all__ = ["Maze"]
