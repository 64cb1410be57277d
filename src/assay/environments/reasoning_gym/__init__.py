"""reasoning-gym: its procedural families, scored by their own scorers and exact checks beside these."""

from __future__ import annotations

from assay.environments.reasoning_gym.environment import ReasoningGym
from assay.environments.reasoning_gym.reward import ReasoningGymScorer

__all__ = ["ReasoningGym", "ReasoningGymScorer"]
