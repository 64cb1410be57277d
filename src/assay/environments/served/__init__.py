"""Served: rollouts played by an agent's own program, which asks the model over HTTP and reports its own reward."""

from __future__ import annotations

from assay.environments.served.environment import Served

__all__ = ["Served"]
