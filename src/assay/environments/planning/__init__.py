"""The planning environment: blocks to be stacked and parcels to be driven, by plans that are played move by move."""

from __future__ import annotations

from assay.environments.planning.environment import Planning
from assay.environments.planning.reward import ValidPlan

__all__ = ["Planning", "ValidPlan"]
