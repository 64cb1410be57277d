"""reasoning-gym: its procedural families, scored by their own scorers and exact checks beside these."""
"""reasoning-gym: its procedural families, scored by their own scorers and exact checks beside these."""
=======
"""reasoning-gym: its procedural families, scored by their own scorers and, where these pay wrong answers, exact checks beside them."""
>>>>>>> 5905899 (reasoning-gym: docstrings say what is left out)

from __future__ import annotations

from assay.environments.reasoning_gym.environment import ReasoningGym
from assay.environments.reasoning_gym.reward import ReasoningGymScorer

__all__ = ["ReasoningGym", "ReasoningGymScorer"]
