"""Gymnasium's environments of text, each episode in a process of its own."""

from __future__ import annotations

from assay.environments.gymnasium.environment import Gymnasium

__all__ = ["Gymnasium"]
