"""A reward that a random model earns some of, so that there is a gradient to compare."""

from __future__ import annotations


def share_of_letters(response: str, answer: str) -> float:
    """Share of the characters that are ASCII letters."""
    return sum(character.isascii() and character.isalpha() for character in response) / max(len(response), 1)


def some_letters(response: str, answer: str) -> float:
    """1 where the sum of its characters is odd: about half of them, so that groups have a signal."""
    return float(sum(map(ord, response)) % 2)


def one(response: str, answer: str) -> float:
    return 1.0
