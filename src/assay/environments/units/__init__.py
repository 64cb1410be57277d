"""The units environment: dates, clocks and measures that are reckoned with exactly."""

from __future__ import annotations

from assay.environments.units.environment import Units
from assay.environments.units.reward import UnitsAnswer

__all__ = ["Units", "UnitsAnswer"]
