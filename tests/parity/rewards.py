"""A reward that a random model earns some of, so that there is a gradient to compare."""

from __future__ import annotations


def share_of_letters(response: str, answer: str) -> float:
    """Share of the characters that are ASCII letters."""
    return sum(character.isascii() and character.isalpha() for character in response) / max(len(response), 1)
