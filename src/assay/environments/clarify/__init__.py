"""Clarify: ask for what was not said, then deliver."""

from __future__ import annotations

from assay.environments.clarify.environment import Clarify

__all__ = ["Clarify"]
