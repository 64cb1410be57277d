"""The chain environment: a state kept through many trivial updates."""

from __future__ import annotations

from assay.environments.chain.environment import Chain

__all__ = ["Chain"]
