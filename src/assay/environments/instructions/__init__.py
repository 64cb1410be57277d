"""The instructions environment: texts that must obey several constraints at once, each checked by a rule."""

from __future__ import annotations

from assay.environments.instructions.environment import Instructions
from assay.environments.instructions.families import FAMILIES, Constraint
from assay.environments.instructions.reward import InstructionsFollowed

__all__ = ["FAMILIES", "Constraint", "Instructions", "InstructionsFollowed"]
