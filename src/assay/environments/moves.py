"""Moves in a message: bounded readings of what a model wrote, for worlds that take a letter or a word."""

from __future__ import annotations

import re
from collections.abc import Sequence

from assay.verifiers.text import normalise, strip_reasoning

MAX_CHARACTERS = 1_000
"""Characters of a message that are read for a move, from the end of its reasoning on."""

_LETTER = re.compile(r"(?<![A-Za-z'])[A-Z](?![A-Za-z'])")


def plain(text: str) -> str:
    """Return the head of what a message says after its reasoning, with look-alike characters made one and white space
    made single spaces."""
    return " ".join(normalise(strip_reasoning(text).strip()[:MAX_CHARACTERS]).split())


def read_letter(text: str, letters: Sequence[str]) -> str | None:
    """Return the one letter that a message names; None where it names none of these, or several.

    A message of one letter may be small; among words only capitals count, so that "a" is no move.

    Example:
        >>> read_letter("I choose B.", "ABC"), read_letter("b", "ABC"), read_letter("A or B", "ABC")
        ('B', 'B', None)
    """
    said = plain(text)
    alone = said.strip(" .,!:;\"'()*`").upper()
    if alone in tuple(letters):  # a text holds the empty text, and pairs
        return alone
    found = {letter for letter in _LETTER.findall(said) if letter in letters}
    return found.pop() if len(found) == 1 else None


def read_word(text: str, words: Sequence[str]) -> str | None:
    """Return the one of these words or phrases that a message names, whatever its case; None where it names none, or
    several.

    Example:
        >>> read_word("Go North!", ("north", "south")), read_word("north then south", ("north", "south"))
        ('north', None)
    """
    said = plain(text).lower()
    found = {word for word in words if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", said)}
    return found.pop() if len(found) == 1 else None


def listed(words: Sequence[str], last: str = "or") -> str:
    """Return words as a sentence lists them.

    Example:
        >>> listed(("A", "B", "C"))
        'A, B or C'
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"
