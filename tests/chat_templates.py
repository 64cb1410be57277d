"""Renderers of the chat templates in tests/templates, over the byte tokenizer with the tokens that each of them has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from assay.render import ChatRenderer

FOLDER = Path(__file__).parent / "templates"
SPECIAL = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|python_tag|>")
ADDED = ("<tool_call>", "</tool_call>", "<think>", "</think>")
"""Tokens that the tokenizers of such models have, and do not call special."""


def tokenizer_for(model: Path, template: str) -> PreTrainedTokenizerBase:
    """The byte tokenizer of a model folder with a template, by its name in the folder or as text."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    file = FOLDER / f"{template}.jinja"
    tokenizer.chat_template = file.read_text(encoding="utf-8") if "{" not in template else template
    if template == "llama3_headers":
        tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL)})
        tokenizer.add_special_tokens({"bos_token": SPECIAL[0], "eos_token": "<|eot_id|>"})
    elif template != "smollm2":
        tokenizer.add_tokens(list(ADDED))
    return tokenizer


def renderer_for(model: Path, template: str, **options: Any) -> ChatRenderer:
    """See `tokenizer_for`."""
    return ChatRenderer(tokenizer_for(model, template), **options)
