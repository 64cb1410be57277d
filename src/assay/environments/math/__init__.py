"""MATH: competition problems with five levels."""

from __future__ import annotations

from assay.environments.math.environment import MATH

__all__ = ["MATH"]
