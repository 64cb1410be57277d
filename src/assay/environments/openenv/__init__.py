"""Environments behind an OpenEnv server."""

from __future__ import annotations

from assay.environments.openenv.environment import OpenEnv

__all__ = ["OpenEnv"]
