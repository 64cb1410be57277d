"""Rendering: from messages to tokens and back, with the model's own chat template. Sampled tokens are never tokenised
again."""

from __future__ import annotations

from assay.render.chat import ChatRenderer, load_renderer
from assay.render.renderer import Extension, Renderer
from assay.render.templates import read_chat_template

__all__ = ["ChatRenderer", "Extension", "Renderer", "load_renderer", "read_chat_template"]
