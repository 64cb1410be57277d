"""The repair environment: programs that are written, tested, and mended."""

from __future__ import annotations

from assay.environments.repair.environment import Repair

__all__ = ["Repair"]
