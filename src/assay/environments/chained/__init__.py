"""Chained: another environment's questions, each of which needs the answer of the one before."""

from __future__ import annotations

from assay.environments.chained.environment import Chained

__all__ = ["Chained"]
