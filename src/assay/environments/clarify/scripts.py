"""Scripts that take orders: one asks for what is missing, one never asks."""

from __future__ import annotations

import re
from collections.abc import Sequence

from assay.types import Message, Tool


class AskingScript:
    """Reads the form and what the customer said, asks for each thing that is missing and matters, then orders."""

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        form, conditional = form_in(messages[0].content)
        known = facts_in([message.content for message in messages if message.role == "user"], form)
        without_use = [] if known.get("handover") == "delivery" else conditional
        missing = [name for name in form if name not in known and name not in without_use]
        return Message("assistant", f"{missing[0]}?" if missing else order(known))


class BlindScript:
    """Orders what was said at once, and never asks."""

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        form, _ = form_in(messages[0].content)
        return Message("assistant", order(facts_in([messages[0].content], form)))


def order(known: dict[str, str]) -> str:
    """Return the words of an order."""
    return f"order {', '.join(f'{name} {value}' for name, value in known.items())}"


def form_in(prompt: str) -> tuple[list[str], list[str]]:
    """Return what is on a form, and what of it matters for a delivery alone."""
    lines = next(line for line in prompt.splitlines() if line.startswith("Form: "))
    found = re.findall(r"(\w+)(, only for delivery)? \([^)]+\)", lines)
    return [name for name, _ in found], [name for name, note in found if note]


def facts_in(texts: Sequence[str], form: Sequence[str]) -> dict[str, str]:
    """Return what the customer said, the last word counting."""
    known: dict[str, str] = {}
    for text in texts:
        last = ""
        for name, value, corrected in re.findall(r"(\w+): (\w+)\.|No, make that (\w+)\.", text):
            if corrected and last:
                known[last] = corrected
            elif name.lower() in form:
                last = name.lower()
                known[last] = value
    return known
