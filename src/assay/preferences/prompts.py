"""Prompts that a file does not state: what two texts, or two conversations, begin with."""

from __future__ import annotations

import re
from collections.abc import Sequence

from assay.preferences.pair import Messages
from assay.types import Message

_TURN = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}
_IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uff00-\uffef]")


class DifferentPromptsError(ValueError):
    """Raised for two conversations that answer no common prompt."""


def shared_conversation(first: Messages, second: Messages) -> tuple[Messages, Messages, Messages]:
    """(prompt, rest of the first, rest of the second), cut where both go on with the assistant's own message.

    Raises:
        DifferentPromptsError: there is no such place.
    """
    cut = 0
    while cut < min(len(first), len(second)) and first[cut] == second[cut]:
        cut += 1
    while cut >= 0:
        after = first[cut : cut + 1] + second[cut : cut + 1]
        if len(after) == 2 and all(message.role == "assistant" for message in after):
            return first[:cut], first[cut:], second[cut:]
        cut -= 1
    raise DifferentPromptsError("the two conversations answer no common prompt")


def shared_text(first: str, second: str) -> tuple[str, str, str]:
    """(prompt, rest of the first, rest of the second): joined again they are the two texts.

    The prompt is what both begin with, cut back to the end of a word, so that neither word nor number is divided, and
    each rest begins with the white space before its first word. Where one text is the beginning of the other, the cut
    is before its last word. Empty where they share no whole word.

    TRL 1.16's `extract_prompt` cuts at the first character that differs: of "The answer is 12" and "The answer is 15"
    it makes a prompt that ends in 1.

    Example:
        >>> shared_text("The answer is 12", "The answer is 15")
        ('The answer is', ' 12', ' 15')
    """
    shared = 0
    while shared < min(len(first), len(second)) and first[shared] == second[shared]:
        shared += 1
    for cut in range(shared, 0, -1):
        if (
            first[cut:].strip()
            and second[cut:].strip()
            and _is_between_words(first, cut)
            and _is_between_words(second, cut)
        ):
            return first[:cut], first[cut:], second[cut:]
    return "", first, second


def _is_between_words(text: str, cut: int) -> bool:
    """Return True where a word ends before the cut, and white space or an ideograph begins after it."""
    before, after = text[cut - 1], text[cut]
    if before.isspace():
        return False
    if after.isspace():
        # "1 000" is one number.
        return not (before.isdigit() and len(text) > cut + 1 and text[cut + 1].isdigit())
    ideographs = [bool(_IDEOGRAPH.match(character)) for character in (before, after)]
    return any(ideographs) and not (before.isdigit() and after.isdigit())


def is_dialogue(text: str) -> bool:
    """Return True for a text in the form of HH-RLHF: "\\n\\nHuman: ...\\n\\nAssistant: ..."."""
    return bool(re.match(r"\s*Human:", text)) and "\n\nAssistant:" in text


def read_dialogue(text: str) -> Messages:
    """The messages of a text in the form of HH-RLHF, without the white space around each.

    Example:
        >>> [(m.role, m.content) for m in read_dialogue("\\n\\nHuman: Hi\\n\\nAssistant: Hello.")]
        [('user', 'Hi'), ('assistant', 'Hello.')]
    """
    parts: Sequence[str] = _TURN.split(text)
    return tuple(Message(_ROLES[role], content.strip()) for role, content in zip(parts[1::2], parts[2::2], strict=True))
