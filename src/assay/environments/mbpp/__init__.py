"""MBPP: short Python functions, three asserts each."""

from __future__ import annotations

from assay.environments.mbpp.environment import MBPP

__all__ = ["MBPP"]
