"""Answers with a label before them: the letter of an option, or the word "answer"."""

from __future__ import annotations

import re

_UPRIGHT = r"\\(?:text(?:bf|rm|it|sf)?|math(?:rm|bf|sf))\s*\{"
_LABELLED = re.compile(
    rf"(?P<upright>{_UPRIGHT})?\s*(?:[(\[]\s*(?P<bracketed>[A-J])\s*[)\]]\.?(?=[\s}}\\~])|(?P<plain>[A-J])(?P<closed>\s*\}})?[.:)](?=[\s}}\\]))"
    r"(?P<rest>.*)",
    re.DOTALL,
)
_ANNOUNCED = re.compile(
    rf"({_UPRIGHT})?\s*(?:the |final |correct )*answer\s*(?:is\b\s*:?|[:=])(.*)", re.IGNORECASE | re.DOTALL
)
_SPACE = re.compile(r"(?:\s|\\[,;:! ]|~|\\q?quad(?![a-zA-Z]))+")
_LETTER = re.compile(rf"(?:{_UPRIGHT})?\s*[(\[]?\s*({_UPRIGHT})?([A-J])\s*\}}?\s*[)\]]?[.:]?\s*\}}?")
_OTHER = re.compile(r"[(\[]\s*[A-J]\s*[)\]]|(?<![A-Za-z\\])[A-J][.:)](?=[\s}\\])")


def without_label(answer: str) -> tuple[str, str] | None:
    """Return the letter of the option that a boxed answer begins with and what follows it; an empty letter where it
    begins with "Answer:". None where there is no such label, nothing behind it, or another option as well.

    Example:
        >>> without_label("\\\\textbf{(C) } 12"), without_label("C. 12"), without_label("(A) 1 (B) 2")
        (('C', '12'), ('C', '12'), None)
    """
    answer = answer.strip()
    match = _LABELLED.fullmatch(answer)
    letter = "" if match is None else match["bracketed"] or match["plain"]
    if match is None:
        match = _ANNOUNCED.fullmatch(answer)
        if match is None:
            return None
        upright, rest = match[1], match[2]
    else:
        upright, rest = match["upright"] if not match["closed"] else None, match["rest"]
    if upright:
        rest = _closed(rest)
    rest = "" if rest is None else _SPACE.sub(" ", rest, count=1).strip() if _SPACE.match(rest) else rest.strip()
    if not rest or (letter and (letter_of(rest) or _OTHER.search(rest))):
        return None
    return letter, rest


def letter_of(answer: str) -> str | None:
    """The letter where an answer is one option's letter and nothing else."""
    match = _LETTER.fullmatch(answer.strip())
    return match[2] if match else None


def _closed(rest: str) -> str | None:
    """The text without the brace that closes an argument begun before it."""
    depth = 0
    for place, sign in enumerate(rest):
        depth += (sign == "{") - (sign == "}")
        if depth < 0:
            return rest[:place] + rest[place + 1 :]
    return None
