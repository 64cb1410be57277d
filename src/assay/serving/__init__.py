"""Serving: an OpenAI-compatible gateway, through which any program that takes a base_url plays the turns of a rollout.

an agent --HTTP--> Gateway --> AgentSession --> Conversation --> engine
                      ^               |             `--> turns: tokens, log-probabilities, versions
                      `--- reward ----'
"""

from __future__ import annotations

from assay.serving.conversation import Conversation, ConversationLimits
from assay.serving.session import AgentSession, Report, ending_of

__all__ = ["AgentSession", "Conversation", "ConversationLimits", "Report", "ending_of"]
