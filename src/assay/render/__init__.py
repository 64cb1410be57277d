"""Rendering: from messages to tokens and back, with the model's own chat template. Sampled tokens are never tokenised
again."""

from __future__ import annotations

from assay.render.chat import ChatRenderer, load_renderer
from assay.render.renderer import Extension, Renderer
from assay.render.template import ToolChoice
from assay.render.templates import read_chat_template
from assay.render.tool_calls import CALL_FORMS, CallForm, ReadCalls, chosen_forms, read_calls
from assay.render.tool_text import describe_tools

__all__ = [
    "CALL_FORMS",
    "CallForm",
    "ChatRenderer",
    "Extension",
    "ReadCalls",
    "Renderer",
    "ToolChoice",
    "chosen_forms",
    "describe_tools",
    "load_renderer",
    "read_calls",
    "read_chat_template",
]
