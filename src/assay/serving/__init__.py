"""Serving: an OpenAI-compatible gateway, through which any program that takes a base_url plays the turns of a rollout.

an agent --HTTP--> Gateway --> Session --> Conversation --> engine
                      ^            |            `--> turns: tokens, log-probabilities, versions
                      `-- reward --'
"""

from __future__ import annotations

from assay.serving.conversation import Conversation, Limits
from assay.serving.session import Report, Session, ending_of

__all__ = ["Conversation", "Limits", "Report", "Session", "ending_of"]
