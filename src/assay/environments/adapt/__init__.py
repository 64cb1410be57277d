"""Adapt: rules that can only be learned inside the episode."""

from __future__ import annotations

from assay.environments.adapt.environment import Adapt

__all__ = ["Adapt"]
