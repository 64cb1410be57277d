"""Arithmetic: integer expressions, and chains of them."""

from __future__ import annotations

from assay.environments.arithmetic.environment import Arithmetic

__all__ = ["Arithmetic"]
