"""Chat templates for tokenizers that have none: base models, mostly."""

from __future__ import annotations

from pathlib import Path

from assay.errors import ConfigError

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""The ChatML template. Needs a tokenizer with the tokens <|im_start|> and <|im_end|>."""
PLAIN = (
    "{% for message in messages %}"
    "{{ message['role'] | capitalize + ': ' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""Plain text, for base models: "User: ...", a blank line, "Assistant:". The end token ends an answer."""

NAMED_TEMPLATES = {"chatml": CHATML, "plain": PLAIN}


def read_chat_template(choice: str | None) -> str | None:
    """The text of a template that is chosen by name or by file; None stays None: the tokenizer's own.

    Raises:
        ConfigError: neither a name nor a file that can be read.
    """
    if choice is None or choice in NAMED_TEMPLATES:
        return NAMED_TEMPLATES[choice] if choice else None
    try:
        text = Path(choice).expanduser().read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        names = " or ".join(map(repr, NAMED_TEMPLATES))
        raise ConfigError(f"chat template {choice!r} is not {names}, nor a file that can be read ({error})") from None
    if not text.strip():
        raise ConfigError(f"chat template {choice} is empty")
    return text
